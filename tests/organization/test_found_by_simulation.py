"""What `python -m campaigns simulate` once found, each as a small story."""

from __future__ import annotations

import asyncio

import pytest
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.control import Control
from megaagent.errors import RunError
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    review,
    run_command,
    stop_program,
    text,
    verdict,
    wait,
    write_file,
)
from megaagent.models.simulated import Latency
from megaagent.organization.state import State
from megaagent.sandboxes.contract import Program
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse


def test_a_wait_whose_time_passes_while_the_run_is_paused_ends_after_the_pause():
    def patient(me: Part) -> Playing:
        yield wait(["boss"], "a word", 1)
        return f"woken by {me.mail[-1].text}"

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(5)
        await control.pause("lunch")
        await asyncio.sleep(3600)
        await control.unpause()

    run = rehearse(Script({"boss": boss_of("ann")}, default=patient), meanwhile=person)
    assert run.ending.status == "completed"
    [report] = run.facts(ev.WorkReported, "ann")
    assert "time of your wait is up" in report.report
    assert run.seconds == pytest.approx(3605)


def test_a_wait_ends_in_time_although_the_agents_program_still_runs():
    def asks(program: Program, revision: str) -> tuple[int, str]:
        return 0, "well?"

    def ann(me: Part) -> Playing:
        yield run_command("python ask.py")
        yield wait(["boss"], "a word", 1)
        yield stop_program()
        return me.mail[-1].text

    run = rehearse(Script({"boss": boss_of("ann"), "ann": ann}), play=asks)
    assert run.ending.status == "completed"
    assert run.seconds == pytest.approx(60)


def test_each_asking_for_a_verdict_is_a_call_of_its_own():
    def verifier(me: Part) -> Playing:
        asked_again = any("no valid verdict" in notice for notice in me.notices)
        yield verdict(True) if asked_again else text("It looks good to me.")

    run = rehearse(Script({"boss": worker}, verifier=verifier))
    assert run.ending.status == "completed"
    calls = [fact.call for fact in run.facts(ev.ModelAnswered)]
    assert calls[-2:] == ["verifier:#1/verify", "verifier:#1/verify.2"]


def test_a_person_who_comes_after_the_end_is_told_and_nothing_is_recorded():
    refused: list[str] = []

    async def person(control: Control, state: State) -> None:
        while state.run.ending is None:
            await asyncio.sleep(1)
        for act in (control.pause(), control.send("boss", "hello"), control.stop()):
            with pytest.raises(RunError) as error:
                await act
            refused.append(str(error.value))

    run = rehearse(Script({"boss": boss_of("ann")}, default=worker), meanwhile=person)
    assert len(refused) == 3
    assert all("has ended" in text for text in refused)
    assert isinstance(run.records[-1].event, ev.RunEnded)


def test_the_program_of_an_agent_that_is_halted_holds_nobody():
    """Its purse is used up while its program waits for input that nobody will give."""

    def asks(program: Program, revision: str) -> tuple[int, str]:
        return 0, "well?"

    def spender(me: Part) -> Playing:
        yield run_command("python -i")
        while True:
            yield write_file("notes.txt", f"{len(me.mail)} {me.last.text}")

    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait(["ann"], "her notes", 600)
        yield review(["ann"])
        return "the notes"

    async def person(control: Control, state: State) -> None:
        while not any(member.program for member in state.live()):
            await asyncio.sleep(1)
        await control.raise_budget(tokens=60_000, agent="ann")

    run = rehearse(
        Script({"boss": boss, "ann": spender}),
        play=asks,
        meanwhile=person,
        settings=changed(Settings(), {"budget.tokens": 10_000_000}, "the test"),
        latency=Latency(fixed=1.0),
    )
    assert run.ending.status == "completed"
    assert [fact.sign for fact in run.facts(ev.AgentNudged) if fact.action == "pause"] == ["runaway spend"]
    [ended] = run.facts(ev.ProgramEnded)
    assert ended.cut == ("stopped",)
    assert run.seconds < 3600
