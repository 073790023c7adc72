"""Failing models, budgets, long conversations, and people who steer (design §6)."""

from __future__ import annotations

import asyncio

import pytest
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.control import Control, Request
from megaagent.errors import ModelError, RunError
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, ask_user, list_files, read_file, say, talk, wait, write_file
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse


class Failing:
    """A model that fails for requests whose last mail has a word in it."""

    def __init__(self, script: Script, word: str, fault: str = "bad_request"):
        self._model = SimulatedModel(script, latency=AT_ONCE)
        self._word = word
        self._fault = fault

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self._word in request.messages[-2].text:
            raise ModelError(self._fault, "the provider does not like it")  # pyright: ignore[reportArgumentType]
        return await self._model.complete(request)

    async def close(self) -> None: ...


def test_mail_that_fails_three_times_is_set_aside_and_its_sender_told():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.heard("ann", "talk"):
            yield wait(["ann"], "a word")
        yield talk("ann", "poison")
        while not me.heard("engine"):
            yield wait(["ann"], "her answer")
        assert "was set aside" in me.heard("engine").text  # pyright: ignore[reportOptionalMemberAccess]
        yield talk("ann", "bread")
        while not me.reported("ann"):
            yield wait(["ann"], "her part")
        yield from accept_all("ann")
        return "done"

    def ann(me: Part) -> Playing:
        yield talk("boss", "what shall I do?")
        while not me.heard("boss", "talk"):
            yield wait(["boss"], "an answer")
        return f"I was given {me.heard('boss', 'talk').text}"  # pyright: ignore[reportOptionalMemberAccess]

    run = rehearse(Failing(Script({"boss": boss, "ann": ann}), "poison"))
    assert run.ending.status == "completed"
    [aside] = run.facts(ev.MailSetAside)
    assert len(aside.ids) == 1
    assert "bread" in run.facts(ev.WorkReported, "ann")[0].report


def accept_all(*names: str) -> Playing:
    from megaagent.models.script import review

    yield review(list(names))
    return None


@pytest.mark.parametrize("fault", ["unauthorized", "no_money", "not_found", "connection"])
def test_what_a_person_must_mend_pauses_the_run_and_ends_it_resumable_when_nobody_is_there(fault: str):
    run = rehearse(Failing(Script({}), "goal", fault=fault))
    assert run.ending.status == "paused"
    assert fault in run.ending.reason
    assert [m.id for m in run.state.members["boss"].inbox] == ["boss#0.0.0"]  # nothing is lost


def test_a_token_cap_ends_the_run_as_exhausted_with_what_there_is():
    settings = changed(Settings(), {"budget.tokens": 30_000, "budget.cost": None}, "test")
    run = rehearse(Script({"boss": boss_of("ann", "bob")}, default=worker), settings=settings)
    assert run.ending.status == "exhausted"
    assert "30,000" in run.ending.reason
    used = run.state.run.usage
    assert used.prompt + used.completion <= 30_000
    assert run.facts(ev.WorkReported, "boss")[-1].forced


@pytest.mark.parametrize(("cap", "status"), [(1.0, "completed"), (0.3, "exhausted")])
def test_a_money_cap_is_never_passed_by_what_is_reserved_and_calls_wait_for_what_comes_back(cap: float, status: str):
    price = Price(prompt=2.0, completion=8.0)
    settings = changed(Settings(), {"budget.cost": cap}, "test")
    run = rehearse(
        Script({"boss": boss_of(*(f"a{n}" for n in range(20)))}, default=worker),
        settings=settings,
        price=price,
        latency=Latency(fixed=1.0, per_completion=0.0, per_prompt=0.0, sigma=0.0),
    )
    reserved = spent = 0.0
    open_calls: dict[str, float] = {}
    for record in run.records:
        match record.event:
            case ev.CallIntended(call=call, cost=cost):
                open_calls[call] = cost
                reserved += cost
                assert reserved + spent <= cap + 1e-9
            case ev.ModelAnswered(call=call, cost=cost):
                reserved -= open_calls.pop(call)
                spent += cost or 0.0
            case _:
                pass
    assert run.ending.status == status


