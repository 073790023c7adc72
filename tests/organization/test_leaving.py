"""What is on its way into the journal while an agent leaves (design §6): nothing is orphaned, owed or called for it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.organization.test_budget_caps import capped
from tests.organization.test_debts import recruit

from megaagent import events as ev
from megaagent.control import Control
from megaagent.errors import ModelError
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Script,
    assign,
    list_files,
    review,
    say,
    talk,
    wait,
    write_file,
)
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.organization.state import State
from megaagent.testing import rehearse
from megaagent.tools import Tool

SLOW = Latency(fixed=5.0, sigma=0.0)


async def look_slowly() -> str:
    """Look, which takes a while."""
    await asyncio.sleep(30)
    return "seen"


LOOK = Tool(look_slowly, repeatable=True)  # so that what the step did before is not recorded before it


def recruits_late(me: Part) -> Playing:
    for _ in range(4):
        yield list_files()
    yield say(recruit("zed"))
    while True:
        yield wait(["zed"], "its part")


def zed(me: Part) -> Playing:
    yield write_file("zed.txt", "here\n")
    return "zed.txt is written"


def test_who_was_recruited_while_its_admin_was_being_dropped_leaves_with_it():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        yield wait(["ann"], "its part", minutes=0.1)
        yield say(review(["ann"], "drop", "not needed"), Act("look_slowly", "{}"))
        return "done without ann"

    run = rehearse(Script({"boss": boss, "ann": recruits_late, "zed": zed}), tools=[LOOK], latency=SLOW)
    assert (run.ending.status, run.ending.text) == ("completed", "done without ann")
    assert run.state.members["boss/ann/zed"].retired == "ann has left: dropped by its superior"
    assert run.state.run.open_debts == 0
    dropped = next(r for r in run.records if isinstance(r.event, ev.AgentRetired))
    assert any(r.agent == "boss/ann/zed" for r in run.records[: dropped.position])  # it had begun before


def test_an_assignment_that_comes_when_its_debtor_has_left_has_failed():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        yield wait(["ann"], "its part", minutes=0.1)
        yield say(assign("ann", "And one thing more."), Act("look_slowly", "{}"))
        return "done without ann"

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(30)
        assert (await control.stop("", "ann")).endswith("0 left running")

    script = Script({"boss": boss, "ann": recruits_late})
    run = rehearse(script, tools=[LOOK], latency=SLOW, meanwhile=person)
    assert (run.ending.status, run.ending.text) == ("completed", "done without ann")
    assert {debt.status for debt in run.state.debts.values() if debt.debtor == "boss/ann"} == {"failed"}
    assert run.state.run.open_debts == 0
    assert [mail for mail in run.mail_to("boss") if "ann had left when your assignment came" in mail.text]


@pytest.mark.parametrize("tenths", range(180, 320, 4))
def test_no_call_is_made_for_who_leaves_that_is_not_in_the_journal(tenths: int):
    made = 0

    class Counting(SimulatedModel):
        async def complete(self, request: ModelRequest) -> ModelResponse:
            nonlocal made
            made += 1
            return await super().complete(request)

    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        yield wait(["ann"], "its part", minutes=1)
        return "done without ann"

    def ann(me: Part) -> Playing:
        while True:
            yield talk("boss", f"I have looked {len(me.results)} times.")

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(tenths / 10)
        assert (await control.stop("", "ann")).endswith("0 left running")

    model = Counting(Script({"boss": boss, "ann": ann}), latency=SLOW)
    run = rehearse(model, latency=SLOW, meanwhile=person, commit=1.0)
    assert run.ending.status == "completed"
    intended = [fact.call for fact in run.facts(ev.CallIntended)]
    assert len(intended) == len(set(intended)) == made
    ended = [r.event.call for r in run.records if isinstance(r.event, ev.ModelAnswered | ev.CallFailed)]
    assert Counter(ended) == Counter(intended)
    assert len(run.facts(ev.AgentRetired)) == 1


@pytest.mark.parametrize("tenths", range(372, 404, 3))
def test_a_review_that_is_due_for_who_is_leaving_holds_up_nobody(tenths: int):
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        yield wait(["ann"], "its part", minutes=1)
        return "done without ann"

    def ann(me: Part) -> Playing:
        yield say(recruit("zed"))
        while True:
            yield wait(["zed"], "its part")

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(tenths / 10)
        assert (await control.stop("", "ann")).endswith("0 left running")

    script = Script({"boss": boss, "ann": ann, "zed": zed})
    run = rehearse(script, latency=SLOW, meanwhile=person, commit=1.0)
    assert (run.ending.status, run.ending.text) == ("completed", "done without ann")
    assert run.state.run.open_debts == 0


@pytest.mark.parametrize("tenths", range(100, 200, 3))
def test_a_call_ends_once_though_who_makes_it_leaves_while_its_end_is_recorded(tenths: int):
    class Silent(SimulatedModel):
        async def complete(self, request: ModelRequest) -> ModelResponse:
            if any("You are ann" in message.text for message in request.messages[:2]):
                await asyncio.sleep(2)
                error = ModelError("timeout", "nothing came")
                error.maybe_paid = True
                raise error
            return await super().complete(request)

    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        yield wait(["ann"], "its part", minutes=1)
        return "done without ann"

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(tenths / 10)
        if "boss/ann" in state.members:
            assert (await control.stop("", "ann")).endswith("0 left running")

    settings = capped(budget__tokens=13_300)  # too little to reserve what the first attempt may have cost beside it
    model = Silent(Script({"boss": boss}), latency=SLOW)
    run = rehearse(model, settings=settings, meanwhile=person, commit=1.0)
    ended = [r.event.call for r in run.records if isinstance(r.event, ev.ModelAnswered | ev.CallFailed)]
    assert Counter(ended) == Counter(fact.call for fact in run.facts(ev.CallIntended))
