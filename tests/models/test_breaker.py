"""When the circuit breaker of an endpoint opens, who tries it, and who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from megaagent.clock import VirtualClock
from megaagent.errors import Fault, ModelError
from megaagent.models.breaker import Breaker, BreakerSettings, Change, CircuitOpen

SETTINGS = BreakerSettings(failures=3, seconds=10.0, longest=30.0)


def fail(breaker: Breaker, fault: Fault = "overloaded", times: int = 1) -> None:
    for _ in range(times):
        passed = breaker.passes()
        assert passed is not None
        breaker.failed(passed, ModelError(fault, "told to"))


def rehearsed(play: Callable[[Breaker], Awaitable[None]]) -> list[Change]:
    """Play a coroutine function over a fresh breaker in virtual time; what the breaker told."""
    changes: list[Change] = []

    async def main() -> None:
        breaker = Breaker("models.example", SETTINGS)
        breaker.watch(changes.append)
        await play(breaker)

    VirtualClock().run(main)
    return changes


def test_it_opens_after_failures_in_a_row_and_closes_after_a_probe():
    async def play(breaker: Breaker) -> None:
        fail(breaker, times=2)
        breaker.succeeded(breaker.passes())  # pyright: ignore[reportArgumentType]
        fail(breaker, times=3)
        assert breaker.passes() is None
        await asyncio.sleep(10.0)
        probe = breaker.passes()
        assert probe is not None
        assert probe.probe
        assert breaker.passes() is None  # one tries it
        breaker.succeeded(probe)
        assert breaker.passes() is not None

    changes = rehearsed(play)
    assert [change.position for change in changes] == ["open", "half-open", "closed"]
    assert "3 attempts in a row" in changes[0].reason


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest():
    async def play(breaker: Breaker) -> None:
        fail(breaker, "connection", 3)
        for wait in (10.0, 20.0, 30.0, 30.0):
            await asyncio.sleep(wait - 0.1)
            assert breaker.passes() is None
            await asyncio.sleep(0.2)
            fail(breaker, "timeout")

    opened = [change.wait for change in rehearsed(play) if change.position == "open"]
    assert opened == [10.0, 20.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("fault", ["rate_limit", "bad_request", "refused", "broken", "unauthorized", "no_money"])
def test_an_endpoint_that_answers_with_something_is_not_out_of_order(fault: Fault):
    async def play(breaker: Breaker) -> None:
        fail(breaker, times=2)
        fail(breaker, fault)
        fail(breaker, times=2)
        assert breaker.position == "closed"

    assert rehearsed(play) == []


def test_a_probe_that_is_called_off_leaves_the_next_one_to_another():
    async def play(breaker: Breaker) -> None:
        fail(breaker, times=3)
        await asyncio.sleep(10.0)
        probe = breaker.passes()
        assert probe is not None
        breaker.called_off(probe)
        assert breaker.passes() is not None

    assert [change.position for change in rehearsed(play)] == ["open", "half-open", "open", "half-open"]


def test_a_late_failure_of_an_old_attempt_changes_nothing():
    async def play(breaker: Breaker) -> None:
        old = breaker.passes()
        assert old is not None
        fail(breaker, times=3)
        await asyncio.sleep(10.0)
        probe = breaker.passes()
        assert probe is not None
        breaker.failed(old, ModelError("timeout", "at last"))
        breaker.succeeded(old)
        assert breaker.position == "half-open"

    assert [change.position for change in rehearsed(play)] == ["open", "half-open"]


def test_those_who_wait_go_on_when_the_probe_was_answered_and_give_up_when_their_patience_ends():
    passed: list[str] = []

    async def play(breaker: Breaker) -> None:
        loop = asyncio.get_running_loop()
        fail(breaker, times=3)

        async def wait(name: str, until: float) -> None:
            try:
                await breaker.passable(loop.time() + until)
            except CircuitOpen as error:
                assert error.fault == "overloaded"
                passed.append(f"{name} gave up")
            else:
                passed.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("hasty", 5.0))
            group.create_task(wait("patient", 50.0))
            await asyncio.sleep(10.0)
            probe = breaker.passes()
            assert probe is not None
            await asyncio.sleep(1.0)
            breaker.succeeded(probe)

    rehearsed(play)
    assert passed == ["hasty gave up", "patient"]
