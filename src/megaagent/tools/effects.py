"""What a call would touch, in the engine's words: shown to the person who is to approve it.

Everything is read from the arguments as they will be used; nothing from what the agent says about them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

LONGEST: Final = 2_000  # characters of one line
MOST: Final = 30  # lines
_PLAIN: Final = re.compile(r"[\w ,.:/@+*-]*")  # what cannot be taken for words of the engine's, nor for another line

Arguments = Mapping[str, Any]


def effect_of(tool: str, arguments: Arguments) -> tuple[str, ...]:
    """Lines on what a call would do.

    Args:
        tool: its name.
        arguments: as plain data, complete with the defaults of what was left out.
    """
    told = _EFFECTS.get(tool)
    lines = told(arguments) if told is not None else _of_others(tool, arguments)
    if len(lines) > MOST:
        lines = [*lines[:MOST], f"and {len(lines) - MOST} more"]
    return tuple(line if len(line) <= LONGEST else f"{line[:LONGEST]}... ({len(line):,} characters)" for line in lines)


def _program(arguments: Arguments, words: list[str]) -> list[str]:
    stdin = arguments.get("stdin")
    fed = f", with {len(stdin):,} characters on its standard input" if stdin else ""
    return [f"runs in the sandbox: {shlex.join(words)}{fed}"]


def _run_command(arguments: Arguments) -> list[str]:
    command = arguments["command"]
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError:
            command = [command]  # it will be refused
    return _program(arguments, cast("list[str]", command))


def _write_file(arguments: Arguments) -> list[str]:
    text = str(arguments["content"])
    size = len(text.encode(errors="replace"))
    return [f"writes the file {_quoted(arguments['path'])}: {size:,} bytes, {len(text.splitlines()):,} lines"]


def _edit_file(arguments: Arguments) -> list[str]:
    old, new = (len(str(arguments[name])) for name in ("old", "new"))
    return [f"changes the file {_quoted(arguments['path'])}: {old:,} characters become {new:,}"]


def _names(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else ", ".join(_quoted(str(each)) for each in value)


def _quoted(text: str) -> str:
    """What an agent wrote, in quotes unless it is plain: views put several lines into one, with marks between them."""
    return text if _PLAIN.fullmatch(text) else repr(text)


_EFFECTS: Final[Mapping[str, Callable[[Arguments], list[str]]]] = {
    "add_agent": lambda given: [f"recruits an agent: {_quoted(given['name'])}"],
    "assign": lambda given: [f"gives more work to {_quoted(given['name'])}"],
    "review": lambda given: [f"answers the work of {_names(given['names'])}: {given['verdict']}"],
    "talk": lambda given: [f"sends a message to {_names(given['to'])}"],
    "read_file": lambda given: [f"reads the file {_quoted(given['path'])}"],
    "list_files": lambda given: [f"lists files: {_quoted(given['pattern'])}"],
    "search_files": lambda given: [f"searches the files for {given['query']!r}"],
    "write_file": _write_file,
    "edit_file": _edit_file,
    "exec_python_file": lambda given: _program(given, ["python", given["path"], *(given["args"] or ())]),
    "run_command": _run_command,
    "input": lambda given: [f"types into its running program: {given['text']!r}"],
    "stop_program": lambda _: ["stops its running program"],
    "keep_files": lambda given: [f"commits files that its program wrote: {_names(given['paths'])}"],
    "change_task_status": lambda _: ["changes its own checklist"],
    "recall": lambda given: [f"searches the record of the run for {given['query']!r}"],
    "ask_user": lambda _: ["asks the person who gave the goal"],
    "wait": lambda given: [f"ends its turn and waits for {_names(given['names']) or 'mail'}"],
    "terminate": lambda _: ["hands in its work"],
}


def _of_others(tool: str, arguments: Arguments) -> list[str]:
    """A tool that is not ours: it runs outside the sandbox, and all that is known is what it is given."""
    lines = [f"calls {tool}, a tool from outside, which runs with your rights"]
    for name, value in arguments.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            shown = _quoted(value[:300]) + "..." * (len(value) > 300) if isinstance(value, str) else value
            lines.append(f"{_quoted(name)}: {shown}")
    return lines
