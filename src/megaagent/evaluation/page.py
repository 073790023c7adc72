"""An evaluation as one self-contained page, beside the figures of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from megaagent.evaluation import benchmark
from megaagent.evaluation.figures import Line, lines_of, stages_of
from megaagent.evaluation.paper import PAPER, WHOSE
from megaagent.evaluation.results import Plan, Row

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1d1e; background: #fff; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top; }
th { font-weight: 600; }
td:not(.left):not(:first-child) { white-space: nowrap; } th:first-child, td:first-child, .left { text-align: left; }
.paper td { color: #5b4a00; background: #fff9e3; }
.sim { background: #fde8e8; border: 1px solid #e8a0a0; padding: .5rem .8rem; border-radius: 4px; }
.bad { color: #9c1c1c; } .note { color: #555; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e3; background: #14181a; } th, td { border-color: #3a4042; }
  .paper td { color: #f0dfa0; background: #2b2714; } .sim { background: #3a1c1c; border-color: #7a3a3a; }
  .bad { color: #ff9d9d; } .note { color: #aaa; } }
"""
_MOST = 2_000  # items that are listed


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
            "money are made up by a script; the organization, its tools and the scoring are real. The paper's figures "
            "cannot be compared with these.</p>"
        )
    yield f'<p class="note">MegaAgent {escape(plan.version)}; data {escape(plan.data)}; {len(rows):,} runs.</p>'
    yield "<h2>Arms</h2>"
    yield from _table(_HEADS, [*map(_cells, lines), *_of_paper(plan)])
    yield (
        '<p class="note">Score with its 95 % interval (Wilson where items are right or wrong, else bootstrap). '
        f"Tokens, money, time, agents and steps are means of one run. Lines of {escape(WHOSE)} are what it reports for "
        "its own implementation and model; they were not measured here.</p>"
    )
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


_HEADS = ("arm", "items", "score", "95 %", "tokens", "money", "time", "agents", "steps", "money in all")


def _cells(line: Line) -> tuple[str, Sequence[str]]:
    unpriced = f" and {line.unpriced:,} calls without a price" if line.unpriced else ""
    return "", (
        f"{line.arm}: {line.title}",
        f"{line.items:,}" + (f" x {line.runs / line.items:g}" if line.runs != line.items else ""),
        f"{line.score:.1%}",
        f"{line.low:.1%} to {line.high:.1%}",
        f"{line.tokens:,.0f}",
        f"${line.cost:.4f}",
        f"{line.seconds:,.1f} s",
        f"{line.agents:.1f}",
        f"{line.steps:.1f}",
        f"${line.total_cost:.2f}{unpriced}",
    )


def _of_paper(plan: Plan) -> Iterator[tuple[str, Sequence[str]]]:
    told = PAPER.get(plan.evaluation)
    if told is not None:
        score = f"{told.score:.1f} %" if told.score is not None else ""
        seconds = f"{told.seconds:,.0f} s" if told.seconds is not None else ""
        agents = f"{told.agents:,}" if told.agents is not None else ""
        yield "paper", (f"{WHOSE}, {told.model}", "", score, "", "", "", seconds, agents, "", "")


def _parts(lines: Sequence[Line]) -> Iterator[str]:
    names = list(dict.fromkeys(name for line in lines for name in line.parts))
    if names:
        yield "<h2>Parts</h2>"
        rows = [
            ("", (name, *(_part(line.parts[name]) if name in line.parts else "" for line in lines))) for name in names
        ]
        yield from _table(("", *(line.arm for line in lines)), rows)
    ks = sorted({k for line in lines for k in line.pass_at})
    if ks:
        rows = [("", (f"pass@{k}", *(f"{line.pass_at[k]:.1%}" for line in lines if k in line.pass_at))) for k in ks]
        yield from _table(("", *(line.arm for line in lines)), rows)


def _part(counts: tuple[int, int]) -> str:
    passed, total = counts
    return f"{passed:,} of {total:,} ({passed / total if total else 0:.1%})"


def _items(rows: Sequence[Row]) -> Iterator[str]:
    table: list[tuple[str, Sequence[str]]] = []
    for row in rows[:_MOST]:
        outcome = "passed" if row.passed else row.why or "failed"
        figures = (f"{row.tokens:,}", f"${row.cost:.4f}", f"{row.seconds:,.1f} s", str(row.agents), str(row.steps))
        table.append(("" if row.passed else "bad", (row.id, row.arm, outcome[:300], row.status, *figures, row.run)))
    heads = ("item", "arm", "outcome", "ended", "tokens", "money", "time", "agents", "steps", "journal in")
    yield from _table(heads, table, left=4)
    if len(rows) > _MOST:
        yield f'<p class="note">and {len(rows) - _MOST:,} more in results.jsonl</p>'


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], left: int = 1) -> Iterator[str]:
    def cell(tag: str, number: int, text: str) -> str:
        return f"<{tag}{' class=left' if number < left else ''}>{escape(text)}</{tag}>"

    yield '<div class="scroll"><table>'
    yield f"<tr>{''.join(cell('th', number, head) for number, head in enumerate(heads))}</tr>"
    for kind, cells in rows:
        inside = "".join(cell("td", number, text) for number, text in enumerate(cells))
        yield f"<tr{f' class={kind}' if kind else ''}>{inside}</tr>"
    yield "</table></div>"