def test_wall_time_ends_the_run():
    settings = changed(Settings(), {"budget.seconds": 30.0}, "test")
    run = rehearse(Script({"boss": boss_of("ann")}, default=worker), settings=settings, latency=Latency(fixed=20.0))
    assert run.ending.status == "exhausted"
    assert "wall time" in run.ending.reason
    assert run.seconds <= 30.0 + settings.limits.grace + 0.1


def test_at_four_fifths_of_the_budget_the_boss_is_told_once():
    def boss(me: Part) -> Playing:
        for number in range(100):
            yield write_file(f"{number}.txt", "x")
            if me.heard("engine"):
                return "brought to an end"
        return "never told"

    settings = changed(Settings(), {"budget.tokens": 200_000, "budget.cost": None, "limits.output": 2_000}, "test")
    run = rehearse(Script({"boss": boss}), settings=settings)
    assert (run.ending.status, run.ending.text) == ("completed", "brought to an end")
    assert len([m for m in run.mail_to("boss") if "80 %" in m.text]) == 1


def test_a_long_conversation_is_compacted_and_the_agent_goes_on():
    def boss(me: Part) -> Playing:
        yield list_files("*.txt")
        for number in range(me.last.text.count(".txt  "), 30):
            yield say(write_file(f"{number}.txt", "x" * 2_000), read_file(f"{number}.txt"))
        return "all written"

    settings = changed(Settings(), {"limits.context": 8_000}, "test")
    run = rehearse(Script({"boss": boss}), settings=settings)
    assert run.ending.status == "completed"
    assert run.facts(ev.ContextCompacted)
    most = max(fact.tokens for fact in run.facts(ev.CallIntended) if fact.purpose == "step")
    assert most < 8_000 * 2 + settings.limits.output + 8_000


def test_a_person_writes_to_an_agent_and_it_acts():
    async def person(control: Control, state: State) -> None:
        while "ann" not in state.names:
            await asyncio.sleep(1)
        with pytest.raises(RunError, match="there are"):
            await control.send("nobody", "hello")
        await control.send("ann", "make it blue")

    def ann(me: Part) -> Playing:
        while not me.heard("person"):
            yield wait(["boss"], "a word from anybody", minutes=60)
        return me.heard("person").text  # pyright: ignore[reportOptionalMemberAccess]

    run = rehearse(Script({"boss": boss_of("ann"), "ann": ann}), meanwhile=person, latency=Latency())
    assert run.ending.status == "completed"
    assert run.facts(ev.WorkReported, "ann")[0].report == "make it blue"
    assert [fact.action for fact in run.facts(ev.HumanSpoke)] == ["send"]


def test_a_pause_holds_every_new_step_until_it_is_lifted():
    times: list[float] = []

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(2)
        assert (await control.do(Request("pause"))).ok
        assert not (await control.do(Request("pause"))).ok
        await asyncio.sleep(1000)
        times.append(state.run.last)
        assert (await control.do(Request("unpause"))).ok

    run = rehearse(Script({"boss": boss_of("ann", "bob")}, default=worker), meanwhile=person, latency=Latency())
    assert run.ending.status == "completed"
    paused = next(r for r in run.records if isinstance(r.event, ev.RunPaused))
    unpaused = next(r for r in run.records if isinstance(r.event, ev.RunUnpaused))
    between = run.records[paused.position : unpaused.position - 1]
    assert not [r for r in between if isinstance(r.event, ev.CallIntended)]
    assert unpaused.time - paused.time >= 1000


