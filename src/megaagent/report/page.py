"""A report as one HTML file that can be mailed: no script, nothing from anywhere else, agents' text as text only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Final

from megaagent.report import tables
from megaagent.report.document import Report
from megaagent.report.gathering import Gathering
from megaagent.report.parts import listed, text
from megaagent.report.picture import NAMED, ROUND, chart
from megaagent.report.style import inline, page_css
from megaagent.report.timeline import SINGLE, timeline
from megaagent.report.words import amount, duration, markup, moment, money, one_line, percent, plural

GOOD: Final = ("completed", "running")
BAD: Final = ("failed", "stalled", "cut off")


def page(report: Report, gathering: Gathering) -> str:
    """The whole file."""
    css = page_css()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    title = f"{report.run.scenario or one_line(report.run.goal, 60)}: {report.run.status}"
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{markup(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n"
        + "\n".join(_sections(report, gathering))
        + "\n</body>\n</html>\n"
    )


def _sections(report: Report, gathering: Gathering) -> Iterator[str]:
    yield from _head(report)
    yield _tiles(report)
    yield from _words(report)
    yield from _organization(report)
    yield from _time(report, gathering)
    yield from tables.cost(report)
    yield from tables.files(report)
    yield from tables.checks(report)
    yield from tables.troubles(report)
    yield from tables.agents(report.agents)
    yield from tables.settings(report)


# -- the head ---------------------------------------------------------------------------------------------------


def _head(report: Report) -> Iterator[str]:
    run = report.run
    kind = "good" if run.status in GOOD else "bad" if run.status in BAD else "warn"
    yield f'<header><p class="kicker">MegaAgent report · run {markup(run.id)}</p>'
    yield f"<h1>{markup(_title(report))}</h1>"
    yield (
        f'<p class="outcome"><span class="status {kind}">{markup(run.status)}</span>'
        f"<span>{markup(one_line(run.reason, 2_000))}</span></p></header>"
    )
    if run.simulated:
        yield (
            '<p class="notice"><strong>This was a simulation: no model was asked.</strong> '
            "Answers, tokens, times and costs are made up by a script.</p>"
        )
    if run.damage is not None:
        yield (
            '<p class="notice damage"><strong>The journal of this run is damaged.</strong> This is what could be read '
            f"of it. {markup(one_line(run.damage, 2_000))}</p>"
        )


def _title(report: Report) -> str:
    if report.run.scenario:
        return report.run.scenario.capitalize()
    paragraph = report.run.goal.strip().split("\n\n")[0] or "A run without a goal"
    sentence = paragraph.split(". ")[0]
    begin = sentence.split(": ")[0]
    return one_line(begin if len(begin) > 24 else sentence, 110)


def _tiles(report: Report) -> str:
    figures, time = report.figures, report.time
    troubles = sum(repair.count for repair in report.repairs)
    made_up = "simulated" if report.run.simulated else ""
    unpriced = f"and {plural(figures.unpriced, 'call')} of unknown price" if figures.unpriced else made_up
    tiles = [
        ("Agents", f"{figures.agents:,}", f"{plural(figures.messages, 'message')} between them"),
        ("Time", duration(time.seconds), moment(time.began)),
        ("Cost", money(figures.cost), unpriced),
        (
            "Tokens",
            amount(figures.prompt + figures.completion),
            f"{percent(figures.cache_share)} of the prompts from the cache",
        ),
        ("Model calls", f"{figures.calls:,}", f"{time.speedup:.1f} in flight on the average, {time.peak} at most"),
        ("Parallel efficiency", percent(time.efficiency), f"critical path {duration(time.critical)}"),
        ("Files", f"{figures.files:,}", f"{plural(figures.commits, 'commit')}"),
        ("Interventions", f"{report.interventions_total:,}", f"{plural(troubles, 'trouble')} put right"),
    ]
    drawn = "".join(
        f'<div class="tile"><dt>{name}</dt><dd class="figure">{markup(figure)}</dd>'
        f'<dd class="note">{markup(note)}</dd></div>'
        for name, figure, note in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>'


def _words(report: Report) -> Iterator[str]:
    run = report.run
    yield "<h2>The goal</h2>"
    yield text(run.goal)
    if run.text:
        yield "<h2>What the boss reported</h2>"
        yield text(run.text)
    if run.gaps:
        yield "<h2>What is missing</h2>"
        yield listed(run.gaps)


# -- pictures ---------------------------------------------------------------------------------------------------


def _organization(report: Report) -> Iterator[str]:
    drawn, width, height = chart(report)
    named = len(report.agents) <= NAMED
    title = f"The organization of {plural(len(report.agents), 'agent')}"
    wrong = sum(agent.standing in ("failed", "dropped") for agent in report.agents)
    parts = len({agent.part for agent in report.agents if agent.part >= 0})
    caption = f"{plural(len(report.agents), 'agent')}, {plural(parts, 'part')} of the work, neighbours in other colours"
    caption += "; a red rim marks work that failed or was dropped" if wrong else ""
    caption += "; large dots have spent more" if NAMED < len(report.agents) <= ROUND else ""
    yield "<h2>The organization</h2>"
    yield f"<figure>{inline(drawn, width, height, title, 'tree' if named else 'round')}"
    yield f"<figcaption>{caption}.</figcaption></figure>"


def _time(report: Report, gathering: Gathering) -> Iterator[str]:
    time = report.time
    yield "<h2>Time</h2>"
    yield f"<figure>{timeline(report, gathering)}<figcaption>"
    yield (
        "Solid: model calls; pale: programs and checks; thin: waiting. Red crosses are calls that failed, red bars "
        "interventions."
        if len(report.agents) <= SINGLE
        else "Each part of the organization: how many of its agents were in a call or a program."
    )
    yield "</figcaption></figure>"
    if time.seconds:
        chain = f"{duration(time.critical)} ({plural(time.critical_calls, 'model call')})"
        yield (
            f"<p>The longest chain of calls and programs that had to wait for each other took {chain}: no schedule of "
            f"these calls can be shorter. The run took {duration(time.seconds)}, so that chain was "
            f"<strong>{percent(time.efficiency)}</strong> of its time. {_rest(report)}All model calls together took "
            f"{duration(time.work)}, {time.speedup:.1f} times as long as the run; at least two were in flight during "
            f"{percent(time.overlap)} of it.</p>"
        )


def _rest(report: Report) -> str:
    """Where the time outside the critical path went, as far as it is known."""
    time = report.time
    if time.efficiency > 0.99:
        return ""
    verified = f"the verification ({duration(time.verification)} in all), " if time.verification else ""
    return f"The rest was {verified}waiting for limits or people, and the engine. "
