"""Models that are not available: fallbacks by settings, circuit breakers, pauses, and what may have been paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

import pytest

from megaagent import ConfigurationError, Settings, resume, start
from megaagent import events as ev
from megaagent.errors import Fault, ModelError
from megaagent.events import Record, Usage
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.running import Result
from megaagent.settings import changed

E = TypeVar("E", bound=ev.Event)
FIRST, SECOND = "openai:first", "vllm:second"  # of two providers, so of two endpoints
QUICK = {
    "model.name": FIRST,
    "model.price": "2:8",
    "budget.tokens": 2_000_000,
    "sandbox.level": "none",
    "durability": "off",
    "retry.base": 0.01,
    "retry.longest": 0.02,
    "retry.seconds": 3.0,
    "breaker.failures": 3,
    "breaker.seconds": 0.05,
}


def boss(me: Part) -> Playing:
    yield write_file("a.txt", "one\n")
    yield write_file("b.txt", "two\n")
    return "both are there"


class Played:
    """A script in front of which the given errors are raised, one for each call, or by a function for all."""

    def __init__(self, errors: Sequence[ModelError] | Callable[[], ModelError | None] = ()):
        self._inner = SimulatedModel(Script({"boss": boss}), latency=AT_ONCE)
        self._errors = errors if callable(errors) else list(errors)
        self.asked = 0

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.asked += 1
        error = self._errors() if callable(self._errors) else self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error
        return await self._inner.complete(request)

    async def close(self) -> None: ...


def always(fault: Fault, **more: float) -> Callable[[], ModelError]:
    return lambda: ModelError(fault, "told to", **more)  # pyright: ignore[reportArgumentType]


def models(first: Model, second: Model | None = None) -> dict[str, Model]:
    return {FIRST: first, **({SECOND: second} if second else {})}


def settings(**changes: object) -> Settings:
    return changed(
        Settings(), {**QUICK, **{name.replace("__", "."): value for name, value in changes.items()}}, "a test"
    )


ENVIRON = {"OPENAI_API_KEY": "local-key-of-a-test"}


@asynccontextmanager
async def ended(
    tmp_path: Path, opened: dict[str, Model], **changes: object
) -> AsyncIterator[tuple[Result, list[Record]]]:
    if SECOND in opened:
        changes = {"model__fallbacks": [SECOND], **changes}
    async with (
        asyncio.timeout(30),
        start("Two files.", settings=settings(**changes), models=opened, runs=tmp_path, environ=ENVIRON) as run,
    ):
        result = await run.result()
    yield result, records_of(result)


def records_of(result: Result) -> list[Record]:
    with closing(open_reader(result.folder / "journal.db")) as reader:
        return list(reader.records())


def facts(records: list[Record], kind: type[E]) -> list[E]:
    return [record.event for record in records if isinstance(record.event, kind)]


@pytest.mark.parametrize("fault", ["not_found", "refused", "connection", "broken"])
async def test_a_fallback_is_asked_and_paid_in_place_of_a_model_that_is_not_available(tmp_path: Path, fault: Fault):
    first = Played(always(fault))
    async with ended(tmp_path, models(first, Played())) as (result, records):
        assert result.status == "completed"
    rerouted = facts(records, ev.CallRerouted)
    answered = facts(records, ev.ModelAnswered)
    assert len(rerouted) == len(answered)
    assert {(fact.model, fact.instead_of) for fact in rerouted} == {(SECOND, FIRST)}
    # A server of one's own has no price that we know, and `model.price` holds for the first model's provider.
    assert all(fact.cost is None for fact in answered)
    if fault == "not_found":
        assert first.asked == 1  # it is not asked again for a model that is not there


async def test_while_an_endpoint_is_out_of_order_calls_go_to_the_fallback_at_once(tmp_path: Path):
    first = Played(always("overloaded"))
    async with ended(tmp_path, models(first, Played()), breaker__seconds=60.0) as (result, records):
        assert result.status == "completed"
    assert [fact.position for fact in facts(records, ev.CircuitChanged)] == ["open"]
    assert first.asked == 3
    assert len(facts(records, ev.CallRerouted)) == len(facts(records, ev.ModelAnswered))
    assert {fact.model for fact in facts(records, ev.CallIntended)[1:]} == {SECOND}


@pytest.mark.parametrize("fault", ["no_money", "unauthorized"])
async def test_money_and_keys_are_a_persons_matter_whatever_the_fallbacks(tmp_path: Path, fault: Fault):
    second = Played()
    async with ended(tmp_path, models(Played(always(fault)), second)) as (result, records):
        assert result.status == "paused"
        assert fault in result.reason
    assert second.asked == 0
    assert facts(records, ev.CallRerouted) == []


async def test_a_call_is_not_given_to_a_fallback_that_the_budget_cannot_pay(tmp_path: Path):
    second = Played()
    paid = [ModelError("timeout", "told to") for _ in range(2)]
    for error in paid:
        error.maybe_paid = True
    # Both are priced by name: one call of gpt-4 fits into the cap, but not beside two of gpt-4.1 that may be paid for.
    first = Played([*paid, ModelError("not_found", "told to")])
    opened: dict[str, Model] = {"openai:gpt-4.1": first, "openai:gpt-4": second}
    changes = {"model.name": "openai:gpt-4.1", "model.price": None, "model.fallbacks": ["openai:gpt-4"]}
    tight = changed(Settings(), {**QUICK, **changes, "budget.cost": 1.3}, "a test")
    async with (
        asyncio.timeout(30),
        start("Two files.", settings=tight, models=opened, runs=tmp_path, environ=ENVIRON) as run,
    ):
        result = await run.result()
    assert result.status == "exhausted"
    assert second.asked == 0
    [failed] = facts(records_of(result), ev.CallFailed)
    assert failed.fault == "not_found"


async def test_an_outage_without_a_fallback_pauses_the_run_and_loses_no_work(tmp_path: Path):
    async with ended(tmp_path, models(Played(always("overloaded")))) as (result, records):
        assert result.status == "paused"
        assert "overloaded" in result.reason
    assert facts(records, ev.MailSetAside) == []
    assert facts(records, ev.CircuitChanged)[0].position == "open"
    async with asyncio.timeout(30), resume(RunFolder(result.folder), models=models(Played()), environ=ENVIRON) as run:
        assert (await run.result()).status == "completed"


async def test_a_provider_that_asks_for_hours_is_not_waited_for(tmp_path: Path):
    first = Played(always("rate_limit", retry_after=7200.0))
    async with ended(tmp_path, models(first)) as (result, _):
        assert result.status == "paused"
        assert "rate_limit" in result.reason
    assert first.asked == 1


async def test_an_attempt_that_may_have_been_paid_for_stays_reserved(tmp_path: Path):
    told, untold, free = (ModelError(fault, "told to") for fault in ("broken", "timeout", "rate_limit"))
    told.maybe_paid = untold.maybe_paid = True
    told.usage = Usage(1000, 500)
    async with ended(tmp_path, models(Played([told, untold, free]))) as (result, records):
        assert result.status == "completed"
    first = facts(records, ev.CallIntended)[0]
    kept = [(fact.tokens, fact.cost) for fact in facts(records, ev.CallRetried)]
    assert kept == [(1500, Price(2, 8).cost(Usage(1000, 500))), (first.tokens, first.cost), (0, 0.0)]
    assert "may have been paid for" in result.folder.joinpath("report.md").read_text()


async def test_a_fallback_must_have_a_price_or_a_cap_of_tokens(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="vllm:second"):
        async with ended(tmp_path, models(Played(), Played()), budget__tokens=None):
            pass
    assert list(tmp_path.iterdir()) == []
