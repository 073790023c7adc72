"""The lower bound to which `python -m benchmarks schedule` compares: never above what is possible."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from benchmarks.bounds import Call, unbeatable


def listed(calls: list[Call], at_once: int) -> float:
    """Seconds of one possible schedule: whoever may begin does."""
    waits = [len(call.after) for call in calls]
    following: list[list[int]] = [[] for _ in calls]
    for place, call in enumerate(calls):
        for before in call.after:
            following[before].append(place)
    ready = [place for place, left in enumerate(waits) if not left]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < at_once:
            place = ready.pop(0)
            heapq.heappush(running, (now + calls[place].seconds, place))
        now, done = heapq.heappop(running)
        for place in following[done]:
            waits[place] -= 1
            if not waits[place]:
                ready.append(place)
    return now


@pytest.mark.parametrize("seed", range(60))
def test_no_schedule_is_shorter(seed: int):
    random = Random(seed)
    calls: list[Call] = []
    for place in range(random.randint(1, 60)):
        after = {random.randrange(place) for _ in range(random.choice([0, 1, 1, 2]))} if place else set[int]()
        calls.append(Call(random.uniform(0.5, 4.0), tuple(sorted(after))))
    at_once = random.randint(1, 6)
    best, path = unbeatable(calls, at_once)
    assert path <= best <= listed(calls, at_once) + 1e-9
    assert best >= sum(call.seconds for call in calls) / at_once - 1e-9


def test_one_who_begins_alone_and_one_who_ends_alone_leave_the_other_places_empty():
    middle = [Call(1.0, (0,)) for _ in range(20)]
    calls = [Call(10.0, ()), *middle, Call(10.0, tuple(range(1, 21)))]
    assert unbeatable(calls, 4) == pytest.approx((25.0, 21.0), abs=0.1)
    assert listed(calls, 4) == pytest.approx(25.0)
