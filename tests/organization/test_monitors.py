"""The supervisor's signs: each pathology is named in time, the run ends, and sane work is left alone (design §6)."""

from __future__ import annotations

import asyncio

import pytest
from campaigns.pathologies import CASES, judge
from msgspec.structs import replace
from tests.organization.test_debts import boss_of, prompt, worker

from megaagent import events as ev
from megaagent.control import Control
from megaagent.events import ToolCall
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    change_task_status,
    exec_python_file,
    list_files,
    review,
    say,
    talk,
    wait,
    write_file,
)
from megaagent.models.simulated import Latency
from megaagent.organization.habits import REPETITION, Habits, answered, fingerprint, nudged, progressed, returned
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse


@pytest.mark.parametrize("name", CASES)
def test_a_pathology_is_named_within_two_ticks_and_the_run_ends(name: str):
    seconds, problems = judge(CASES[name], Latency(), seed=0)
    assert problems == []
    assert seconds is not None


def signs(run: Rehearsal) -> set[str]:
    return {fact.sign for fact in run.facts(ev.AgentNudged)}


def test_a_rerun_after_a_change_is_no_repetition():
    def boss(me: Part) -> Playing:
        for version in range(6):
            yield write_file("a.py", f"assert {version} == 5\n")
            yield exec_python_file("a.py")
        return "it passes"

    run = rehearse(Script({"boss": boss}), play=lambda program, revision: (1, "AssertionError"))
    assert run.ending.status == "completed"
    assert signs(run) == set()


def test_a_rerun_after_a_colleagues_change_is_no_repetition():
    def boss(me: Part) -> Playing:
        yield add_agent("ann", "a colleague", prompt("ann"))
        for _ in range(5):
            yield exec_python_file("a.py")
            yield wait(["ann"], "the next version", minutes=0.1)
        while not me.reported("ann"):
            yield wait(["ann"], "her part")
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        for version in range(30):
            yield write_file("b.py", f"version = {version}\n")
        return "b.py is there"

    run = rehearse(
        Script({"boss": boss, "ann": ann}),
        play=lambda program, revision: (1, "no"),
        files={"a.py": "import b\n"},
        latency=Latency(),
    )
    assert run.ending.status == "completed"
    assert signs(run) == set()


def test_waiting_again_and_again_is_no_repetition():
    def boss(me: Part) -> Playing:
        yield add_agent("ann", "a colleague", prompt("ann"))
        for _ in range(6):
            yield wait(["ann"], "a moment", minutes=1)
        while not me.reported("ann"):
            yield wait(["ann"], "her part")
        yield review(["ann"])
        return "done"

    run = rehearse(Script({"boss": boss}, default=worker))
    assert run.ending.status == "completed"
    assert REPETITION not in signs(run)


def test_a_blocked_call_is_answered_with_the_reason_and_opens_after_a_change():
    def boss(me: Part) -> Playing:
        for _ in range(5):
            yield list_files("*.txt")
        assert not me.last.ok and "blocked" in me.last.text
        yield write_file("new.txt", "x")
        yield list_files("*.txt")
        assert me.last.ok and "new.txt" in me.last.text
        return "done"

    assert rehearse(Script({"boss": boss})).ending.status in ("completed", "stalled")


def test_the_same_checklist_again_is_no_progress():
    def boss(me: Part) -> Playing:
        for _ in range(4):
            yield change_task_status(todo=["think"])
        yield change_task_status(done=["think"])
        return "done"

    run = rehearse(Script({"boss": boss}))
    assert run.ending.status == "completed"
    assert REPETITION in signs(run)


def test_talk_that_comes_with_work_is_left_alone():
    def ann(me: Part) -> Playing:
        for number in range(12):
            yield say(write_file("ann.txt", f"version {number}"), talk("bob", f"version {number} is there"))
            heard = len(me.mail)
            while len(me.mail) == heard:
                yield wait(["bob"], "what he says", minutes=1)
        return "ann.txt is finished"

    def bob(me: Part) -> Playing:
        for number in range(12):
            while sum(m.sender == "ann" for m in me.mail) <= number:
                yield wait(["ann"], "her version", minutes=1)
            yield say(write_file("bob.txt", f"checked {number}"), talk("ann", f"{number} is good"))
        return "bob.txt is finished"

    run = rehearse(Script({"boss": boss_of("ann", "bob"), "ann": ann, "bob": bob}), latency=Latency())
    assert run.ending.status == "completed"
    assert signs(run) == set()


