"""One goal in plain words, a whole organization of LLM agents, one tested deliverable.

    from megaagent import run

    result = run("Write a tested command-line calculator.", model="openai:gpt-4.1")
    print(result.status, result.path)

Names are resolved on first use: importing this package starts, prints and reads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megaagent.errors import ConfigurationError as ConfigurationError
    from megaagent.errors import MegaAgentError as MegaAgentError
    from megaagent.errors import RunError as RunError
    from megaagent.errors import ToolError as ToolError
    from megaagent.events import Record as Record
    from megaagent.launch import resume as resume
    from megaagent.launch import run as run
    from megaagent.launch import start as start
    from megaagent.models.script import Script as Script
    from megaagent.organization.verification import Check as Check
    from megaagent.proof import replay as replay
    from megaagent.running import Result as Result
    from megaagent.running import Run as Run
    from megaagent.settings import Settings as Settings
    from megaagent.tools import Tool as Tool

__version__ = "0.1.0"

_FRONT_DOOR = {
    "run": "megaagent.launch",
    "start": "megaagent.launch",
    "resume": "megaagent.launch",
    "Run": "megaagent.running",
    "Result": "megaagent.running",
    "replay": "megaagent.proof",
    "Settings": "megaagent.settings",
    "Tool": "megaagent.tools",
    "Check": "megaagent.organization.verification",
    "Record": "megaagent.events",
    "Script": "megaagent.models.script",
    "MegaAgentError": "megaagent.errors",
    "ConfigurationError": "megaagent.errors",
    "RunError": "megaagent.errors",
    "ToolError": "megaagent.errors",
}

__all__ = list(_FRONT_DOOR)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _FRONT_DOOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_FRONT_DOOR[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
