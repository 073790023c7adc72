"""A person stops or pauses a part of the organization, and nothing of that part is left running (design §6, People)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.control import Control, Request
from megaagent.errors import RunError
from megaagent.models.script import Part, Play, Playing, Script, review, run_command, say, wait, write_file
from megaagent.models.simulated import Latency
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

SLOW = Latency(fixed=10.0, sigma=0.0)
STOPPED = "admin and all below it were stopped by a person"


def leads(*names: str) -> Play:
    """Recruits, takes what it is given, and goes without what was stopped."""

    def play(me: Part) -> Playing:
        yield say(*(recruit(name) for name in names))
        gone: set[str] = set()
        while not me.reported(*(name for name in names if name not in gone)):
            yield wait([], "their parts")
            told = [letter.text for letter in me.mail if letter.kind == "notice"]
            gone |= {
                name for name in names if any(text.startswith(f"{name} and all below it were stopped") for text in told)
            }
        there = [name for name in names if name not in gone]
        if there:
            yield review(there, "accept")
        return f"without {sorted(gone)}"

    return play


def works_for_ever(me: Part) -> Playing:
    while True:
        yield write_file(f"{me.name}.txt", f"{len(me.results)}\n")


def rehearsed(act: Callable[[Control, State], Awaitable[None]], **more: Play) -> Rehearsal:
    """The boss leads admin and bob, admin leads ann and cat, and those two never end."""
    parts = {"boss": leads("admin", "bob"), "admin": leads("ann", "cat"), "ann": works_for_ever, "cat": works_for_ever}
    return rehearse(Script(parts | more, default=worker), meanwhile=act, latency=SLOW, play=lambda *_: (0, "which?"))


async def until(state: State, condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(1)
    assert state.run.ending is None


def at_work(state: State, *agents: str) -> Callable[[], bool]:
    """Whether a call of each is in flight, and not its first."""
    return lambda: all(a in state.members and state.members[a].call and state.members[a].step > 1 for a in agents)


def test_a_stopped_subtree_leaves_with_its_calls_and_its_superior_goes_on_without_it():
    said: list[str] = []

    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann", "boss/admin/cat"))
        said.append(await control.stop("too dear", "admin"))
        assert not [m for m in state.subtree("boss/admin") if m.retired is None or m.call or m.owes]
        assert [debt.status for debt in state.debts.values() if debt.debtor.startswith("boss/admin")] == ["failed"] * 3

    run = rehearsed(person)
    assert said == ["stopped admin and 2 below it: 2 calls called off, 0 programs killed, 0 left running"]
    assert (run.ending.status, run.ending.text) == ("completed", "without ['admin']")
    assert sorted(run.files) == ["ann.txt", "bob.txt", "cat.txt"]  # what was done stays
    assert next(m.text for m in run.mail_to("boss") if m.kind == "notice").startswith(f"{STOPPED}: too dear.")
    stop = next(r for r in run.records if isinstance(r.event, ev.HumanSpoke))
    assert run.facts(ev.HumanSpoke) == [ev.HumanSpoke("stop", "admin: too dear")]
    acted = {r.agent for r in run.records[stop.position :] if isinstance(r.event, ev.CallIntended | ev.MessageSent)}
    assert not [agent for agent in acted if agent.startswith("boss/admin")]
    assert sorted(r.agent for r in run.records if isinstance(r.event, ev.CallFailed)) == [
        "boss/admin/ann",
        "boss/admin/cat",
    ]


def test_its_programs_are_killed():
    said: list[str] = []

    def runs(me: Part) -> Playing:
        yield run_command("python -i")
        yield wait(["admin"], "the game", minutes=60)
        return "played"

    async def person(control: Control, state: State) -> None:
        await until(state, lambda: "boss/admin/ann" in state.members and bool(state.members["boss/admin/ann"].waiting))
        said.append(await control.stop(agent="boss/admin/ann"))
        assert state.members["boss/admin/ann"].program is None

    run = rehearsed(person, ann=runs, cat=worker)
    assert said == ["stopped ann: 0 calls called off, 1 program killed, 0 left running"]
    assert [(end.exit_code, end.cut) for end in run.facts(ev.ProgramEnded, "ann")] == [(None, ("stopped",))]
    assert run.ending.status == "completed"
    assert run.ending.text == "without []"  # its admin went on without it


def test_stopping_a_part_of_a_part_then_the_rest_then_all_again():
    said: list[str] = []

    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann", "boss/admin/cat"))
        for name in ("ann", "admin", "ann", "admin"):
            said.append(await control.stop("", name))

    run = rehearsed(person)
    assert said == [
        "stopped ann: 1 call called off, 0 programs killed, 0 left running",
        "stopped admin and 2 below it: 2 calls called off, 0 programs killed, 0 left running",  # admin was woken
        "ann has left already (stopped by a person); 0 left running",
        "admin has left already (stopped by a person); 0 left running",
    ]
    assert run.ending.status == "completed"
    retired = [fact.id for fact in run.facts(ev.AgentRetired)]
    assert sorted(set(retired)) == sorted(retired)


def test_two_people_stop_the_same_part_at_once():
    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann", "boss/admin/cat"))
        answers = await asyncio.gather(control.stop("", "admin"), control.stop("", "ann"), control.stop("", "admin"))
        assert all(answer.endswith("0 left running") for answer in answers)

    run = rehearsed(person)
    assert run.ending.status == "completed"
    retired = [fact.id for fact in run.facts(ev.AgentRetired)]
    assert sorted(set(retired)) == sorted(retired)
    assert len([mail for mail in run.mail_to("boss") if mail.text.startswith(STOPPED)]) == 1


def test_who_is_being_recruited_while_its_admin_is_stopped_leaves_too():
    caught: list[bool] = []

    async def person(control: Control, state: State) -> None:
        await until(state, lambda: "boss/admin" in state.members and state.members["boss/admin"].call is not None)
        await asyncio.sleep(8)
        while state.members["boss/admin"].call is not None:
            await asyncio.sleep(0.1)
        caught.append(state.members["boss/admin"].pending or "boss/admin/ann" in state.members)
        await control.stop("", "admin")
        assert not [m for m in state.subtree("boss/admin") if m.retired is None]

    assert rehearsed(person).ending.status == "completed"
    assert caught == [True]


def test_stopping_the_boss_stops_the_run():
    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann"))
        assert await control.stop("enough", "boss") == "stopping"

    run = rehearsed(person)
    assert (run.ending.status, run.ending.reason) == ("stopped", "enough")


@pytest.mark.parametrize("do", ["stop", "pause", "unpause"])
def test_an_unknown_name_is_told_and_changes_nothing(do: str):
    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(1)
        answer = await control.do(Request(do, "nobody"))  # pyright: ignore[reportArgumentType]
        assert (answer.ok, answer.text) == (False, "no agent 'nobody' is there; there are boss")

    run = rehearse(Script({"boss": worker}), meanwhile=person, latency=SLOW)
    assert run.ending.status == "completed"
    assert not run.facts(ev.HumanSpoke)


def test_a_paused_subtree_rests_while_the_others_go_on():
    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann", "boss/admin/cat"))
        assert (await control.do(Request("pause", "admin", "lunch"))).ok
        with pytest.raises(RunError, match="admin is paused already: lunch"):
            await control.pause("", "admin")
        with pytest.raises(RunError, match="ann is not paused; admin, above it, is"):
            await control.unpause("ann")
        await asyncio.sleep(1000)
        assert state.members["boss/bob"].handed_in
        assert (await control.do(Request("unpause", "admin"))).ok
        with pytest.raises(RunError, match="admin is not paused"):
            await control.unpause("admin")
        await until(state, at_work(state, "boss/admin/ann"))
        await control.stop("", "admin")

    run = rehearsed(person)
    assert run.ending.status == "completed"
    paused = next(r for r in run.records if isinstance(r.event, ev.AgentPaused))
    unpaused = next(r for r in run.records if isinstance(r.event, ev.AgentUnpaused))
    between = run.records[paused.position : unpaused.position - 1]
    assert not [r for r in between if isinstance(r.event, ev.CallIntended) and r.agent.startswith("boss/admin")]


def test_a_subtree_may_be_paused_within_a_paused_one():
    async def person(control: Control, state: State) -> None:
        await until(state, at_work(state, "boss/admin/ann", "boss/admin/cat"))
        await control.pause("", "admin")
        await control.pause("", "ann")
        assert "when admin, above it, does" in await control.unpause("ann")
        await control.stop("", "admin")  # also while it is paused

    assert rehearsed(person).ending.status == "completed"


def test_the_boss_stands_for_the_run():
    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(1)
        await control.pause("", "boss")
        assert state.run.paused
        await control.unpause("boss")

    settings = changed(Settings(), {"attended": True}, "test")
    run = rehearse(Script({"boss": boss_of("ann")}, default=worker), meanwhile=person, latency=SLOW, settings=settings)
    assert run.ending.status == "completed"
