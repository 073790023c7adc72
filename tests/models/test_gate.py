"""The gate in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any

import pytest

from megaagent.clock import VirtualClock
from megaagent.errors import ModelError
from megaagent.events import Usage
from megaagent.models.gate import Gate, GateSettings
from megaagent.models.limits import Allowance, Limits


def in_virtual_time(main: Any) -> float:
    """Runs it; returns the virtual seconds that it took."""
    clock = VirtualClock()
    clock.run(main)
    return clock.elapsed()


def now() -> float:
    return asyncio.get_running_loop().time()


class Provider:
    """Takes `most` calls at once and `rate` a minute; refuses others with the seconds to wait."""

    def __init__(self, most: int, rate: int | None = None, retry_after: float | None = 2.0):
        self.most, self.rate, self.retry_after = most, rate, retry_after
        self.in_flight = self.answered = self.refused = self.worst = 0
        self.begun: deque[float] = deque()
        self.closed_until = 0.0
        self.too_early = 0

    async def call(self) -> Usage:
        self.too_early += now() < self.closed_until - 1e-9
        while self.begun and self.begun[0] <= now() - 60:
            self.begun.popleft()
        full = self.rate is not None and len(self.begun) >= self.rate
        if full or self.in_flight >= self.most:
            self.refused += 1
            wait = self.begun[0] + 60 - now() if full else self.retry_after
            self.closed_until = max(self.closed_until, now() + (wait or 0.0))
            raise ModelError("rate_limit", "slow down", retry_after=wait)
        self.begun.append(now())
        self.in_flight += 1
        self.worst = max(self.worst, self.in_flight)
        await asyncio.sleep(5.0)
        self.in_flight -= 1
        self.answered += 1
        return Usage(1000, 100)


async def through(gate: Gate, provider: Provider, **place: Any) -> None:
    while True:
        async with gate.place(**place) as held:
            try:
                usage = await provider.call()
            except ModelError as error:
                gate.refused(error.retry_after, held)
            else:
                gate.answered(usage, held)
                return


async def crowd(gate: Gate, provider: Provider, calls: int) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(calls):
            group.create_task(through(gate, provider, share=f"s{n % 7}"))
    assert gate.in_flight == gate.waiting == 0


def test_300_callers_find_what_the_provider_bears():
    provider, gate = Provider(most=40), Gate()
    seconds = in_virtual_time(lambda: crowd(gate, provider, 300))
    assert provider.answered == 300
    assert provider.too_early == 0
    # Without a gate each of 260 callers would be refused time and again; here most calls are answered the first time.
    assert provider.refused < 60
    ideal = 300 / 40 * 5.0
    assert seconds < 2.5 * ideal
    assert provider.worst > 30


def test_a_refusal_cuts_once_per_round_and_closes_the_gate():
    async def main() -> None:
        gate = Gate(GateSettings(start=8))
        places = [gate.place() for _ in range(8)]
        for place in places:
            await place.__aenter__()
        for place in places:
            gate.refused(30.0, place)
        assert gate.limit == 4.0
        assert gate.cooled_at == 30.0
        for place in places:
            gate.leave(place)
        async with gate.place():
            assert now() == pytest.approx(30.0)

    in_virtual_time(main)


def test_cool_downs_grow_while_refusals_follow_each_other():
    async def main() -> None:
        gate, waits = Gate(GateSettings(start=1, cool=1.0, coolest=8.0)), list[float]()
        async with gate.place() as place:
            for _ in range(6):
                gate.refused(None, place)
                waits.append(gate.cooled_at - now())
                await asyncio.sleep(waits[-1])
            gate.answered(Usage(), place)
            gate.refused(None, place)
            waits.append(gate.cooled_at - now())
        assert waits == [1, 2, 4, 8, 8, 8, 1]
        assert gate.limit == 1.0

    in_virtual_time(main)


def test_it_grows_only_while_it_is_in_use():
    async def main() -> None:
        gate = Gate(GateSettings(start=4, most=20))
        for _ in range(50):  # one after another: the limit of 4 never holds anything back
            async with gate.place() as place:
                gate.answered(Usage(), place)
        assert gate.limit == 4.0
        await crowd(gate, Provider(most=1000), 200)
        assert gate.limit == 20.0

    in_virtual_time(main)


def test_it_keeps_to_a_limit_of_requests():
    provider, gate = Provider(most=1000, rate=60), Gate(GateSettings(start=50, requests=60))
    seconds = in_virtual_time(lambda: crowd(gate, provider, 180))
    assert provider.answered == 180
    assert 120 <= seconds < 200  # a full bucket, then one a second
    assert provider.refused <= 12


def test_it_keeps_to_a_limit_of_tokens_and_settles():
    async def main() -> None:
        gate = Gate(GateSettings(start=100, tokens=60_000))

        async def call(n: int) -> None:
            async with gate.place(tokens=10_000) as place:
                gate.answered(Usage(900, 100), place)

        await asyncio.gather(*map(call, range(40)))
        assert now() < 1.0  # what was reserved and not used came back

        async with gate.place(tokens=10_000_000):  # more than there will ever be waits for a full bucket, not for ever
            assert now() < 61.0

    in_virtual_time(main)


def test_it_learns_limits_from_the_provider():
    async def main() -> None:
        gate = Gate(GateSettings(start=100))
        async with gate.place():
            gate.learn(Limits(requests=Allowance(limit=10, left=2, reset=8.0)))
        begun: list[float] = []

        async def call() -> None:
            async with gate.place():
                begun.append(now())

        await asyncio.gather(*(call() for _ in range(5)))
        assert begun == pytest.approx([0, 0, 1, 2, 3])

    in_virtual_time(main)


def test_priority_first_then_shares_in_turn():
    async def main() -> None:
        gate = Gate(GateSettings(start=1, most=1))
        done: list[str] = []

        async def call(name: str, priority: int, share: str) -> None:
            async with gate.place(priority=priority, share=share):
                done.append(name)

        async with asyncio.TaskGroup() as group, gate.place():
            for n in range(4):
                group.create_task(call(f"a{n}", 5, "a"))
            for n in range(2):
                group.create_task(call(f"b{n}", 5, "b"))
            group.create_task(call("urgent", 1, "a"))
            await asyncio.sleep(1.0)
            assert gate.waiting == 7
        assert done == ["urgent", "a0", "b0", "a1", "b1", "a2", "a3"]

    in_virtual_time(main)


def test_a_place_that_is_waited_for_can_be_preferred():
    async def main() -> None:
        gate = Gate(GateSettings(start=1, most=1))
        done: list[str] = []
        places = {name: gate.place(priority=5, share="s") for name in "abcd"}

        async def call(name: str) -> None:
            async with places[name]:
                done.append(name)

        async with asyncio.TaskGroup() as group, gate.place():
            for name in places:
                group.create_task(call(name))
            await asyncio.sleep(1.0)
            places["c"].prefer(1)
            places["a"].prefer(9)
            places["b"].prefer(5)
            assert gate.waiting == 4
        assert done == ["c", "b", "d", "a"]
        assert (gate.waiting, gate.in_flight) == (0, 0)

    in_virtual_time(main)


def test_a_big_share_does_not_starve_a_small_one():
    async def main() -> None:
        gate = Gate(GateSettings(start=10, most=10))
        provider, when = Provider(most=10), Counter[str]()

        async def call(share: str) -> None:
            await through(gate, provider, share=share)
            when[share] = max(when[share], int(now()))

        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(call("big"))
            for _ in range(10):
                group.create_task(call("small"))
        assert when["small"] <= 20
        assert when["big"] > 100

    in_virtual_time(main)


def test_callers_may_be_called_off_at_any_moment():
    async def main() -> None:
        gate, provider = Gate(GateSettings(start=5, most=5)), Provider(most=5)
        tasks = [asyncio.create_task(through(gate, provider, share=f"s{n % 3}")) for n in range(200)]
        for n, task in enumerate(tasks):
            if n % 3 == 0:
                await asyncio.sleep(0.37)
            if n % 2:
                task.cancel()
        await asyncio.wait(tasks)
        assert gate.in_flight == gate.waiting == 0
        assert sum(not task.cancelled() for task in tasks) >= 100
        async with asyncio.timeout(1.0), gate.place():
            pass

    in_virtual_time(main)


def test_called_off_in_the_moment_it_is_let_in():
    async def main() -> None:
        gate = Gate(GateSettings(start=1, most=1))
        first, second = gate.place(), gate.place()
        await first.__aenter__()
        waiter = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(0)
        gate.leave(first)  # gives the place to the waiter, which has not run yet
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert gate.in_flight == gate.waiting == 0
        async with asyncio.timeout(1.0), gate.place():
            pass

    in_virtual_time(main)


def test_a_closed_gate_leaves_no_timer_behind():
    async def main() -> None:
        gate = Gate()
        gate.refused(10_000.0)
        waiter = asyncio.create_task(gate.place().__aenter__())
        await asyncio.sleep(1.0)
        waiter.cancel()
        await asyncio.wait([waiter])
        await asyncio.sleep(1.0)

    assert in_virtual_time(main) == pytest.approx(2.0)


async def test_whoever_waits_when_the_provider_asks_for_longer_than_one_can_is_told_at_once():
    gate = Gate(GateSettings(start=1))
    first, patient, hurried, last = (gate.place() for _ in range(4))
    patient.patience, hurried.patience = 1e9, 60.0
    await gate.enter(first)
    waiting = [asyncio.create_task(gate.enter(place)) for place in (patient, hurried, last)]
    await asyncio.sleep(0)
    gate.refused(86_400.0, first)
    gate.leave(first)
    async with asyncio.timeout(5):
        with pytest.raises(ModelError) as told:
            await waiting[1]
    assert (told.value.fault, told.value.retry_after) == ("rate_limit", pytest.approx(86_400.0, abs=5))
    assert gate.waiting == 2
    assert not waiting[0].done() and not waiting[2].done()
    for task in (waiting[0], waiting[2]):
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert gate.waiting == 0 and gate.in_flight == 0


async def test_whoever_is_called_off_while_it_is_turned_away_leaves_the_books_right():
    gate = Gate(GateSettings(start=1))
    first, hurried = gate.place(), gate.place()
    hurried.patience = 60.0
    await gate.enter(first)
    waiting = asyncio.create_task(gate.enter(hurried))
    await asyncio.sleep(0)
    gate.refused(86_400.0, first)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (gate.waiting, gate.in_flight) == (0, 1)
