"""The tools of a run, gathered from everywhere before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from megaagent.settings import Settings
from megaagent.tools import Tool, toolbox
from megaagent.tools.loading import load, whole_names
from megaagent.tools.rules import check


def rooted(settings: Settings) -> Settings:
    """The settings with the files of tools named from the root, so that a run can be resumed from another folder."""
    return replace(settings, tools=replace(settings.tools, functions=whole_names(settings.tools.functions)))


def equipment(settings: Settings, given: Sequence[Tool | Callable[..., Any]]) -> list[Tool]:
    """The user's own tools: those that were given as objects, and those that the settings name.

    Raises:
        ConfigurationError: one cannot be loaded or used, two share a name, or the settings speak of one that is not
            there.
    """
    tools = [tool if isinstance(tool, Tool) else Tool(tool) for tool in given]
    tools += load(settings.tools.functions)
    check(settings.tools, toolbox(tools).names)
    return tools