def test_a_true_report_and_a_colleagues_file_are_no_empty_claims():
    def ann(me: Part) -> Playing:
        yield write_file("src/ann.py", "x = 1\n")
        return "I wrote ann.py, which completed what bob.txt has begun; see e.g. its docstring."

    run = rehearse(Script({"boss": boss_of("bob", "ann"), "ann": ann}, default=worker), latency=Latency())
    assert run.ending.status == "completed"
    assert "claim without effect" not in signs(run)


def test_the_reviewer_reads_which_claims_are_empty():
    def ann(me: Part) -> Playing:
        yield write_file("a.py", "x = 1\n")
        return "I wrote a.py and b.py."

    run = rehearse(Script({"boss": boss_of("ann"), "ann": ann}))
    [report] = [m for m in run.mail_to("boss") if m.kind == "report"]
    assert "[it names as written, and has not written: b.py]" in report.text


def test_a_paused_subtree_lets_its_siblings_go_on():
    seconds, problems = judge(CASES["runaway spend"], Latency(), seed=1)
    assert (seconds, problems) == (0.0, [])


def test_a_lost_wake_up_is_a_bug_that_is_loud():
    async def saboteur(control: Control, state: State) -> None:
        while "boss/ann" not in state.members or state.members["boss/ann"].waiting is None:
            await asyncio.sleep(1)
        member = state.members["boss/ann"]
        message = ev.Message("x#1.1", "boss", (member.id,), "nobody will read this")
        state.members[member.id] = replace(member, waiting=None, inbox=(message,))  # and nobody is told
        await control.send("boss", "how is it going?")

    def ann(me: Part) -> Playing:
        yield wait(["boss"], "a word", minutes=5)
        return "done"

    with pytest.raises(AssertionError, match="lost wake-up: boss/ann"):
        rehearse(
            Script({"boss": boss_of("ann", "bob"), "ann": ann}, default=worker), meanwhile=saboteur, latency=Latency()
        )


def test_the_trail_is_bounded_and_counts_steps_not_calls():
    call = ToolCall("1", "list_files", '{"pattern": "*"}')
    habits = Habits()
    for step in range(1, 40):
        habits = answered(habits, [call] * 20)
        for index in range(20):
            habits = returned(habits, step, ev.ToolReturned(index, "1", "list_files", f"{step}"), None)
    assert len(habits.deeds) <= 64
    assert habits.repeated() is None  # twenty times the same, but in one step
    for step in range(40, 43):
        habits = answered(habits, [call])
        habits = returned(habits, step, ev.ToolReturned(0, "1", "list_files", "same"), None)
    assert habits.repeated() is not None
    blocked = nudged(habits, ev.AgentNudged("boss", REPETITION, "block"), 42)
    assert blocked.blocked == (fingerprint(call),)
    assert progressed(blocked).blocked == ()


def test_who_starves_is_asked_next_and_nobody_pays_twice():
    case = CASES["starving subtree"]
    script = case.play()
    assert isinstance(script, Script)
    run = rehearse(script, settings=changed(Settings(), dict(case.settings), "test"), latency=Latency())
    assert run.ending.status == "completed"
    assert run.facts(ev.CallFailed) == []
    assert not any("can do no more" in message.text for message in run.mail_to("boss"))  # ann's review had just opened
    named = next(r for r in run.records if isinstance(r.event, ev.AgentNudged) and r.event.sign == "starving")
    assert isinstance(named.event, ev.AgentNudged)
    later = [r for r in run.records[named.position :] if isinstance(r.event, ev.CallIntended)]
    assert named.event.id in [record.agent for record in later[:2]]
