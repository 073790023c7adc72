"""The tools that an agent has: a shelf with one table.

To add one: a typed async function with a docstring in a module of this room, and a line in `TOOLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any

from megaagent.errors import ConfigurationError
from megaagent.tools.contract import Tool, Toolbox

# name -> where it is, and whether it only looks. The order is the order in every prompt.
TOOLS: dict[str, tuple[str, bool]] = {
    "add_agent": ("megaagent.tools.people", False),
    "assign": ("megaagent.tools.people", False),
    "review": ("megaagent.tools.people", False),
    "talk": ("megaagent.tools.people", False),
    "read_file": ("megaagent.tools.files", True),
    "list_files": ("megaagent.tools.files", True),
    "search_files": ("megaagent.tools.files", True),
    "write_file": ("megaagent.tools.files", False),
    "edit_file": ("megaagent.tools.files", False),
    "exec_python_file": ("megaagent.tools.programs", False),
    "run_command": ("megaagent.tools.programs", False),
    "input": ("megaagent.tools.programs", False),
    "stop_program": ("megaagent.tools.programs", False),
    "keep_files": ("megaagent.tools.programs", False),
    "change_task_status": ("megaagent.tools.own", False),
    "recall": ("megaagent.tools.own", True),
    "ask_user": ("megaagent.tools.people", False),
    "wait": ("megaagent.tools.turn", False),
    "terminate": ("megaagent.tools.turn", False),
}


def toolbox(extra: Iterable[Tool | Callable[..., Any]] = ()) -> Toolbox:
    """The built-in tools, then the user's own.

    Raises:
        ConfigurationError: a function cannot be a tool, or a name is taken.
    """
    own = [tool if isinstance(tool, Tool) else Tool(tool) for tool in extra]
    taken = next((tool.name for tool in own if tool.name in TOOLS), None)
    if taken is not None:
        raise ConfigurationError(f"tool {taken!r}: MegaAgent has one of this name; give yours another")
    return Toolbox([*_built_in(), *own])


@cache  # they never change, and reading signatures takes 10 ms
def _built_in() -> tuple[Tool, ...]:
    return tuple(Tool(getattr(import_module(module), name), reads=reads) for name, (module, reads) in TOOLS.items())


__all__ = ["TOOLS", "Tool", "Toolbox", "toolbox"]
