"""The table of an evaluation: one line for each arm, and one for each stage of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from megaagent.evaluation.arms import ARMS, SINGLE
from megaagent.evaluation.results import Row
from megaagent.evaluation.scoring import pass_at
from megaagent.evaluation.statistics import interval
from megaagent.events import Struct
from megaagent.readings.stages import STAGES


class Line(Struct, frozen=True):
    """One arm. Means are over runs; money is US dollars, times are seconds.

    Attributes:
        score: mean over the items, each the mean of its runs; 0 to 1, with its 95 % interval.
        pass_at: k -> pass@k.
    """

    arm: str
    title: str
    items: int
    runs: int
    passed: int
    score: float
    low: float
    high: float
    tokens: float
    cost: float
    seconds: float
    agents: float
    steps: float
    total_cost: float
    unpriced: int
    pass_at: dict[int, float]
    parts: dict[str, tuple[int, int]]


class StageLine(Struct, frozen=True):
    """One stage of the runs of an arm, summed up: tokens, US dollars, seconds with a call in flight."""

    arm: str
    stage: str
    calls: int
    tokens: int
    cost: float
    seconds: float
    share: float


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """A line for each arm, in the order in which they were run."""
    return [_line(arm, [row for row in rows if row.arm == arm], rows) for arm in dict.fromkeys(r.arm for r in rows)]


def _line(arm: str, rows: Sequence[Row], all_rows: Sequence[Row]) -> Line:
    by_item: dict[str, list[Row]] = {}
    for row in rows:
        by_item.setdefault(row.id, []).append(row)
    shares = [fsum(r.share for r in given) / len(given) for given in by_item.values()]
    low, high = interval(shares)
    parts: dict[str, tuple[int, int]] = {}
    for row in rows:
        for name, (passed, total) in row.parts.items():
            before = parts.get(name, (0, 0))
            parts[name] = before[0] + passed, before[1] + total
    first = all_rows[0].arm
    title = ARMS[arm].title if arm in ARMS else arm
    if arm == SINGLE and first != SINGLE:
        title += f", as many tokens for each item as {first} used"
    return Line(
        arm,
        title,
        len(by_item),
        len(rows),
        sum(row.passed for row in rows),
        fsum(shares) / len(shares),
        low,
        high,
        _mean([row.tokens for row in rows]),
        _mean([row.cost for row in rows]),
        _mean([row.seconds for row in rows]),
        _mean([row.agents for row in rows]),
        _mean([row.steps for row in rows]),
        fsum(row.cost for row in rows),
        sum(row.unpriced for row in rows),
        pass_at({id: [row.passed for row in given] for id, given in by_item.items()}),
        parts,
    )


def stages_of(rows: Sequence[Row]) -> list[StageLine]:
    """Planning, solving and merging of each arm."""
    found: list[StageLine] = []
    for arm in dict.fromkeys(row.arm for row in rows):
        told = [stage for row in rows if row.arm == arm for stage in row.stages]
        whole = sum(int(stage["prompt"]) + int(stage["completion"]) for stage in told)
        for name in STAGES:
            mine = [stage for stage in told if stage["name"] == name]
            tokens = sum(int(stage["prompt"]) + int(stage["completion"]) for stage in mine)
            found.append(
                StageLine(
                    arm,
                    name,
                    sum(int(stage["calls"]) for stage in mine),
                    tokens,
                    fsum(float(stage["cost"]) for stage in mine),
                    fsum(float(stage["wall"]) for stage in mine),
                    tokens / whole if whole else 0.0,
                )
            )
    return found


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values) if values else 0.0