def test_a_stop_ends_the_run_as_stopped_and_calls_off_what_is_in_flight():
    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(5)
        await control.stop("enough")

    run = rehearse(Script({"boss": boss_of("ann")}, default=worker), meanwhile=person, latency=Latency(fixed=60.0))
    assert (run.ending.status, run.ending.reason) == ("stopped", "enough")
    assert [fact.fault for fact in run.facts(ev.CallFailed)] == ["cancelled"]
    assert run.seconds < 60


def test_an_attended_question_waits_for_the_person():
    async def person(control: Control, state: State) -> None:
        while not state.run.questions:
            await asyncio.sleep(1)
        assert not (await control.do(Request("answer", "no such question", "blue"))).ok
        await control.answer("", "blue")

    def boss(me: Part) -> Playing:
        yield ask_user("red or blue?")
        return me.last.text

    settings = changed(Settings(), {"attended": True}, "test")
    run = rehearse(Script({"boss": boss}), settings=settings, meanwhile=person)
    assert run.ending.text == "blue"
    assert [fact.by for fact in run.facts(ev.QuestionAnswered)] == ["person"]


def test_an_attended_question_that_nobody_answers_times_out():
    def boss(me: Part) -> Playing:
        yield ask_user("red or blue?")
        return me.last.text

    run = rehearse(Script({"boss": boss}), settings=changed(Settings(), {"attended": True}, "test"))
    assert "Decide yourself" in run.ending.text
    assert run.seconds >= 30 * 60


def test_a_budget_is_raised_but_not_below_what_is_spent():
    async def person(control: Control, state: State) -> None:
        while state.run.steps < 1:
            await asyncio.sleep(1)
        assert not (await control.do(Request("budget", tokens=10))).ok
        assert (await control.do(Request("budget", tokens=10_000_000))).ok

    settings = changed(Settings(), {"budget.tokens": 70_000, "budget.cost": None}, "test")
    script = Script({"boss": boss_of("ann", "bob")}, default=worker)
    run = rehearse(script, settings=settings, meanwhile=person, latency=Latency())
    assert run.ending.status == "completed"


def test_a_users_function_is_a_tool_in_one_line_and_its_failure_is_told():
    def divide(a: int, b: int) -> float:
        """Divide a by b."""
        return a / b

    from megaagent.models.script import call

    def boss(me: Part) -> Playing:
        yield call("divide", a=6, b=3)
        assert me.last.text == "2.0"
        yield call("divide", a=6, b=0)
        assert "ZeroDivisionError" in me.last.text and not me.last.ok
        yield call("divide", a="6", b=1)
        assert "Expected `int`, got `str`" in me.last.text
        return "done"

    assert rehearse(Script({"boss": boss}), tools=[divide]).ending.status == "completed"


def test_the_same_script_and_seed_give_the_same_journal():
    def journal() -> list[str]:
        script = Script({"boss": boss_of("ann", "bob", "cat")}, default=worker)
        return [repr(record) for record in rehearse(script, latency=Latency()).records]

    first, second = journal(), journal()
    assert first == second


class Narrow:
    """A model whose window is narrower than what we count with."""

    def __init__(self, script: Script, most: int):
        self._model = SimulatedModel(script, latency=AT_ONCE)
        self._most = most

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if sum(len(message.text) for message in request.messages) > self._most and len(request.tools) > 1:
            raise ModelError("context_overflow", "too long for this model")
        return await self._model.complete(request)

    async def close(self) -> None: ...


def test_a_conversation_that_the_provider_finds_too_long_is_compacted():
    def boss(me: Part) -> Playing:
        yield list_files("*.txt")
        for number in range(me.last.text.count(".txt  "), 12):
            yield say(write_file(f"{number}.txt", "x" * 2_000), read_file(f"{number}.txt"))
        return "all written"

    run = rehearse(Narrow(Script({"boss": boss}), 14_000))
    assert run.ending.status == "completed"
    assert run.facts(ev.ContextCompacted)
    assert not run.facts(ev.MailSetAside)
