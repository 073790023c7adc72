"""Who must act after which fault."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaagent.clock import VirtualClock
from megaagent.errors import Fault, ModelError
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.retry import Compact, GiveUp, Pause, Retry, RetryingModel, RetrySettings, rule

FAULTS: tuple[Fault, ...] = get_args(Fault)
ASK = ModelRequest("m", ())


def decide(fault: Fault, attempt: int = 1, elapsed: float = 0.0, retry_after: float | None = None, seed: int = 0):
    error = ModelError(fault, "seen", retry_after=retry_after)
    return rule(error, attempt, elapsed, RetrySettings(), Random(seed))


@pytest.mark.parametrize("fault", FAULTS)
def test_who_acts_first(fault: Fault):
    expected = {"unauthorized": Pause, "no_money": Pause, "not_found": Pause, "context_overflow": Compact,
                "bad_request": GiveUp}  # fmt: skip
    assert type(decide(fault)) is expected.get(fault, Retry)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("attempt", range(1, 12))
def test_every_retry_is_bounded(fault: Fault, attempt: int):
    allowed = 8 if fault in ("connection", "timeout", "rate_limit", "overloaded") else 3
    if attempt >= allowed:
        assert not isinstance(decide(fault, attempt), Retry)
    assert not isinstance(decide(fault, attempt, elapsed=601.0), Retry)


@given(st.integers(1, 7), st.integers(0, 1000), st.floats(0, 300) | st.none())
def test_waits_have_full_jitter_above_what_the_provider_asked(attempt: int, seed: int, asked: float | None):
    decision = decide("rate_limit", attempt, retry_after=asked, seed=seed)
    assert isinstance(decision, Retry)
    assert (asked or 0.0) <= decision.wait <= (asked or 0.0) + min(60.0, 2.0 ** (attempt - 1))


def test_jitter_spreads():
    waits = [decision.wait for seed in range(200) if isinstance(decision := decide("overloaded", 7, seed=seed), Retry)]
    assert min(waits) < 6
    assert max(waits) > 54


def test_a_wait_that_passes_the_patience_is_not_begun():
    decision = decide("overloaded", 2, elapsed=599.9, retry_after=30.0)
    assert isinstance(decision, GiveUp)
    assert "600 s" in decision.reason


def test_a_provider_that_asks_for_more_than_our_patience_is_a_persons_matter():
    decision = decide("rate_limit", retry_after=3600.0)
    assert isinstance(decision, Pause)
    assert "3,600 s" in decision.reason


class Failing:
    """Fails as told, then answers."""

    def __init__(self, *faults: Fault):
        self.faults = list(faults)
        self.closed = False

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self.faults:
            raise ModelError(self.faults.pop(0), "told to", retry_after=30.0)
        return ModelResponse("at last")

    async def close(self) -> None:
        self.closed = True


def test_it_asks_again_and_says_so():
    told: list[tuple[int, Fault, float]] = []
    clock = VirtualClock()

    async def tell(attempt: int, error: ModelError, wait: float) -> None:
        told.append((attempt, error.fault, wait))

    async def main() -> None:
        model = RetryingModel(Failing("rate_limit", "empty", "overloaded"), random=Random(1), on_retry=tell)
        assert (await model.complete(ASK)).text == "at last"
        await model.close()

    clock.run(main)
    assert [(attempt, fault) for attempt, fault, _ in told] == [(1, "rate_limit"), (2, "empty"), (3, "overloaded")]
    assert clock.elapsed() == pytest.approx(sum(wait for _, _, wait in told))
    assert clock.elapsed() >= 90.0


@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_error_is_the_one_that_is_raised(fault: Fault):
    clock = VirtualClock()
    inner = Failing(*[fault] * 100)

    async def main() -> None:
        with pytest.raises(ModelError) as caught:
            await RetryingModel(inner, random=Random(1)).complete(ASK)
        assert caught.value.fault == fault
        assert caught.value.needs_person == (fault in ("unauthorized", "no_money", "not_found"))

    clock.run(main)
    assert clock.elapsed() <= 600.0
    assert 92 <= len(inner.faults) <= 99
