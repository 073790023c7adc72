"""Scores predictions, many at once, and sums the marks up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from math import fsum

from msgspec.structs import replace

from megaagent.evaluation.contract import Benchmark, Item, Mark, Prediction
from megaagent.evaluation.programs import Judge, judging
from megaagent.evaluation.statistics import interval, pass_at_k
from megaagent.events import Struct, storable

SHOWN_K = (1, 10, 100)


class Marked(Struct, frozen=True):
    """One prediction with its mark; `sample` counts the predictions for one item from 0."""

    id: str
    sample: int
    mark: Mark


class Summary(Struct, frozen=True):
    """What all marks come to; items without a prediction count as wrong.

    Attributes:
        score: mean over the items, each the share of its predictions that passed; 0 to 1.
        low, high: the 95 % interval of the score.
        answered: items that have a prediction.
        pass_at: k -> pass@k, where every item has at least k samples.
        parts: named points beside the score, passed of how many.
    """

    items: int
    answered: int
    passed: int
    score: float
    low: float
    high: float
    pass_at: dict[int, float]
    parts: dict[str, tuple[int, int]]


async def score_all(
    benchmark: Benchmark,
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    *,
    places: int = 2,
    tell: Callable[[Marked], None] = lambda marked: None,
) -> list[Marked]:
    """Score every prediction.

    Args:
        places: programs that are tried at once.
        tell: called with each mark as it comes.

    Raises:
        ConfigurationError: programs cannot be run here.
        SandboxError: they could be, and can no longer.
    """
    known = {item.id: item for item in items}
    numbers: dict[str, int] = {}

    async def one(prediction: Prediction, number: int, judge: Judge | None) -> Marked:
        mark = await score_one(benchmark, known[prediction.id], prediction, judge)
        marked = Marked(prediction.id, number, mark)
        tell(marked)
        return marked

    judges = judging(seconds=benchmark.seconds, places=places) if benchmark.runs_programs else nullcontext()
    async with judges as judge:
        tasks: list[asyncio.Task[Marked]] = []
        async with asyncio.TaskGroup() as group:
            for prediction in predictions:
                number = numbers[prediction.id] = numbers.get(prediction.id, -1) + 1
                tasks.append(group.create_task(one(prediction, number, judge)))
        return [task.result() for task in tasks]


async def score_one(benchmark: Benchmark, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
    """Score one prediction; one that breaks the scorer is wrong and breaks nothing else."""
    try:
        mark = await benchmark.score(item, prediction, judge)
        return replace(mark, why=storable(mark.why))  # it may quote the prediction
    except (ValueError, RecursionError, OverflowError, ArithmeticError, LookupError, TypeError) as error:
        return Mark(False, f"it cannot be scored: {type(error).__name__}: {storable(str(error))[:200]}")


def summed(items: Sequence[Item], marked: Iterable[Marked]) -> Summary:
    """What the marks come to for these items."""
    marks: dict[str, list[Mark]] = {item.id: [] for item in items}
    for each in marked:
        if each.id in marks:
            marks[each.id].append(each.mark)
    shares = [fsum(m.share for m in given) / len(given) if given else 0.0 for given in marks.values()]
    low, high = interval(shares)
    return Summary(
        len(items),
        sum(bool(given) for given in marks.values()),
        sum(m.passed for given in marks.values() for m in given),
        fsum(shares) / len(shares) if shares else 0.0,
        low,
        high,
        pass_at({id: [mark.passed for mark in given] for id, given in marks.items()}),
        _parts(marks),
    )


def pass_at(marks: Mapping[str, Sequence[bool]]) -> dict[int, float]:
    """pass@k for each k of which every item has samples enough; nothing when they have one each."""
    fewest = min((len(given) for given in marks.values()), default=0)
    found: dict[int, float] = {}
    for k in SHOWN_K:
        if k <= fewest and fewest > 1:
            each = [pass_at_k(len(given), sum(given), k) for given in marks.values()]
            found[k] = fsum(each) / len(each)
    return found


def _parts(marks: Mapping[str, Sequence[Mark]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for given in marks.values():
        for mark in given:
            for name, (passed, total) in mark.parts.items():
                before = found.get(name, (0, 0))
                found[name] = before[0] + passed, before[1] + total
    return found
