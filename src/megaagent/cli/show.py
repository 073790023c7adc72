"""megaagent show: the journal, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from megaagent.cli.options import Seen
from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.events import Event

HELP = """One fact per line: its number, the time since the run began, whose it is, what it says. Lines are cut to the
width of a terminal, and whole in a file or pipe. With -f it goes on until the run ends.

\b
Examples:
  megaagent show
  megaagent show -f
  megaagent show --agent boss --limit 20
  megaagent show --kind FileCommitted --json | head"""


def command(
    seen: Seen,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only this agent's facts.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="KIND", help="Only facts of this kind, such as FileCommitted.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Only the last N of them.", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until the run ends.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> int:
    import sys
    from collections import deque
    from itertools import chain

    import msgspec

    from megaagent.cli.facts import Teller
    from megaagent.cli.following import followed
    from megaagent.cli.reading import agent_named
    from megaagent.cli.words import clean, clean_json, duration, fit, glyphs_for, terminal_width
    from megaagent.events import AssignmentOpened, Record, name_of

    kinds = [_kind(kind)] if kind is not None else None
    glyphs = glyphs_for(sys.stdout)
    teller = Teller(glyphs)
    width = terminal_width()

    def tell(record: Record) -> None:
        if json:
            print(clean_json(msgspec.json.encode(record).decode()))
            return
        since = duration(record.time - first.time) if first is not None else ""
        line = f"{record.position:>6} {since:>6} {clean(name_of(record.agent))}: {teller.words(record)}"
        print(fit(line, width, glyphs) if width else line)

    with seen.sight() as sight:
        first = next(sight.records(limit=1, bodies=False), None)
        chosen = agent_named(sight, agent) if agent is not None else None
        for record in sight.records(kinds=[AssignmentOpened], bodies=False):
            teller.learn(record)
        last = 0
        there = sight.records(agent=chosen, kinds=kinds)
        for record in there if limit is None else deque(there, limit):
            tell(record)
            last = record.position
        for record in followed(sight, last, agent=chosen, kinds=kinds) if follow else chain[Record]():
            tell(record)
    return 0


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
