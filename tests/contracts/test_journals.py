"""What every journal promises, asked of each member."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megaagent import events as ev
from megaagent.clock import VirtualClock, WallClock
from megaagent.errors import RunError
from megaagent.events import Fact, Record
from megaagent.journal import Journal, SQLiteJournal, create_journal
from megaagent.journal.homes import settle
from megaagent.testing.journal import MemoryJournal

MEMBERS: dict[str, Callable[[Path], Journal]] = {
    "memory": lambda path: MemoryJournal(WallClock()),
    "sqlite": lambda path: SQLiteJournal.create(path, WallClock()),
    "sqlite inline": lambda path: SQLiteJournal.create(path, WallClock(), inline=True),
    "postgres": lambda path: create_journal(path, WallClock()),
    "postgres inline": lambda path: create_journal(path, WallClock(), inline=True),
}


def place_for(member: str, folder: Path, request: pytest.FixtureRequest) -> Path:
    """By which file a member's journal is opened."""
    address = request.getfixturevalue("postgres").address if member.startswith("postgres") else "folder"
    return settle(folder, address, f"{folder.parent.name}-{folder.name}")


@pytest.fixture(params=MEMBERS)
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    member = MEMBERS[request.param](place_for(request.param, tmp_path, request))
    yield member
    await member.close()


def note(text: str, agent: str = "boss", step: int = 0) -> Fact:
    return Fact(agent, step, ev.NoteShared(text))


def said(text: str, agent: str = "boss") -> Fact:
    return Fact(agent, 1, ev.ModelAnswered(f"{agent}#1", text=text))


def texts(records: Sequence[Record]) -> list[str]:
    return [record.event.text for record in records if isinstance(record.event, ev.NoteShared | ev.ModelAnswered)]


async def test_facts_come_back_in_order_with_place_and_time(journal: Journal):
    facts = [note("one"), Fact("boss/a", 3, ev.AgentRetired("boss/b", "done")), note("three", "boss/a", 4)]
    records = [*await journal.append(facts[:2]), *await journal.append(facts[2:])]
    assert [(r.position, r.epoch) for r in records] == [(1, 1), (2, 1), (3, 1)]
    assert [Fact(r.agent, r.step, r.event) for r in records] == facts
    assert records[0].time == records[1].time <= records[2].time
    reader = journal.reader()
    assert list(reader.records()) == records
    assert reader.last() == journal.position == 3
    assert reader.record(2) == records[1]
    assert reader.record(4) is None
    assert reader.verify().problem == ""
    assert reader.verify().rows == 3
    reader.close()


async def test_nothing_to_record_is_no_record(journal: Journal):
    assert list(await journal.append([])) == []
    assert journal.position == 0


async def test_long_bodies_come_back_wherever_they_stand(journal: Journal):
    long = "é long body\n" * 500
    facts = [
        note(long),
        Fact("boss", 1, ev.MessageSent(ev.Message("boss#1.0", "boss", ("boss/a",), long))),
        Fact("boss", 1, ev.ModelAnswered("boss#1", calls=(ev.ToolCall("1", "talk", long), ev.ToolCall("2", "wait")))),
    ]
    records = await journal.append(facts)
    reader = journal.reader()
    assert list(reader.records()) == list(records)
    assert [r.event for r in records] == [f.event for f in facts]
    lean = list(reader.records(bodies=False))
    assert [r.position for r in lean] == [1, 2, 3]
    reader.close()


async def test_records_are_chosen_by_position_agent_kind_and_number(journal: Journal):
    for number in range(1200):
        agent = f"boss/{number % 3}"
        await journal.append([note(str(number), agent) if number % 2 else said(str(number), agent)])
    reader = journal.reader()
    everything = list(reader.records())
    assert len(everything) == 1200
    assert list(reader.records(after=1190)) == everything[1190:]
    assert list(reader.records(limit=7)) == everything[:7]
    assert list(reader.records(limit=0)) == []
    assert list(reader.records(limit=700)) == everything[:700]
    assert list(reader.records(agent="boss/1")) == [r for r in everything if r.agent == "boss/1"]
    assert list(reader.records(kinds=[])) == []
    notes = [r for r in everything if isinstance(r.event, ev.NoteShared)]
    assert list(reader.records(kinds=[ev.NoteShared])) == notes
    assert list(reader.records(kinds=[ev.NoteShared, ev.ModelAnswered])) == everything
    wanted = [r for r in notes if r.agent == "boss/1" and r.position > 10][:5]
    assert list(reader.records(after=10, agent="boss/1", kinds=[ev.NoteShared], limit=5)) == wanted
    reader.close()


