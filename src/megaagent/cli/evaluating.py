"""What `megaagent eval NAME` does: begins or goes on with an evaluation, shows it, and writes its page."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from megaagent.cli.configured import assignment
from megaagent.cli.exits import INTERRUPTED
from megaagent.cli.options import shown
from megaagent.cli.words import clean, clean_json, money, plural
from megaagent.errors import ConfigurationError
from megaagent.events import Struct

if TYPE_CHECKING:
    from megaagent.evaluation.experiment import Outcome, Wish
    from megaagent.evaluation.figures import Line, StageLine
    from megaagent.evaluation.results import Row

EVALS = "megaagent-evals"
PAGE = "page.html"
MOST = 10.0  # US dollars that an evaluation may cost unless told otherwise
EXHAUSTED = 5
INCOMPLETE = 3


class Asked(Struct, frozen=True):
    """The command line."""

    name: str
    data: Path | None
    arms: list[str]
    limit: int | None
    repeats: int
    max_cost: float | None
    parallel: int
    into: Path | None
    json: bool


def evaluate_and_show(asked: Asked, file: Path | None, given: Sequence[str], changes: Mapping[str, Any]) -> int:
    """Run the evaluation, print its table and write its page; returns the exit code."""
    from megaagent.evaluation.experiment import evaluate
    from megaagent.evaluation.page import page

    wish = _wish(asked, file, given, changes)
    tell, begins = (_told, partial(_say_what_begins, wish, asked.max_cost)) if not asked.json else (_nothing, _nothing)
    try:
        outcome = asyncio.run(evaluate(wish, environ=os.environ, tell=tell, begins=begins, waits=_waits))
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on where it was: {shown(wish.into)}", file=sys.stderr)
        return INTERRUPTED
    place = wish.into / PAGE
    try:
        place.write_text(page(outcome.plan, outcome.rows), encoding="utf-8")
    except OSError as error:  # the figures are told all the same
        print(f"the page {shown(place)} cannot be written: {error.strerror}", file=sys.stderr)
    if asked.json:
        from megaagent.evaluation.figures import lines_of, stages_of

        told = {"plan": outcome.plan, "arms": lines_of(outcome.rows), "stages": stages_of(outcome.rows)}
        told |= {"left": outcome.left, "waiting": outcome.waiting}
        told |= {"halted": outcome.halted, "failed": outcome.failed}
        told |= {"spent": outcome.spent, "page": str(place)}
        print(clean_json(msgspec.json.encode(told).decode()))
    else:
        print("\n".join(_table(outcome)))
        print(f"page: {shown(place)}")
    return EXHAUSTED if outcome.left and not outcome.failed else INCOMPLETE if outcome.failed else 0


def _wish(asked: Asked, file: Path | None, given: Sequence[str], changes: Mapping[str, Any]) -> Wish:
    from megaagent.choice import check_price, is_simulated
    from megaagent.evaluation import benchmark
    from megaagent.evaluation.arms import chosen_arms
    from megaagent.evaluation.data import load
    from megaagent.evaluation.experiment import Wish, digest_of
    from megaagent.settings import Settings, changed
    from megaagent.settings import load as load_settings

    chosen = benchmark(asked.name)
    settings = changed(load_settings(file) if file else Settings(), chosen.settings, f"the benchmark {asked.name}")
    settings = changed(settings, dict([*map(assignment, given), *changes.items()]), "the command line")
    if settings.model.name is None and chosen.scenario is not None:
        settings = changed(settings, {"model.name": f"sim:{chosen.scenario}"}, "the benchmark")
    name = settings.model.name
    if name is None:
        raise ConfigurationError(
            "no model is named: --model openai:NAME, with OPENAI_API_KEY set; or rehearse with one that knows the "
            "answers: --model sim:answers-70"
        )
    try:
        check_price(settings)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("--max-tokens", "--item-tokens")) from error
    items = load(chosen, asked.data)
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{asked.name}-{name}")
    into = asked.into or Path(EVALS) / folder
    wanted = items[: asked.limit]
    arms = chosen_arms(asked.arms)
    cost = asked.max_cost
    if cost is None:
        runs = len(wanted) * len(arms) * asked.repeats
        # A panel's questions are not in an item's cap; nobody pays for either.
        cost = 2 * runs * (settings.budget.cost or MOST) if is_simulated(settings) else MOST
    if not 0 < cost < float("inf"):
        raise ConfigurationError(f"--max-cost must be more than 0 and finite, not {cost}")
    return Wish(chosen, wanted, arms, settings, into, digest_of(items), cost, asked.repeats, asked.parallel)


def _nothing(*told: object) -> None:
    """With --json the figures are all that is printed."""


def _waits(reason: str | None) -> None:
    print("the disk takes what is written again" if reason is None else f"waiting: {reason}", file=sys.stderr)


def _say_what_begins(wish: Wish, max_cost: float | None) -> None:
    runs = len(wish.items) * len(wish.arms) * wish.repeats
    arms = ", ".join(arm.name for arm in wish.arms)
    simulated = (wish.settings.model.name or "").startswith("sim:")
    item = money(wish.settings.budget.cost or 0.0)
    cap = "no cap for all" if simulated and max_cost is None else f"at most {money(wish.max_cost)} for all"
    print(f"{wish.benchmark.title}: {plural(len(wish.items), 'item')}, arms {arms}, {plural(runs, 'run')} in all")
    print(f"{wish.settings.model.name}; {cap}, at most {item} for one; in {shown(wish.into)}")
    if simulated:
        print("this is a simulation: no model is asked; tokens, times and money are made up")
    sys.stdout.flush()


def _told(row: Row) -> None:
    outcome = "passed" if row.passed else f"{row.share:.0%}" if row.share else "failed"
    why = f"  {clean(row.why)[:100]}" if row.why else ""
    agents = f"{row.agents:>4} {'agent ' if row.agents == 1 else 'agents'}"
    figures = f"{row.tokens:>9,} tokens {money(row.cost):>9} {row.seconds:>7.1f} s {agents}"
    print(f"{clean(row.id):<28.28} {row.arm:<14} {outcome:<7} {figures}{why}", flush=True)


def _table(outcome: Outcome) -> Iterator[str]:
    from megaagent.evaluation.figures import lines_of, stages_of
    from megaagent.evaluation.paper import PAPER, WHOSE

    plan = outcome.plan
    yield ""
    simulated = " (a simulation: scores, tokens, money and times are made up)" if plan.simulated else ""
    yield f"MegaAgent {plan.version} with {clean(plan.model)}{simulated}; means of one run:"
    if not outcome.rows:
        yield "no run has a result yet"
        yield from _undone(outcome)
        return
    figures = f"{'TOKENS':>10}{'MONEY':>10}{'TIME':>10}{'AGENTS':>8}{'STEPS':>8}"
    yield f"{'ARM':<15}{'ITEMS':>7}{'SCORE':>8}  {'95 %':<17}{figures}"
    yield from map(_line, lines_of(outcome.rows))
    yield ""
    told = PAPER.get(plan.evaluation)
    if told is not None:
        not_ours = "not to be set beside a simulation" if plan.simulated else "not measured here"
        yield f"{WHOSE}, its own implementation with {told.model}: {told.in_words}; {not_ours}"
    for line in lines_of(outcome.rows):
        for k, share in line.pass_at.items():
            yield f"{line.arm}: pass@{k} {share:.1%}"
    yield from _parts(lines_of(outcome.rows))
    yield ""
    yield f"{'ARM':<15}{'STAGE':<10}{'CALLS':>8}{'TOKENS':>12}{'SHARE':>8}{'MONEY':>11}{'TIME':>11}"
    yield from map(_stage, stages_of(outcome.rows))
    yield ""
    yield from _undone(outcome)


def _undone(outcome: Outcome) -> Iterator[str]:
    """What was spent, and what there is to do still."""
    yield f"{money(outcome.spent)} spent in all{' (simulated)' if outcome.plan.simulated else ''}"
    if outcome.left:
        why = (
            "since the next would fail like this one" if outcome.halted else "raise --max-cost and call again to go on"
        )
        yield f"{plural(outcome.left, 'run was', 'runs were')} not begun; {why}"
    if outcome.waiting:
        wait = "waits" if outcome.waiting == 1 else "wait"
        yield f"{plural(outcome.waiting, 'run')} of the single agent {wait} for the first arm's"
    for failed in outcome.failed[:10]:
        yield f"not done: {clean(failed)[:300]}"
    if outcome.failed:
        yield f"{plural(len(outcome.failed), 'run is', 'runs are')} tried again by the same command"


def _parts(lines: Sequence[Line]) -> Iterator[str]:
    """The points beside the score, those of all arms together."""
    for part in dict.fromkeys(part for line in lines for part in line.parts):
        counts = [(line.arm, "{:,} of {:,}".format(*line.parts[part])) for line in lines if part in line.parts]
        same = len(counts) > 1 and len({count for _, count in counts}) == 1
        told = f"{counts[0][1]} in every arm" if same else ", ".join(f"{arm} {count}" for arm, count in counts)
        yield f"{part}: {told}"


def _line(line: Line) -> str:
    items = f"{line.items}x{line.runs / line.items:g}" if line.runs != line.items else str(line.items)
    spread = f"{line.low:.1%}..{line.high:.1%}"
    figures = f"{line.tokens:>10,.0f}{money(line.cost):>10}{f'{line.seconds:,.1f} s':>10}"
    return f"{line.arm:<15}{items:>7}{line.score:>8.1%}  {spread:<17}{figures}{line.agents:>8,.1f}{line.steps:>8,.1f}"


def _stage(stage: StageLine) -> str:
    tail = f"{stage.share:>8.0%}{money(stage.cost):>11}{f'{stage.seconds:,.1f} s':>11}"
    return f"{stage.arm:<15}{stage.stage:<10}{stage.calls:>8,}{stage.tokens:>12,}{tail}"
