"""`sim:answers` and `sim:answers-70`: a simulated model that knows the right answer to so many of 100 items.

No model is asked. It plays a boss who hires one solver, or works alone where nobody can be hired, so that a known score
must come out at the end of real runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Benchmark, Item
from megaagent.models.contract import Model
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, terminate, wait, write_file
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.settings import Settings

_NAME = re.compile(r"sim:answers(?:-(\d{1,3}))?")
DONT_KNOW = "I do not know."
_WRONG = "x = 1\n"  # as a program, as a plan


def known_share(model: str) -> float | None:
    """The share of right answers that a model's name promises, 0 to 1; None of any other model.

    Raises:
        ConfigurationError: the share is over 100.
    """
    found = _NAME.fullmatch(model)
    if found is None:
        return None
    share = int(found[1] or 100)
    if share > 100:
        raise ConfigurationError(f"--model {model}: the number is a share of right answers in percent, 0 to 100")
    return share / 100


def played_models(benchmark: Benchmark, items: Sequence[Item], settings: Settings) -> dict[str, Model]:
    """The simulated model that knows answers, by its name, when it is the one that is asked for.

    Raises:
        ConfigurationError: it is a simulated model that cannot play this evaluation.
    """
    name = settings.model.name or ""
    if not name.startswith("sim:"):
        return {}
    if name == f"sim:{benchmark.scenario}":
        return {}
    share = known_share(name) if benchmark.scenario is None else None
    if share is None:
        who = f"sim:{benchmark.scenario}" if benchmark.scenario else "sim:answers-NN, which knows NN of 100 answers"
        raise ConfigurationError(f"--model {name}: no simulated model that plays {benchmark.title}; there is {who}")
    speed = settings.simulation.speed
    played = script(benchmark, items, right_ones(items, share))
    return {name: SimulatedModel(played, name=name, latency=Latency(speed=speed) if speed else AT_ONCE)}


def right_ones(items: Sequence[Item], share: float) -> frozenset[str]:
    """The items that are answered right: that share of them, drawn by their ids."""
    order = sorted(items, key=lambda item: blake2b(item.id.encode()).digest())
    return frozenset(item.id for item in order[: round(share * len(items))])


def script(benchmark: Benchmark, items: Sequence[Item], right: Iterable[str]) -> Script:
    """Who plays a run of one of these items."""
    known = frozenset(right)
    by_goal = {_squeezed(benchmark.goal(item)): item for item in items}

    def item_of(me: Part) -> Item:
        text = _squeezed(me.role_text)
        return next(item for goal, item in by_goal.items() if goal in text)

    def boss(me: Part) -> Playing:
        item = item_of(me)
        prompt = (
            f"You are solver. Alone, write {benchmark.file or 'a report'}, with the answer to this:\n"
            f"{benchmark.goal(item)}\nYou are done when it is handed in."
        )
        yield add_agent("solver", "Solves the problem.", prompt)
        if not me.last.ok:
            yield from solve(me, item)
            return _report(benchmark, item, item.id in known)
        while not (report := me.heard("solver", "report")):
            yield wait(["solver"], "its result")
        yield say(review(["solver"], "accept", "Good."), terminate(report.text))
        return report.text

    def solver(me: Part) -> Playing:
        item = item_of(me)
        yield from solve(me, item)
        return _report(benchmark, item, item.id in known)

    def solve(me: Part, item: Item) -> Playing:
        if benchmark.file is not None:
            answer = benchmark.right_answer(item) if item.id in known else _WRONG
            yield write_file(benchmark.file, answer)
        return None

    return Script({"boss": boss, "solver": solver})


def _report(benchmark: Benchmark, item: Item, right: bool) -> str:
    if benchmark.file is not None:
        return f"{benchmark.file} is written."
    return benchmark.right_answer(item) if right else DONT_KNOW


def _squeezed(text: str) -> str:
    return " ".join(text.split())
