"""Who must act before an agent can go on, read from facts that are made up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.dashboard.made import BEGAN, Hand, beginning, begun, recruiting

from megaagent import events as ev
from megaagent.cli.why import ADVICE
from megaagent.events import BOSS, ENGINE, Fact
from megaagent.journal import SQLiteJournal
from megaagent.readings.fold import Readings
from megaagent.readings.people import why

A, B, AX = "boss/a", "boss/b", "boss/a/x"


def chain(folder: Path, agent: str, *facts: Fact) -> list[tuple[str, str, str]]:
    """Who waits for whom after these facts: name, how, of what."""
    run, workspace = begun(folder)
    workspace.close()

    async def write() -> None:
        journal = SQLiteJournal.create(run.journal, Hand(BEGAN), durability="off")
        people = [fact for number, id in enumerate((A, B, AX), 1) for fact in recruiting(id, number)]
        await journal.append([*beginning(run.id, "Compare."), *people, *_read(BOSS), *_read(A), *_read(B), *_read(AX)])
        await journal.append(list(facts))
        await journal.close()

    asyncio.run(write())
    readings = Readings(run)
    while readings.take_in_more():
        pass
    told = why(readings, agent)
    readings.reader.close()
    assert {link["how"] for link in told} <= set(ADVICE), "the command line has advice for everything"
    return [(link["name"], link["how"], link["subject"]) for link in told]


def _read(agent: str) -> list[Fact]:
    """The agent has read its first mail, and ended its turn without a word."""
    mail = f"{agent}#0.0.0" if agent == BOSS else f"{agent}#0.1"
    call = f"{agent}#1"
    return [
        Fact(agent, 1, ev.CallIntended(call, "step", "sim:made", "", (mail,), 10, 0.1)),
        Fact(agent, 1, ev.ModelAnswered(call, "read")),
    ]


def waits(agent: str, *names: str, timed: bool = False) -> Fact:
    return Fact(agent, 1, ev.TurnEnded("wait", names, "need it", BEGAN + 900, timed))


def calls(agent: str) -> Fact:
    return Fact(agent, 2, ev.CallIntended(f"{agent}#2", "step", "sim:made", "", (), 10, 0.1))


def hands_in(agent: str, number: int) -> list[Fact]:
    return [
        Fact(agent, 1, ev.WorkReported((f"boss#1.{number}",), "done")),
        Fact(agent, 1, ev.TurnEnded("terminate")),
    ]


def test_the_chain_goes_down_to_who_is_at_work_and_past_who_has_handed_in(tmp_path: Path) -> None:
    facts = [*hands_in(A, 1), waits(BOSS, A, B), calls(B), waits(AX, A)]
    assert chain(tmp_path, BOSS, *facts) == [("boss", "waiting", "boss"), ("b", "calling", "b")]


def test_a_chain_of_several(tmp_path: Path) -> None:
    facts = [waits(BOSS, A), waits(A, AX), waits(AX, B), calls(B)]
    assert [name for name, _, _ in chain(tmp_path, BOSS, *facts)] == ["boss", "a", "x", "b"]


@pytest.mark.parametrize(
    ("fact", "last"),
    [
        (Fact(B, 1, ev.QuestionAsked("boss/b#1.0", "Which year?")), ("b", "question", "boss/b#1.0")),
        (Fact(B, 1, ev.ApprovalAsked("boss/b#1.0", "run_command")), ("b", "approval", "boss/b#1.0")),
        (Fact(ENGINE, 0, ev.AgentPaused(B, "by a person")), ("b", "paused", "b")),
        (Fact(ENGINE, 0, ev.RunPaused("lunch", "person")), ("boss", "run paused", "boss")),
        (Fact(B, 1, ev.ProgramStarted("p1", ("true",), "none", "0" * 40)), ("b", "program", "b")),
        (waits(B, timed=True), ("b", "timed", "b")),
        (Fact(B, 1, ev.TurnEnded("parked", (), "refused twice")), ("b", "parked", "b")),
        (Fact(ENGINE, 0, ev.RunEnded("stopped", "by a person")), ("boss", "ended", "boss")),
    ],
    ids=lambda value: type(value.event).__name__ if isinstance(value, Fact) else value[1],
)
def test_who_must_act_and_of_what(tmp_path: Path, fact: Fact, last: tuple[str, str, str]) -> None:
    assert chain(tmp_path, BOSS, waits(BOSS, B), fact)[-1] == last


def test_who_is_held_by_a_pause_above_is_told_of_it(tmp_path: Path) -> None:
    facts = [waits(AX, B), Fact(ENGINE, 0, ev.AgentPaused(A, "by a person"))]
    assert chain(tmp_path, AX, *facts) == [("x", "paused", "a")]


def test_a_call_that_is_in_a_batch(tmp_path: Path):
    call = ev.CallIntended(f"{A}#2", "step", "openai:m", "hash", tokens=10)
    batch = ev.BatchIntended("b1", "openai:m", (f"{A}#2",))
    told = chain(tmp_path, A, Fact(A, 2, call), Fact(ENGINE, 0, batch), Fact(ENGINE, 0, ev.BatchSent("b1", "batch_1")))
    assert told == [("a", "batched", "a")]
