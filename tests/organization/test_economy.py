"""Economy: what nothing waits for goes by the batch, and a batch holds nobody and nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.organization.test_debts import recruit

from megaagent import events as ev
from megaagent.control import Control
from megaagent.errors import ModelError
from megaagent.models.batches import not_done
from megaagent.models.contract import ModelRequest
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, review, say, talk, wait, write_file
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.models.simulated_batches import SimulatedBatches
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

BATCH = 600.0  # virtual seconds of a batch
PRICE = Price(1.0, 10.0)


def settings(**more: Any) -> Settings:
    told = {f"economy.{name}": value for name, value in more.items()}
    return changed(Settings(), {"economy.on": True, "economy.gather": 5.0, **told}, "test")


def boss(me: Part) -> Playing:
    yield say(recruit("ada"), recruit("bob"))
    yield wait(["ada", "bob"], "their parts")
    while not all(me.heard(name, "report") for name in ("ada", "bob")):
        yield wait(["ada", "bob"], "their parts")
    yield review(["ada", "bob"], "accept")
    return "both parts are done"


def worker(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", "text")
    return f"{me.name} is done"


def play(script: Script, chosen: Settings, model: SimulatedModel | None = None) -> Rehearsal:
    model = model or SimulatedModel(script, latency=Latency(sigma=0.0), batch=BATCH)
    return rehearse(model, settings=chosen, price=PRICE)


def answers(run: Rehearsal, *, batched: bool) -> list[ev.ModelAnswered]:
    return [answer for answer in run.facts(ev.ModelAnswered) if bool(answer.batch) == batched]


def test_whoever_is_waited_for_is_not_made_to_wait():
    run = play(Script({"boss": boss}, default=worker), settings())
    assert run.ending.status == "completed"
    assert answers(run, batched=True) == []
    assert run.facts(ev.BatchIntended) == []
    assert run.seconds < BATCH


def test_a_tier_that_may_always_wait_goes_by_the_batch_at_its_price():
    chosen = changed(settings(tiers=["worker"]), {"limits.wait_minutes": 3}, "test")
    run = play(Script({"boss": boss}, default=worker), chosen)
    assert run.ending.status == "completed"
    cheap, dear = answers(run, batched=True), answers(run, batched=False)
    assert {answer.call.partition("#")[0] for answer in cheap} == {"boss/ada", "boss/bob"}
    assert not any(answer.call.startswith("boss/") for answer in dear)
    for answer in cheap:
        assert answer.cost == pytest.approx(PRICE.cost(answer.usage) / 2)
        assert answer.saved == pytest.approx(answer.cost)
    assert all(answer.cost == pytest.approx(PRICE.cost(answer.usage)) and not answer.saved for answer in dear)
    spent = sum(answer.cost or 0.0 for answer in (*cheap, *dear))
    assert run.state.run.cost == pytest.approx(spent)
    assert run.state.run.reserved_cost == pytest.approx(0.0)
    sent = run.facts(ev.BatchIntended)
    assert [len(batch.calls) for batch in sent] == [2, 2]  # both workers' first steps together, then both second ones
    assert [batch.how for batch in run.facts(ev.BatchEnded)] == ["ended", "ended"]
    assert 2 * BATCH < run.seconds < 3 * BATCH
    assert not [mail for mail in run.mail_to("boss") if "time of your wait" in mail.text]  # nor woken for nothing


def test_the_name_of_a_batch_is_recorded_before_it_is_waited_for_and_after_all_its_calls():
    run = play(Script({"boss": boss}, default=worker), settings(tiers=["worker"]))
    order = [type(record.event).__name__ for record in run.records]
    intended, sent = order.index("BatchIntended"), order.index("BatchSent")
    [first, _] = run.facts(ev.BatchIntended)
    mine = [r.event.call if isinstance(r.event, ev.CallIntended) else "" for r in run.records]
    assert max(mine.index(call) for call in first.calls) < intended < sent
    assert run.records[sent].time - run.records[intended].time < 1.0


def test_an_answer_to_chatter_that_nobody_waits_for_does_not_hold_up_the_end():
    def chatty(me: Part) -> Playing:
        yield say(recruit("ada"), recruit("bob"))
        while not me.heard("ada", "report"):
            yield wait(["ada"], "her part")
        yield say(review(["ada"], "accept"), talk("ada", "thank you"))
        while not me.heard("bob", "report"):
            yield wait(["bob"], "his part")
        yield review(["bob"], "accept")
        return "done"

    def slow(me: Part) -> Playing:
        for number in range(10 if me.name == "bob" else 1):
            yield write_file(f"{me.name}{number}.txt", "text " * 400)
        yield from [] if me.name == "bob" else ()
        return "done"

    run = play(Script({"boss": chatty}, default=slow), settings())
    assert run.ending.status == "completed"
    [batch] = run.facts(ev.BatchIntended)
    assert [call.partition("#")[0] for call in batch.calls] == ["boss/ada"]
    assert [ended.how for ended in run.facts(ev.BatchEnded)] == ["called off"]
    assert run.seconds < BATCH


class Grudging(SimulatedBatches):
    """Answers all but the last request of each batch, is never done, refuses to take any, or takes one unheard."""

    def __init__(self, model: SimulatedModel, how: str):
        super().__init__(model._batched, BATCH)  # pyright: ignore[reportPrivateUsage]
        self.how = how
        self.cancelled: list[str] = []
        self.sent: list[str] = []

    async def send(self, key: str, requests: Any) -> str:
        if self.how == "refuses":
            raise ModelError("not_found", "HTTP 404: no such endpoint", status=404)
        name = await super().send(key, requests)
        self.sent.append(name)
        if self.how == "unheard" and len(self.sent) == 1:
            cut = ModelError("connection", "the line was cut before the answer came")
            cut.maybe_paid = True
            raise cut
        return name

    async def look(self, name: str) -> Any:
        progress = await super().look(name)
        if self.how == "never ends" and name not in self.cancelled:
            return type(progress)("under way", 0, progress.total)
        return type(progress)("ended", 0, 0) if name in self.cancelled else progress

    async def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    async def answers(self, name: str, key: str, requests: Sequence[ModelRequest]) -> list[Any]:
        outcomes = await super().answers(name, key, requests)
        if name in self.cancelled:
            return [not_done("the batch was cancelled")] * len(outcomes)
        return [*outcomes[:-1], not_done("the batch has expired")]


def grudging(how: str) -> SimulatedModel:
    model = SimulatedModel(Script({"boss": boss}, default=worker), latency=Latency(sigma=0.0), batch=BATCH)
    model.batches = Grudging(model, how)
    return model


def test_what_a_batch_comes_back_without_is_asked_singly_and_nobody_is_blamed():
    run = play(Script({}), settings(tiers=["worker"]), grudging("partly"))
    assert run.ending.status == "completed"
    failed = [fact for fact in run.facts(ev.CallFailed) if fact.fault == "batch"]
    assert failed
    assert all("expired" in fact.detail and not fact.tokens for fact in failed)
    assert answers(run, batched=True)
    assert not run.facts(ev.AgentNudged)
    assert run.state.run.reserved_cost == pytest.approx(0.0)
    assert run.state.tally_of("boss").failures == 0


def test_a_server_without_batches_is_asked_singly():
    run = play(Script({}), settings(tiers=["worker"]), grudging("refuses"))
    assert run.ending.status == "completed"
    assert [(batch.how, batch.reason) for batch in run.facts(ev.BatchEnded)] == [
        ("refused", "HTTP 404: no such endpoint")
    ]
    assert answers(run, batched=True) == []
    assert run.seconds < BATCH


def test_a_batch_that_does_not_end_is_cancelled_after_the_patience():
    run = play(Script({}), settings(tiers=["worker"], patience_minutes=120), grudging("never ends"))
    assert run.ending.status == "completed"
    assert answers(run, batched=True) == []
    assert 2 * 3600 < run.seconds < 6 * 3600
    assert run.state.run.reserved_cost == pytest.approx(0.0)


@pytest.mark.parametrize("finds", [True, False])
def test_a_batch_that_may_have_been_taken_is_found_again_or_counted_as_paid_for(finds: bool):
    """To hand it in once more could be to pay for it twice."""
    model = grudging("unheard")
    assert isinstance(model.batches, Grudging)
    model.batches.finds = finds
    run = play(Script({}), settings(tiers=["worker"]), model)
    assert run.ending.status == "completed"
    first = run.facts(ev.BatchEnded)[0]
    lost = [fact for fact in run.facts(ev.CallFailed) if "the line was cut" in fact.detail]
    if finds:
        assert first.how == "ended" and not lost
    else:
        assert first.how == "lost" and "the line was cut" in first.reason
        assert lost and all(fact.tokens and fact.cost for fact in lost)
        assert run.state.run.reserved_cost == pytest.approx(sum(fact.cost for fact in lost))
    keys = [batch.batch for batch in run.facts(ev.BatchIntended)]
    assert len(model.batches.sent) == len(keys)  # each once


def meanwhile_in_a_batch(act: Any) -> tuple[Rehearsal, SimulatedModel]:
    """A run of whose person something comes as soon as a batch is with the provider."""
    model = grudging("never ends")

    async def person(control: Control, state: State) -> None:
        while not any(batch.name for batch in state.batches.values()):
            await asyncio.sleep(1.0)
        await act(control)

    run = rehearse(model, settings=settings(tiers=["worker"]), price=PRICE, meanwhile=person)
    return run, model


def test_who_stops_a_run_has_the_provider_begin_no_more_and_whoever_resumes_it_may_still_fetch_what_is_done():
    run, model = meanwhile_in_a_batch(lambda control: control.stop("enough"))
    assert run.ending.status == "stopped"
    assert run.seconds < BATCH
    [sent] = run.facts(ev.BatchSent)
    assert isinstance(model.batches, Grudging)
    assert model.batches.cancelled == [sent.name]
    assert run.facts(ev.BatchEnded) == []
    assert [batch.name for batch in run.state.batches.values()] == [sent.name]
    assert {call for batch in run.state.batches.values() for call in batch.calls} <= set(run.state.calls)
    assert not run.facts(ev.CallFailed)


def test_agents_that_leave_take_their_batch_with_them():
    async def stop_both(control: Control) -> None:
        await control.stop("not needed", "ada")
        await control.stop("not needed", "bob")

    run, model = meanwhile_in_a_batch(stop_both)
    assert isinstance(model.batches, Grudging)
    assert len(model.batches.cancelled) == 1
    assert [fact.fault for fact in run.facts(ev.CallFailed)] == ["batch", "batch"]
    assert run.seconds < 2 * BATCH
