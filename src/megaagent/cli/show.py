"""megaagent show: the journal, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from megaagent.cli.options import RunName, Runs, chosen_run
from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.events import Event

HELP = """\b
Examples:
  megaagent show
  megaagent show --agent boss --limit 20
  megaagent show --kind FileCommitted --json | head

Lines are cut to the width of a terminal, and whole in a file or pipe."""


def command(
    run: RunName = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's facts.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only facts of this kind, such as FileCommitted.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the last N of them.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    runs: Runs = None,
) -> int:
    import sys
    from collections import deque

    import msgspec

    from megaagent.cli.facts import Teller
    from megaagent.cli.reading import agent_named, opened
    from megaagent.cli.words import clean, clean_json, duration, fit, glyphs_for
    from megaagent.events import AssignmentOpened, name_of

    kinds = [_kind(kind)] if kind is not None else None
    glyphs = glyphs_for(sys.stdout)
    teller = Teller(glyphs)
    width = _width()
    with opened(chosen_run(run, runs)) as reader:
        first = next(reader.records(limit=1, bodies=False), None)
        chosen = agent_named(reader, agent) if agent is not None else None
        for record in reader.records(kinds=[AssignmentOpened], bodies=False):
            teller.learn(record)
        records = reader.records(agent=chosen, kinds=kinds)
        for record in records if limit is None else deque(records, limit):
            if json:
                print(clean_json(msgspec.json.encode(record).decode()))
                continue
            since = duration(record.time - first.time) if first is not None else ""
            line = f"{record.position:>6} {since:>6} {clean(name_of(record.agent))}: {teller.words(record)}"
            print(fit(line, width, glyphs) if width else line)
    return 0


def _width() -> int | None:
    """Of the terminal; None when the output is none."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _kind(name: str) -> type[Event]:
    from difflib import get_close_matches
    from typing import get_args

    from megaagent.events import AnyEvent

    known: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(AnyEvent)}
    by_lower = {each.lower(): each for each in known}
    if name.lower() in by_lower:
        return known[by_lower[name.lower()]]
    near = [by_lower[each] for each in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)] or sorted(known)
    raise ConfigurationError(f"--kind {name}: there is no such kind of fact; nearest are {', '.join(near)}")
