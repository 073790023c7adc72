"""megaagent top: a run's agents by what they spend, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from megaagent.cli.options import AsJson, Seen, Subtree
from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.cli.ranking import Ranking
    from megaagent.cli.sight import Sight
    from megaagent.cli.words import Glyphs

HELP = """Renewed every second on a terminal; printed once in a pipe, with --once, and when nobody is at work on the
run. RATE is tokens per minute, of the last minute; FOR is how long the agent has stood like that.

Keys: s spend, r rate, t state, p steps, a age, f failures, n name; arrows and space scroll; q quits.

\b
Examples:
  megaagent top
  megaagent top --sort state
  megaagent top --agent search --every 5
  megaagent top --once | head -20
  megaagent top --json | jq '.agents[0]'"""

KEYS: Final = {
    "s": "spend",
    "r": "rate",
    "t": "state",
    "p": "steps",
    "a": "age",
    "f": "failures",
    "n": "name",
}


def command(
    seen: Seen,
    sort: Annotated[
        str, typer.Option("--sort", metavar="BY", help="spend, rate, state, steps, age, failures or name.")
    ] = "spend",
    agent: Subtree = "",
    once: Annotated[bool, typer.Option("--once", help="Print it once.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Between two looks.")] = 1.0,
    json: AsJson = False,
) -> int:
    from megaagent.cli.ranking import ORDERS, Ranking
    from megaagent.cli.reading import agent_named
    from megaagent.cli.words import glyphs_for, print_json, terminal_width

    if sort not in ORDERS:
        raise ConfigurationError(f"--sort {sort}: say one of {', '.join(ORDERS)}")
    with seen.sight() as sight:
        part = agent_named(sight, agent) if agent else ""
        ranking = Ranking()
        _look(sight, ranking)
        if json:
            rows = ranking.rows(sort, _now(ranking), part)
            print_json({"run": sight.id, "status": _status(ranking), "header": ranking.head, "agents": rows})
        elif once or not ranking.live or not (sys.stdout.isatty() and sys.stdin.isatty()):
            for line in picture(ranking, sort, part, _now(ranking), terminal_width(), glyphs_for(sys.stdout)):
                print(line)
        else:
            _watch(sight, ranking, sort, part, every)
    return 0


def _look(sight: Sight, ranking: Ranking) -> None:
    ranking.take_in(sight.organization(ranking.position), time.time())


def _now(ranking: Ranking) -> float:
    return time.time() if ranking.live else float(ranking.head["last"])


def _status(ranking: Ranking) -> str:
    status = str(ranking.head["status"])
    return status if ranking.live or ranking.head["ended"] else "cut off"


def picture(
    ranking: Ranking, order: str, part: str, now: float, width: int | None, glyphs: Glyphs, rows: slice = slice(None)
) -> Iterator[str]:
    """The lines: how the run stands, and the agents in that order.

    Args:
        part: only this agent and those below it.
        rows: which of them.
    """
    from megaagent.cli.table import ENDLESS, Column, table
    from megaagent.cli.words import amount, duration, fit, money

    for line in _heading(ranking, now, width or ENDLESS, glyphs):
        yield fit(line, width or ENDLESS, glyphs)
    yield ""
    columns = [
        Column("RATE", lambda row: amount(int(row["rate"])), 7),
        Column("FOR", lambda row: duration(now - row["since"]), 6),
        Column("STEPS", lambda row: f"{row['steps']:,}", 6),
        Column("TOKENS", lambda row: amount(row["tokens"]), 7),
        Column("FAILS", lambda row: str(row["failures"] or ""), 6),
        Column("COST", lambda row: money(row["cost"]), 9, True),
        Column("STATE", lambda row: row["state"], 10, True),
    ]
    listed = ranking.rows(order, now, part)[rows]
    yield from table("AGENT", listed, columns, width, glyphs, tail=("LAST ACT", lambda row: row["act"]))


def _heading(ranking: Ranking, now: float, width: int, glyphs: Glyphs) -> Iterator[str]:
    from megaagent.cli.words import amount, clean, duration, fit, money, plural

    head, between = ranking.head, f" {glyphs.dot} "
    how = f"{_status(ranking)}{between}{duration(now - head['first'])}"
    yield f"{fit(clean(head['run']), max(8, width - len(how) - len(between)), glyphs)}{between}{how}"
    told = [clean(head["reason"])] if head["reason"] else []
    yield between.join(
        [
            "a simulation: no model is asked" if head["simulated"] else f"model {clean(head['model']) or 'by tier'}",
            *told,
        ]
    )
    cap = f" of {money(head['max_cost'])}" if head["max_cost"] is not None else ""
    label = "simulated cost" if head["simulated"] else "cost"
    tokens = head["prompt"] + head["completion"]
    rate = sum(row["rate"] for row in ranking.rows("name", now))
    yield between.join(
        (
            f"{label} {money(head['cost'])}{cap}",
            f"{amount(tokens)} tokens",
            f"{amount(int(rate))} a minute",
            plural(head["calls"], "call") + " in flight",
            plural(head["commits"], "commit"),
            plural(head["interventions"], "intervention"),
        )
    )
    yield f"{plural(head['agents'], 'agent')}: " + ", ".join(f"{count:,} {word}" for word, count in ranking.counts())


def _watch(sight: Sight, ranking: Ranking, order: str, part: str, every: float) -> None:
    """Renew the picture until the person leaves."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from megaagent.cli.keys import Keys
    from megaagent.cli.words import fit, glyphs_for

    console, glyphs, first = Console(), glyphs_for(sys.stdout), 0
    with Live(console=console, screen=True, auto_refresh=False) as live, Keys(sys.stdin) as keys:
        looked = time.monotonic()
        while True:
            size = console.size
            room = max(1, size.height - 8)
            first = max(0, min(first, int(ranking.head["agents"]) - room))
            shown = picture(ranking, order, part, _now(ranking), size.width, glyphs, slice(first, first + room))
            lines: list[Any] = [Text(line, "bold" if n == 0 else "") for n, line in enumerate(shown)][: size.height - 2]
            lines += [Text(""), Text(fit(f"by {order}; {_keys()}", size.width, glyphs), "dim")]
            live.update(Group(*lines[: size.height]), refresh=True)
            key = keys.next(max(0.0, looked + every - time.monotonic()))
            if key == "q":
                return
            order = KEYS.get(key, order)
            first += {"down": 1, "up": -1, "page down": room, " ": room, "page up": -room, "home": -first}.get(key, 0)
            if time.monotonic() - looked >= every:
                _look(sight, ranking)
                looked = time.monotonic()


def _keys() -> str:
    return " ".join(f"{key} {order}" for key, order in KEYS.items()) + ", arrows scroll, q quits"
