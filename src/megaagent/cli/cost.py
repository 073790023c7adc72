"""megaagent cost: where the money went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from megaagent.cli.options import AsJson, Seen
from megaagent.errors import ConfigurationError
from megaagent.events import BOSS, VERIFIER

if TYPE_CHECKING:
    from megaagent.cli.table import Column, Row
    from megaagent.cli.words import Glyphs

HELP = """The stages are those of the paper's table of costs: planning is what recruits and assigns, merging what is
done by those to whom work was handed in, and by the verifier, solving all else. A role is a tier: boss, admin, worker,
judge, summarizer. The cost of an answer with several calls is shared equally among its tools. What was for nothing is
below the table: attempts that failed and may have been paid for, steps that only repeated themselves, and work that
was dropped or failed.

\b
Examples:
  megaagent cost
  megaagent cost --by subtree
  megaagent cost --by subtree --agent search
  megaagent cost 20261121-0931 --by tool --json"""

TABLES: Final = {"stage": "stages", "role": "tiers", "model": "models", "tool": "tools", "subtree": "subtrees"}


def command(
    seen: Seen,
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help="subtree, role, stage, model or tool.")] = "stage",
    agent: Annotated[
        str, typer.Option("--agent", metavar="NAME", help="Whose groups are told, with --by subtree.")
    ] = BOSS,
    json: AsJson = False,
) -> int:
    import sys

    from megaagent.cli.crowd import standing_of
    from megaagent.cli.reading import agent_named
    from megaagent.cli.sight import BEYOND
    from megaagent.cli.table import ENDLESS
    from megaagent.cli.words import fit, glyphs_for, print_json, terminal_width

    if by not in TABLES:
        raise ConfigurationError(f"--by {by}: say one of {', '.join(TABLES)}")
    with seen.sight() as sight:
        costs = sight.costs(agent_named(sight, agent))
        organization = sight.organization(BEYOND)
    head, status, rows = organization.header, standing_of(organization), _rows(costs, by, agent)
    if json:
        told = {name: costs[name] for name in ("waste", "returned", "faults", "economy") if name in costs}
        listed = [{**row, "cache_share": _share(row)} if "prompt" in row else row for row in rows]
        print_json({"run": head["run"], "status": status, "total": _total(head), "by": by, "rows": listed, **told})
        return 0
    glyphs, width = glyphs_for(sys.stdout), terminal_width()
    for line in [
        *_heading(head, status, costs.get("economy") or {}),
        *_table(_rows(costs, by, agent), by, terminal_width(), glyphs),
        *_waste(costs),
    ]:
        print(fit(line, width or ENDLESS, glyphs))
    return 0


def _total(head: Row) -> Row:
    names = ("simulated", "cost", "unpriced", "reserved", "prompt", "completion", "cached", "steps", "max_cost")
    return {name: head[name] for name in (*names, "max_tokens")} | {"cache_share": _share(head)}


def _rows(costs: Row, by: str, agent: str) -> list[Row]:
    """The table; beside the subtrees of the boss stands the verifier, which is no part of the tree."""
    rows: list[Row] = costs[TABLES[by]]
    judge = next((row for row in costs["tiers"] if row["name"] == "judge"), None)
    if by != "subtree" or agent != BOSS or judge is None:
        return rows
    verifier = {"name": "verifier", "agents": 0, "calls": judge["calls"], "failures": 0, "cost": judge["cost"]}
    return [*rows, {**verifier, "id": VERIFIER, "tokens": judge["prompt"] + judge["completion"]}]


def _share(row: Row) -> float:
    return round(row["cached"] / row["prompt"], 4) if row.get("prompt") else 0.0


def _heading(head: Row, status: str, economy: Row) -> Iterator[str]:
    from megaagent.cli.words import amount, clean, money, plural

    cap = f" of {money(head['max_cost'])}" if head["max_cost"] is not None else ""
    unknown = f", and {head['unpriced']} calls of unknown price" if head["unpriced"] else ""
    yield f"{clean(head['run'])}: {status}"
    yield f"{'simulated cost' if head['simulated'] else 'cost'} {money(head['cost'])}{cap}{unknown}"
    if economy.get("batches"):
        left = f"; {plural(economy['unanswered'], 'call')} came back unanswered" if economy["unanswered"] else ""
        went = f"{plural(economy['answered'], 'call')} in {plural(economy['batches'], 'batch', 'batches')}"
        yield f"economy: {went}, {money(economy['saved'])} less than singly{left}"
    if head["reserved"] > 0:
        yield f"reserved for calls in flight, and for some that may have been paid: {money(head['reserved'])}"
    yield (
        f"{amount(head['prompt'])} prompt tokens ({_share(head):.0%} from the cache), "
        f"{amount(head['completion'])} completion tokens, {head['steps']:,} calls"
    )
    yield ""


def _table(rows: list[Row], by: str, width: int | None, glyphs: Glyphs) -> Iterator[str]:
    from megaagent.cli.table import Column, table
    from megaagent.cli.words import money

    whole = sum(row["cost"] for row in rows) or 1.0
    last = [
        Column("COST", lambda row: money(row["cost"]), 10, True),
        Column("SHARE", lambda row: f"{row['cost'] / whole:.0%}", 6, True),
    ]
    return table(by.upper(), rows, [*_columns(by), *last], width, glyphs)


def _columns(by: str) -> list[Column]:
    """What a row tells; the first to go in a narrow terminal comes last."""
    from megaagent.cli.table import Column
    from megaagent.cli.words import amount, duration

    calls = Column("CALLS", lambda row: f"{row['calls']:,}", 8)
    if by == "subtree":
        return [
            Column("AGENTS", lambda row: f"{row['agents']:,}", 7),
            calls,
            Column("TOKENS", lambda row: amount(row["tokens"]), 8),
            Column("FAILED", lambda row: str(row["failures"]), 7),
        ]
    if by == "tool":
        return [calls, Column("REFUSED", lambda row: str(row["refused"]), 8)]
    told = [
        calls,
        Column("PROMPT", lambda row: amount(row["prompt"]), 8),
        Column("CACHED", lambda row: f"{_share(row):.0%}", 7),
        Column("OUTPUT", lambda row: amount(row["completion"]), 8),
        Column("CALL TIME", lambda row: duration(row["seconds"]), 10),
    ]
    return [*told, Column("WALL TIME", lambda row: duration(row["wall"]), 10)] if by == "stage" else told


def _waste(costs: Row) -> Iterator[str]:
    from megaagent.cli.words import amount, money, plural

    yield ""
    yield "for nothing"
    for row in costs["waste"]:
        yield f"  {money(row['cost']):>9} {amount(row['tokens']):>7} tokens  {row['count']:>4} {row['words']}"
    if costs["returned"]:
        yield f"  work was returned {plural(costs['returned'], 'time')}"
