"""The end is provable: nothing open, nobody at work, no program running; and a user's tool cannot end a run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest
from tests.organization.test_debts import recruit, worker

from megaagent import events as ev
from megaagent.control import Control
from megaagent.models.script import Part, Playing, Script, call, exec_python_file, review, say, talk, verdict, wait
from megaagent.models.script import write_file as write
from megaagent.models.simulated import Latency
from megaagent.organization.state import State
from megaagent.sandboxes.contract import Program
from megaagent.testing import Rehearsal, rehearse

SLOW = Latency(fixed=10.0, per_completion=0.0, per_prompt=0.0, sigma=0.0)


def nothing_was_left_open(run: Rehearsal) -> None:
    assert run.ending.status == "completed"
    assert not run.facts(ev.AssignmentFailed)
    assert not any(member.program for member in run.state.members.values())
    assert run.state.run.open_debts == 0


def test_a_boss_that_is_woken_while_it_is_judged_is_judged_again_when_its_people_have_handed_in():
    async def person(control: Control, state: State) -> None:
        while not state.run.verifying:
            await asyncio.sleep(1)
        await control.send("boss", "one thing more, please")

    def boss(me: Part) -> Playing:
        yield call("terminate", report="the first")
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait([], "her part")
        yield review(["ann"])
        return "the second"

    run = rehearse(Script({"boss": boss}, default=worker), latency=SLOW, meanwhile=person)
    nothing_was_left_open(run)
    assert run.ending.text == "the second"
    assert "ann.txt" in run.files


def test_a_debt_further_down_holds_the_boss():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait([], "her part")
        yield say(review(["ann"]), talk("ann", "get help for the rest"))
        while not me.heard("ann", "talk"):
            yield wait(["ann"], "a word", minutes=5)
        yield call("terminate", report="too early")
        assert not me.last.ok and "zed, below ann, still owes" in me.last.text
        while me.heard("ann", "talk").text != "all is done":  # pyright: ignore[reportOptionalMemberAccess]
            yield wait(["ann"], "the rest", minutes=5)
        return "done"

    def ann(me: Part) -> Playing:
        yield call("terminate", report="my part")
        while not me.heard("boss", "talk"):
            yield call("terminate", report="")
        yield say(recruit("zed"), talk("boss", "zed helps"))
        while not me.reported("zed"):
            yield wait(["zed"], "its part")
        yield say(review(["zed"]), talk("boss", "all is done"))
        return ""

    nothing_was_left_open(rehearse(Script({"boss": boss, "ann": ann}, default=worker), latency=SLOW))


def test_one_agent_named_twice_in_a_review_is_reviewed_once():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait([], "her part")
        yield review(["ann", "ann", "boss/ann"])
        assert me.last.text == "ann: accepted."
        return "done"

    run = rehearse(Script({"boss": boss}, default=worker))
    nothing_was_left_open(run)
    assert len(run.facts(ev.WorkReviewed)) == 2


def test_a_program_whose_input_was_all_given_is_heard_to_its_end():
    asked: list[str | None] = []

    def play(program: Program, revision: str) -> tuple[int, str]:
        asked.append(program.stdin)
        return 0, "done\n"

    def boss(me: Part) -> Playing:
        yield write("a.py", "...")
        yield exec_python_file("a.py", stdin="")
        assert "exit code 0" in me.last.text
        return "done"

    nothing_was_left_open(rehearse(Script({"boss": boss}), play=play))
    assert asked == [""]


def odd() -> object:
    """Return what JSON cannot hold."""
    return object()


def surrogate() -> dict[str, int]:
    """Return a name that no file can hold as text."""
    return {"\udcff": 1}


def leave() -> str:
    """Leave the program."""
    sys.exit(3)


def stop() -> str:
    """Raise what a thread's future cannot carry."""
    raise StopIteration


async def generator_exit() -> str:
    """Raise what a coroutine may not."""
    raise GeneratorExit


def huge() -> str:
    """Return a great deal."""
    return "x" * 5_000_000


@pytest.mark.parametrize("function", [odd, surrogate, leave, stop, generator_exit, huge], ids=lambda f: f.__name__)
def test_whatever_a_users_tool_does_ends_its_call_and_not_the_run(function: Callable[..., object]):
    def boss(me: Part) -> Playing:
        yield call(function.__name__)
        assert len(me.last.text) < 200_000
        return "went on"

    run = rehearse(Script({"boss": boss}), tools=[function])
    assert (run.ending.status, run.ending.text) == ("completed", "went on")


def test_the_judge_may_find_gaps_in_what_was_handed_in_again():
    def boss(me: Part) -> Playing:
        yield call("terminate", report="one")
        yield write("part.txt", "x")
        return "two"

    def judge(me: Part) -> Playing:
        there = "=== part.txt ===" in me.notices[-1]
        yield verdict(there, [] if there else ["part.txt"])

    nothing_was_left_open(rehearse(Script({"boss": boss}, verifier=judge)))
