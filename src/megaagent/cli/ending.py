"""What is said when a run begins and when it has ended: enough to use the result, and to look further."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from megaagent.cli.options import how_to_name, quoted, shown
from megaagent.cli.words import amount, clean, clean_block, duration, money, plural, program
from megaagent.folder import RunFolder

if TYPE_CHECKING:
    from megaagent.organization.members import RunState
    from megaagent.running import Result, Run


def opening(live: Run) -> Iterator[str]:
    """The lines before a run is shown."""
    if live.simulated:
        yield "a simulation: no model is asked"
    yield f"run {live.folder.id} in {shown(live.folder.path)}"
    yield from (clean(note) for note in live.notes)


def ending(result: Result, figures: RunState) -> Iterator[str]:
    """The lines after a run; names of files and commands are never cut or wrapped."""
    folder = RunFolder(result.folder)
    name = how_to_name(folder)
    yield ""
    yield f"{result.status}: {clean(result.reason)}"
    if result.gaps:
        yield "what is missing:"
        yield from (line for gap in result.gaps for line in _wrapped(f"- {clean(gap)}"))
    if result.text:
        yield "what the boss reports:"
        yield from (line for text in clean_block(result.text).splitlines() for line in _wrapped(text))
    yield ""
    yield from _lines(
        ("deliverable", shown(result.path)),
        ("run it", _how_to_run(result)),
        ("figures", _counts(figures)),
        ("", _used(result)),
        ("", f"{_cost(result)}, {duration(result.seconds)}"),
        ("look further", f"{program()} show {name}"),
        ("", f"{program()} report {name}"),
        ("", f"git -C {quoted(shown(folder.workspace))} log"),
        ("go on with", _how_to_resume(result, name)),
    )
    if result.simulated:
        yield "a simulation: no model was asked, the figures are made up"


def _counts(figures: RunState) -> str:
    parts = [
        plural(figures.agents, "agent"),
        plural(figures.steps, "step"),
        plural(figures.messages, "message"),
        plural(figures.commits, "commit"),
    ]
    return ", ".join(parts)


def _used(result: Result) -> str:
    usage = result.usage
    cached = f" ({usage.cached / usage.prompt:.0%} of prompts cached)" if usage.prompt else ""
    return f"{amount(usage.prompt + usage.completion)} tokens{cached}"


def _cost(result: Result) -> str:
    label = "simulated cost" if result.simulated else "cost"
    unpriced = f" and {plural(result.unpriced, 'call')} of unknown price" if result.unpriced else ""
    return f"{label} {money(result.cost)}{unpriced}"


def _how_to_run(result: Result) -> str:
    program = result.path / "main.py"
    return f"python3 {quoted(shown(program))}" if program.is_file() else ""


def _how_to_resume(result: Result, name: str) -> str:
    if result.completed:
        return ""
    more = " with a higher cap, such as --max-cost (all: resume --help)" if result.status == "exhausted" else ""
    return f"{program()} resume {name}{more}"


def _lines(*pairs: tuple[str, str]) -> Iterator[str]:
    for label, text in pairs:
        if text:
            yield f"{label:<14}{text}"


def _wrapped(text: str) -> list[str]:
    """Prose, indented; wrapped for a terminal, whole for a file."""
    if not sys.stdout.isatty():
        return [f"  {text}"]
    from rich.console import Console

    width = max(20, Console().width - 2)
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ") or [""]