async def test_contents_are_found_by_their_hash(journal: Journal):
    contents = [b"", b"print('hi')\n" * 300, bytes(range(256))]
    await journal.append([note("files")], contents)
    await journal.append([], [b"alone"])
    reader = journal.reader()
    for data in [*contents, b"alone"]:
        assert reader.blob(hashlib.sha256(data).hexdigest()) == data
    assert reader.blob("0" * 64) is None
    reader.close()


async def test_listeners_see_each_record_once_in_order_before_the_appender_goes_on(journal: Journal):
    seen: list[int] = []
    journal.listen(lambda records: seen.extend(r.position for r in records))

    async def appender(name: int) -> None:
        for number in range(20):
            records = await journal.append([note(f"{number}", f"boss/{name}"), note("and", f"boss/{name}")])
            assert records[-1].position in seen
            assert journal.position >= records[-1].position

    await asyncio.gather(*map(appender, range(10)))
    assert seen == list(range(1, 401))


async def test_appenders_keep_their_own_order_and_appends_stay_whole(journal: Journal):
    async def appender(name: int) -> None:
        waiting = [
            asyncio.ensure_future(journal.append([note(f"{number}.{part}", f"boss/{name}") for part in range(name)]))
            for number in range(60)
        ]
        await asyncio.gather(*waiting)

    await asyncio.gather(*map(appender, range(1, 8)))
    reader = journal.reader()
    everything = list(reader.records())
    for name in range(1, 8):
        own = [r for r in everything if r.agent == f"boss/{name}"]
        assert texts(own) == [f"{number}.{part}" for number in range(60) for part in range(name)]
        for number in range(60):
            places = [r.position for r in own[number * name : (number + 1) * name]]
            assert places == list(range(places[0], places[0] + name))
    reader.close()


@pytest.mark.parametrize(
    "fact",
    [
        note("a lone surrogate \ud83d"),
        note("\udfff" * 2000),
        note("x", agent="boss\ud800"),
        note("x", agent="boss\0"),
        note("x", step=-1),
        note("x", step=1 << 70),
        Fact("boss", 0, ev.BudgetRaised(cost=float("nan"))),
        Fact("boss", 0, ev.BudgetRaised(cost=float("inf"))),
        Fact("boss", 0, ev.NoteShared(7)),  # type: ignore[arg-type]
        Fact("boss", 0, ev.ToolReturned("first", "1", "talk", "ok")),  # type: ignore[arg-type]
        Fact("boss", 0, ev.CallRetried("boss#1", 1, "timeout", object())),  # type: ignore[arg-type]
    ],
    ids=lambda fact: type(fact.event).__name__,
)
async def test_what_could_not_be_read_back_is_refused_and_harms_nobody(journal: Journal, fact: Fact):
    outcomes = await asyncio.gather(
        journal.append([note("before")]),
        journal.append([note("beside"), fact], [b"content"]),
        journal.append([note("after")]),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], ValueError)
    assert "cannot be recorded" in str(outcomes[1])
    reader = journal.reader()
    assert texts(list(reader.records())) == ["before", "after"]
    assert reader.blob(hashlib.sha256(b"content").hexdigest()) is None
    assert reader.verify().problem == ""
    reader.close()


async def test_a_cancelled_appender_calls_nothing_back(journal: Journal):
    seen: list[str] = []
    journal.listen(lambda records: seen.extend(texts(records)))
    waiting = asyncio.ensure_future(journal.append([note("cancelled")]))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await journal.append([note("next")])
    assert seen == ["cancelled", "next"]


async def test_a_watcher_that_fails_is_removed_and_logged(journal: Journal, caplog: pytest.LogCaptureFixture):
    calls: list[int] = []

    def watcher(records: Sequence[Record]) -> None:
        calls.append(len(records))
        raise RuntimeError("cannot draw")

    seen: list[str] = []
    journal.listen(watcher, watcher=True)
    journal.listen(lambda records: seen.extend(texts(records)))
    await journal.append([note("one")])
    await journal.append([note("two")])
    assert calls == [1]
    assert seen == ["one", "two"]
    assert "cannot draw" in caplog.text


async def test_a_listener_that_fails_is_loud_and_the_last(journal: Journal):
    def listener(records: Sequence[Record]) -> None:
        raise KeyError("a bug in the state")

    journal.listen(listener)
    with pytest.raises(KeyError, match="a bug in the state"):
        await journal.append([note("one")])
    with pytest.raises(RunError, match=r"takes no more.*a bug in the state"):
        await journal.append([note("two")])


async def test_the_newest_snapshot_is_kept(journal: Journal):
    await journal.append([note(str(n)) for n in range(5)])
    reader = journal.reader()
    assert reader.snapshot("state") is None
    for position in (2, 3, 5):
        await journal.snapshot("state", position, f"state at {position}".encode() * 100)
    await journal.snapshot("other", 1, b"")
    assert reader.snapshot("state") == (5, b"state at 5" * 100)
    assert reader.snapshot("other") == (1, b"")
    for position in (0, 6):
        with pytest.raises(ValueError, match="the journal is at 5"):
            await journal.snapshot("state", position, b"")
    reader.close()


