"""The tables of a page: cost, files, checks, troubles, agents, settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from megaagent.report.document import Agent, Figures, Part, Report, Round, Row, Tool
from megaagent.report.parts import MANY, Cell, bar, dot, flat, folded, listed, table
from megaagent.report.picture import colour
from megaagent.report.words import duration, markup, moment, money, one_line, percent, plural

BAD: Final = ("failed", "dropped")
NAMED: Final = 5  # authors of a file


def cost(report: Report) -> Iterator[str]:
    yield "<h2>Tokens, money and time</h2>"
    if report.run.simulated:
        yield '<p class="soft">Simulated: counted by a law, priced as a real model would be.</p>'
    yield "<h3>By stage</h3>"
    yield _rows(report.stages, "Stage", report, wall=True)
    yield (
        '<p class="soft">Planning: calls that recruit or assign, and what led to the first recruiting. Merging: of who '
        "has had work handed in, and of the verifier. Stages overlap, so their times add up to more than the run's.</p>"
    )
    yield "<h3>By part of the organization</h3>"
    yield _parts(report.parts)
    if len(report.models) > 1:
        yield "<h3>By model</h3>"
        yield _rows(report.models, "Model", report)
    if len(report.tiers) > 1:
        yield "<h3>By tier</h3>"
        yield _rows(report.tiers, "Tier", report)
    if report.tools:
        yield "<h3>By tool</h3>"
        yield _tools(report.tools)
    if report.waste:
        yield "<h3>For nothing</h3>"
        cells = [
            [
                ("long", markup(waste.words)),
                ("num", f"{waste.count:,}"),
                ("num", f"{waste.tokens:,}"),
                ("num", money(waste.cost)),
            ]
            for waste in report.waste
        ]
        yield table(["What", "#Times", "#Tokens", "#Cost"], cells)
    if report.figures.batches:
        yield f"<p>{markup(by_the_batch(report.figures))}</p>"
    if report.figures.returned:
        yield f"<p>Work was given back {plural(report.figures.returned, 'time')} by who had given it out.</p>"


def by_the_batch(figures: Figures) -> str:
    """What went by the batch, and what that saved, in words."""
    left = (
        f"; {plural(figures.unbatched, 'call')} came back without an answer and went singly"
        if figures.unbatched
        else ""
    )
    went = f"{plural(figures.batched, 'call')} went by the batch, in {plural(figures.batches, 'batch', 'batches')}"
    return f"Economy: {went}, for {money(figures.saved)} less than singly{left}."


def _tools(tools: Sequence[Tool]) -> str:
    most = max((tool.cost for tool in tools), default=0.0)
    cells = [
        [
            ("fixed", f"<code>{markup(one_line(tool.name, 60))}</code>"),
            ("num", f"{tool.calls:,}"),
            ("num", f"{tool.refused:,}"),
            ("num", money(tool.cost)),
            ("fixed", bar(tool.cost / most if most else 0.0, "g0")),
        ]
        for tool in tools
    ]
    return folded(["Tool", "#Calls", "#Refused", "#Cost of the answers", ""], cells, "tools")


def _rows(rows: Sequence[Row], title: str, report: Report, wall: bool = False) -> str:
    most = max((row.cost for row in rows), default=0.0)
    walls = ["#Time"] if wall else []
    heads = [
        title,
        "#Calls",
        "#Prompt",
        "#Cached",
        "#Completion",
        "#Cost",
        "",
        *walls,
        "#Model time",
    ]
    cells = [
        [
            ("fixed", markup(one_line(row.name, 60))),
            ("num", f"{row.calls:,}"),
            ("num", f"{row.prompt:,}"),
            ("num", percent(row.cached / row.prompt) if row.prompt else "–"),
            ("num", f"{row.completion:,}"),
            ("num", money(row.cost)),
            ("fixed", bar(row.cost / most if most else 0.0, "g0")),
            *([("num", duration(row.wall or 0.0))] if wall else []),
            ("num", duration(row.seconds)),
        ]
        for row in rows
    ]
    figures = report.figures
    total: list[Cell] = [
        ("", "All"),
        ("num", f"{sum(row.calls for row in rows):,}"),
        ("num", f"{sum(row.prompt for row in rows):,}"),
        ("num", percent(figures.cache_share)),
        ("num", f"{sum(row.completion for row in rows):,}"),
        ("num", money(sum(row.cost for row in rows))),
        ("", ""),
        *([("num", duration(report.time.seconds))] if wall else []),
        ("num", duration(sum(row.seconds for row in rows))),
    ]
    return table(heads, cells, total)


def _parts(parts: Sequence[Part]) -> str:
    most = max((part.cost for part in parts), default=0.0)
    cells = [
        [
            ("fixed", f"{dot(part.part)}{markup(one_line(part.name, 40))}"),
            ("num", f"{part.agents:,}"),
            ("num", f"{part.calls:,}"),
            ("num", f"{part.tokens:,}"),
            ("num", money(part.cost)),
            ("fixed", bar(part.cost / most if most else 0.0, colour(part.part))),
        ]
        for part in parts
    ]
    return folded(["Part", "#Agents", "#Calls", "#Tokens", "#Cost", ""], cells, "parts")


def files(report: Report) -> Iterator[str]:
    there = [file for file in report.files if not file.removed]
    yield "<h2>Files</h2>"
    if not there:
        yield '<p class="soft">None.</p>'
        return
    largest = sorted(there, key=lambda file: (-file.writes, file.path)) if len(there) > MANY else there
    cells = [
        [
            ("path", f"<code>{markup(one_line(file.path, 200))}</code>"),
            ("num", f"{file.size:,}"),
            ("num", f"{file.writes:,}"),
            (
                "long",
                markup(
                    ", ".join(f"{a.name} {a.writes}×" if a.writes > 1 else a.name for a in file.authors[:NAMED])
                    + (f" and {len(file.authors) - NAMED} more" if len(file.authors) > NAMED else "")
                ),
            ),
        ]
        for file in largest
    ]
    yield folded(["File", "#Bytes", "#Writes", "Authors"], cells, "files")


def checks(report: Report) -> Iterator[str]:
    yield "<h2>Checks</h2>"
    if not report.rounds:
        yield '<p class="soft">The deliverable was not verified.</p>'
    for round in report.rounds[-6:]:
        yield from _round(round)
    if report.programs:
        yield "<h3>Programs that agents ran</h3>"
        cells = [
            [
                ("path", f"<code>{markup(program.command)}</code>"),
                ("num", f"{program.runs:,}"),
                ("num bad" if program.failed else "num", f"{program.failed:,}"),
                ("num", "–" if program.last is None else str(program.last)),
                ("num", duration(program.seconds)),
                ("long", markup(", ".join(program.agents))),
            ]
            for program in report.programs
        ]
        yield folded(["Command", "#Runs", "#Not 0", "#Last exit code", "#Time", "Agents"], cells, "commands")


def _round(round: Round) -> Iterator[str]:
    verdict = {True: ("good", "confirmed"), False: ("bad", "not confirmed"), None: ("warn", "no verdict yet")}
    kind, words = verdict[round.confirmed]
    yield f'<h3>Verification, round {round.number}: <span class="{kind}">{words}</span></h3>'
    passed = [check.name for check in round.checks if check.passed]
    failed = [check for check in round.checks if not check.passed]
    if round.checks:
        yield '<ul class="plain">'
        for check in failed:
            name = markup(one_line(check.name))
            yield f'<li><span class="check bad">✗</span>{name} failed{_output(check.output)}</li>'
        if passed:
            names = markup(one_line(", ".join(passed), 2_000))
            yield f'<li><span class="check good">✓</span>{plural(len(passed), "check")} passed: {names}</li>'
        yield "</ul>"
    if round.gaps and failed:
        yield f"<details><summary>{plural(len(round.gaps), 'gap')} that the verifier named</summary>"
        yield f"{listed(round.gaps)}</details>"
    elif round.gaps:
        yield listed(f"gap: {gap}" for gap in round.gaps)


def _output(words: str) -> str:
    """What a failed check said: on its line when it is short, folded otherwise."""
    words = words.strip()
    if not words:
        return ""
    if len(words) <= 160 and "\n" not in words:
        return f': <span class="soft">{markup(words)}</span>'
    return f'<details><summary>its output</summary><pre class="text">{markup(words)}</pre></details>'


def troubles(report: Report) -> Iterator[str]:
    yield "<h2>Interventions</h2>"
    if report.interventions:
        began = report.time.began
        cells = [
            [
                ("num", duration(max(0.0, each.time - began))),
                ("fixed", markup(each.by)),
                ("fixed", markup(one_line(each.whom, 40) or "the run")),
                ("long", markup(each.what)),
                ("long soft", markup(each.detail)),
            ]
            for each in report.interventions
        ]
        yield folded(["#After", "By", "Whom", "What", ""], cells, "interventions", total=report.interventions_total)
    else:
        yield '<p class="soft">None: neither the supervisor nor a person had to step in.</p>'
    yield "<h2>What went wrong and was put right</h2>"
    if report.repairs:
        ordered = sorted(report.repairs, key=lambda repair: -repair.count)
        yield folded(
            ["#Times", "What"], [[("num", f"{r.count:,}"), ("long", markup(r.what))] for r in ordered], "kinds"
        )
    else:
        yield '<p class="soft">Nothing.</p>'


def agents(agents: Sequence[Agent]) -> Iterator[str]:
    yield "<h2>Agents</h2>"
    shown = agents
    if len(agents) > MANY:  # those above all, and the dearest
        shown = sorted(agents, key=lambda agent: (agent.part >= 0, -agent.cost))
    cells = [
        [
            ("fixed", f"{dot(agent.part)}{markup(one_line(agent.name, 40))}"),
            ("long", markup(agent.role)),
            ("fixed " + ("bad" if agent.standing in BAD else ""), markup(agent.standing)),
            ("num", f"{agent.steps:,}"),
            ("num", f"{agent.tokens:,}"),
            ("num", money(agent.cost)),
            ("num", f"{agent.writes:,}"),
            ("num", f"{agent.refused:,}"),
        ]
        for agent in shown
    ]
    heads = ["Agent", "Role", "At the end", "#Calls", "#Tokens", "#Cost", "#Writes", "#Refused"]
    yield folded(heads, cells, "agents")


def settings(report: Report) -> Iterator[str]:
    run = report.run
    yield "<h2>Settings and versions</h2>"
    facts = [
        ("Run", run.id),
        ("Model", run.model or "by tier"),
        ("MegaAgent", ", ".join(run.versions)),
        *([("Prices", run.prices)] if run.prices else []),
        ("Began", moment(report.time.began)),
        ("Last fact", moment(report.time.ended)),
        ("Scenario", run.scenario or "none"),
        ("Started from", run.source or "an empty workspace"),
        ("Deliverable", run.revision or "none"),
        *([("Continues", run.parent)] if run.parent else []),
        *([("Resumed", plural(run.resumed, "time"))] if run.resumed else []),
    ]
    yield table(["", ""], [[("fixed soft", name), ("path", markup(value))] for name, value in facts])
    chosen = list(flat(run.settings))
    if chosen:
        cells: list[list[Cell]] = [
            [("fixed", f"<code>{markup(name)}</code>"), ("path", f"<code>{markup(one_line(value, 400))}</code>")]
            for name, value in chosen
        ]
        yield f"<details><summary>{plural(len(chosen), 'setting')} of this run</summary>"
        yield f"{table(['Setting', 'Value'], cells)}</details>"
    yield (
        f"<footer>Made from the journal of run {markup(run.id)}. This file holds no script and asks for nothing from "
        "anywhere.</footer>"
    )
