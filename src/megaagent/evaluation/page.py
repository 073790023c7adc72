"""An evaluation as one self-contained page, beside the figures of the paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TypeAlias

from megaagent.evaluation import benchmark
from megaagent.evaluation.figures import Line, lines_of, stages_of
from megaagent.evaluation.paper import PAPER, WHOSE
from megaagent.evaluation.results import Plan, Row

_STYLE = """
:root { --ink: #1a1d1e; --paper: #fff; --line: #ddd; --note: #555; --bad: #9c1c1c; --other: #5b4a00;
  --other-back: #fff9e3; --sim: #fde8e8; --sim-line: #e8a0a0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --paper: #14181a; --line: #3a4042; --note: #aaa;
  --bad: #ff9d9d; --other: #f0dfa0; --other-back: #2b2714; --sim: #3a1c1c; --sim-line: #7a3a3a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td { white-space: nowrap; } th:first-child, td:first-child, .left { text-align: left; }
td.left { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
h1 { overflow-wrap: anywhere; } small { display: block; color: var(--note); font-size: .85em; }
.other td { color: var(--other); background: var(--other-back); }
.sim { background: var(--sim); border: 1px solid var(--sim-line); padding: .5rem .8rem; border-radius: 4px; }
.bad td { color: var(--bad); } .note { color: var(--note); }
@media (max-width: 62rem) {
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: 4px; margin: .6rem 0; padding: .3rem .7rem; }
  td, td:first-child, .left { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0;
    text-align: right; white-space: normal; background: none; }
  td::before { content: attr(data-head); color: var(--note); text-align: left; flex: none; } td:empty { display: none; }
  .other { background: var(--other-back); }
}
"""
_MOST = 2_000  # items that are listed
Cell: TypeAlias = tuple[str, str]  # what it says, and what stands small below
Cells: TypeAlias = Sequence[str | Cell]


def page(plan: Plan, rows: Sequence[Row]) -> str:
    """The page of an evaluation, as HTML; it loads nothing."""
    return "\n".join(_page(plan, rows)) + "\n"


def _page(plan: Plan, rows: Sequence[Row]) -> Iterator[str]:
    title = benchmark(plan.evaluation).title
    lines = lines_of(rows)
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}: {escape(plan.model)}</title>'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<style>{_STYLE}</style><h1>{escape(title)}, {escape(plan.model)}</h1>"
    if plan.simulated:
        yield (
            '<p class="sim"><strong>This was a simulation: no model was asked.</strong> Answers, tokens, times and '
            "money are made up by a script, so the scores are those that it was written to have; the organization, its "
            "tools and the scoring are real.</p>"
        )
    yield f'<p class="note">MegaAgent {escape(plan.version)}; data {escape(plan.data)}; {len(rows):,} runs.</p>'
    yield "<h2>Arms</h2>"
    ours = [("", _cells(line, plan)) for line in lines]
    theirs = [] if plan.simulated else [("other", cells) for cells in _of_paper(plan)]
    yield from _table(_heads(plan), [*ours, *theirs], left=2)
    yield (
        '<p class="note">Below each score its 95 % interval (Wilson where items are right or wrong or few, else '
        "bootstrap). Tokens, money, time, agents and steps are means of one run.</p>"
    )
    yield from _whose(plan)
    yield from _parts(lines)
    yield "<h2>Stages</h2>"
    heads = ("arm", "stage", "calls", "tokens", "share of tokens", "money", "time")
    stages = [
        (s.arm, s.stage, f"{s.calls:,}", f"{s.tokens:,}", f"{s.share:.0%}", f"${s.cost:.4f}", f"{s.seconds:,.1f} s")
        for s in stages_of(rows)
    ]
    yield from _table(heads, [("", cells) for cells in stages], left=2)
    yield (
        '<p class="note">Planning: calls that recruit or assign, and what an agent did before it first recruited. '
        "Merging: calls of an agent to whom work was handed in, and the verifier's. Time: a call of the stage "
        "was in flight, summed over runs.</p>"
    )
    yield "<h2>Items</h2>"
    yield from _items(rows)


def _heads(plan: Plan) -> Sequence[str]:
    made_up = "simulated " if plan.simulated else ""
    figures = (f"{made_up}score", "tokens", f"{made_up}money", "time", "agents", "steps", "money in all")
    return ("arm", "whose, which model", "items", *figures)


def _cells(line: Line, plan: Plan) -> Cells:
    unpriced = f"and {line.unpriced:,} calls without a price" if line.unpriced else ""
    model = f"{plan.model}{', a simulation' if plan.simulated else ''}"
    return (
        (line.arm, line.title),
        (f"MegaAgent {plan.version}", model),
        f"{line.items:,}" + (f" x {line.runs / line.items:g}" if line.runs != line.items else ""),
        (f"{line.score:.1%}", f"{line.low:.1%} to {line.high:.1%}"),
        f"{line.tokens:,.0f}",
        f"${line.cost:.4f}",
        f"{line.seconds:,.1f} s",
        f"{line.agents:,.1f}",
        f"{line.steps:,.1f}",
        (f"${line.total_cost:.2f}", unpriced),
    )


def _of_paper(plan: Plan) -> Iterator[Cells]:
    told = PAPER.get(plan.evaluation)
    if told is not None:
        score = f"{told.score:.1f}%" if told.score is not None else ""
        seconds = f"{told.seconds:,.0f} s" if told.seconds is not None else ""
        agents = f"{told.agents:,}" if told.agents is not None else ""
        whose = ("the paper's own implementation", told.model)
        yield ("as reported", "not measured here"), whose, "", score, "", "", seconds, agents, "", ""


def _whose(plan: Plan) -> Iterator[str]:
    """What the paper reports: in words of its own when ours is made up, since nothing can be read out of the two."""
    told = PAPER.get(plan.evaluation)
    if told is None:
        return
    if not plan.simulated:
        yield f'<p class="note">What {escape(WHOSE)} reports is of its own implementation and model.</p>'
        return
    yield (
        f'<p class="note">{escape(WHOSE[0].upper() + WHOSE[1:])} reports of its own implementation with '
        f"{escape(told.model)}: {told.in_words}. A simulation says nothing about that.</p>"
    )


def _parts(lines: Sequence[Line]) -> Iterator[str]:
    names = list(dict.fromkeys(name for line in lines for name in line.parts))
    if names:
        yield "<h2>Parts</h2>"
        rows: list[tuple[str, Cells]] = [
            ("", (name, *(_part(line.parts[name]) if name in line.parts else "" for line in lines))) for name in names
        ]
        yield from _table(("part", *(line.arm for line in lines)), rows)
    ks = sorted({k for line in lines for k in line.pass_at})
    if ks:
        of = [(k, [f"{line.pass_at[k]:.1%}" if k in line.pass_at else "" for line in lines]) for k in ks]
        yield from _table(("pass@k", *(line.arm for line in lines)), [("", (f"pass@{k}", *told)) for k, told in of])


def _part(counts: tuple[int, int]) -> Cell:
    passed, total = counts
    return f"{passed / total if total else 0:.1%}", f"{passed:,} of {total:,}"


def _items(rows: Sequence[Row]) -> Iterator[str]:
    arms = list(dict.fromkeys(row.arm for row in rows))
    order = sorted(rows, key=lambda row: (arms.index(row.arm), _natural(row.id), row.sample))
    table: list[tuple[str, Cells]] = []
    for row in order[:_MOST]:
        outcome = "passed" if row.passed else row.why or "failed"
        figures = (f"{row.tokens:,}", f"${row.cost:.4f}", f"{row.seconds:,.1f} s", str(row.agents), str(row.steps))
        table.append(("" if row.passed else "bad", ((row.id, row.run), row.arm, outcome[:300], row.status, *figures)))
    heads = ("item", "arm", "outcome", "ended", "tokens", "money", "time", "agents", "steps")
    yield from _table(heads, table, left=4)
    yield '<p class="note">Below each item the folder of its run, which holds its journal and its report.</p>'
    if len(rows) > _MOST:
        yield f'<p class="note">and {len(rows) - _MOST:,} more in results.jsonl</p>'


def _natural(id: str) -> list[tuple[int, str]]:
    """So that 10 comes after 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", id)]


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Cells]], left: int = 1) -> Iterator[str]:
    """
    Args:
        rows: each with its class.
        left: columns that are texts.
    """
    aligned = [" class=left" if number < left else "" for number in range(len(heads))]
    cells = "".join(f"<th{kind}>{escape(head)}</th>" for kind, head in zip(aligned, heads, strict=True))
    yield f"<table><thead><tr>{cells}</tr></thead><tbody>"
    for kind, said in rows:
        inside = "".join(
            f'<td{align} data-head="{escape(head)}">{_said(cell)}</td>'
            for align, head, cell in zip(aligned, heads, said, strict=False)
        )
        yield f"<tr{f' class={kind}' if kind else ''}>{inside}</tr>"
    yield "</tbody></table>"


def _said(cell: str | Cell) -> str:
    text, small = cell if isinstance(cell, tuple) else (cell, "")
    return f"<span>{escape(text)}<small>{escape(small)}</small></span>" if small else escape(text)