async def test_a_closed_journal_takes_no_more(journal: Journal):
    await journal.append([note("one")])
    await journal.close()
    await journal.close()
    with pytest.raises(RunError, match="closed"):
        await journal.append([note("two")])


async def test_closing_waits_for_what_was_appended(journal: Journal):
    waiting = [asyncio.ensure_future(journal.append([note(str(n))])) for n in range(600)]
    await asyncio.sleep(0)
    await journal.close()
    records = await asyncio.gather(*waiting)
    assert [r.position for [r] in records] == list(range(1, 601))


async def test_more_than_may_wait_is_recorded_all_the_same(journal: Journal):
    records = await asyncio.gather(*[journal.append([note(str(n))]) for n in range(3000)])
    assert [(r.position, r.event) for [r] in records] == [(n + 1, ev.NoteShared(str(n))) for n in range(3000)]


async def test_recall_finds_what_is_shared_and_what_is_ones_own(journal: Journal):
    long = "filler " * 400 + "the Gobang board is fifteen wide " + "filler " * 400
    await journal.append(
        [
            Fact("boss/a", 1, ev.MessageSent(ev.Message("boss/a#1.0", "boss/a", ("boss",), "the board is drawn"))),
            Fact("boss/a", 1, ev.WorkReported(("boss#1.0",), "board and pieces")),
            said("my board thoughts", "boss/a"),
            said("other board thoughts", "boss/b"),
            note("nothing of interest"),
            note(long, "boss/b"),
        ]
    )
    reader = journal.reader()
    assert {r.position for r, _ in reader.search("board")} == {1, 2, 6}
    assert {r.position for r, _ in reader.search("BOARD", agent="boss/a")} == {1, 2, 3, 6}
    [(record, passage)] = reader.search("gobang")
    assert record.event == ev.NoteShared(long)
    assert "the Gobang board is fifteen wide" in passage
    assert len(passage) < 400
    assert len(reader.search("board", agent="boss/a", limit=2)) == 2
    assert reader.search("unheard") == []
    assert reader.search("") == reader.search(" ?!* ") == []
    assert {r.position for r, _ in reader.search("board", agent="nobody\0")} == {1, 2, 6}
    assert list(reader.records(agent="nobody\0")) == []
    reader.close()


async def test_recall_puts_the_best_first_and_the_newest_of_equals(journal: Journal):
    await journal.append([note("red apple"), note("green apple"), note("red apple")])
    await journal.append([note(f"filler number {n}") for n in range(20)])
    reader = journal.reader()
    assert [r.position for r, _ in reader.search("red apple")] == [3, 1, 2]
    reader.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.sampled_from(list("ab\"'*()^:-+{}[]\0 ANDORNEAR\ud800٣_é中")), max_size=30))
@pytest.mark.parametrize("member", [member for member in MEMBERS if member != "postgres inline"])
def test_no_query_is_a_syntax_error(
    query: str, member: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
):
    async def main() -> None:
        journal = MEMBERS[member](place_for(member, tmp_path_factory.mktemp("recall"), request))
        await journal.append([note('a b "AND" OR NEAR(a b) é 中 _ ٣')])
        reader = journal.reader()
        assert len(reader.search(query, agent="boss")) <= 1
        reader.close()
        await journal.close()

    asyncio.run(main())


VIRTUAL: dict[str, Callable[[Path, VirtualClock], Journal]] = {
    "memory": lambda path, clock: MemoryJournal(clock),
    "sqlite": SQLiteJournal.create,
    "sqlite inline": lambda path, clock: SQLiteJournal.create(path, clock, inline=True),
    "postgres": create_journal,
    "postgres inline": lambda path, clock: create_journal(path, clock, inline=True),
}


@pytest.mark.parametrize("member", VIRTUAL)
def test_recording_takes_no_virtual_time(member: str, tmp_path: Path, request: pytest.FixtureRequest):
    path = place_for(member, tmp_path, request)
    clock = VirtualClock(1000.0)

    async def appender(journal: Journal, seconds: float) -> None:
        for _ in range(20):
            await asyncio.sleep(seconds)
            await journal.append([note(f"{seconds}")])

    async def main() -> list[float]:
        journal = VIRTUAL[member](path, clock)
        await asyncio.gather(appender(journal, 3600.0), appender(journal, 1.5))
        await journal.close()
        reader = journal.reader()
        times = [record.time for record in reader.records()]
        reader.close()
        return times

    run: Callable[[Callable[[], Coroutine[Any, Any, list[float]]]], list[float]] = clock.run
    expected = sorted([1000 + 3600.0 * n for n in range(1, 21)] + [1000 + 1.5 * n for n in range(1, 21)])
    assert run(main) == expected
