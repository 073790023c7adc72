"""The end of a journal, and the ways in which it can be disturbed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import RunError
from megaagent.events import Fact, Record
from megaagent.journal import SQLiteJournal, create_journal, open_journal, open_reader
from megaagent.journal.bodies import digest_of
from megaagent.journal.writer import WAITING

both = pytest.mark.parametrize("inline", [False, True])


def note(text: object, agent: str = "boss") -> Fact:
    return Fact(agent, 1, ev.NoteShared(str(text)))


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def stored(path: Path) -> list[str]:
    with closing(open_reader(path)) as reader:
        assert reader.verify().problem == ""
        return [record.event.text for record in reader.records() if isinstance(record.event, ev.NoteShared)]


@both
async def test_readers_that_were_handed_out_are_closed_and_no_log_is_left(path: Path, inline: bool):
    journal = SQLiteJournal.create(path, WallClock(), inline=inline)
    await journal.append([note(n) for n in range(600)])
    idle, reading = journal.reader(), journal.reader()
    records = reading.records()
    next(records)
    await journal.close()
    assert files(path) == {"journal.db", "journal.lock"}
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        idle.last()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        list(records)
    assert len(stored(path)) == 600


async def test_a_log_that_a_foreign_reader_kept_is_folded_in_by_the_next_engine(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("one")])
    with closing(open_reader(path)) as reader:
        await journal.close()
        assert reader.last() == 1
    assert stored(path) == ["one"]
    await SQLiteJournal.open(path, WallClock()).close()
    assert files(path) == {"journal.db", "journal.lock"}
    assert stored(path) == ["one"]


async def test_close_leaves_no_thread(place: Path):
    before = set(threading.enumerate())
    journal = create_journal(place, WallClock())
    threads = set(threading.enumerate()) - before
    await journal.append([note("one")])
    await journal.close()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
    assert threads
    assert not any(thread.is_alive() for thread in threads)


@both
async def test_who_cancels_the_closing_does_not_stop_it(place: Path, inline: bool):
    journal = create_journal(place, WallClock(), inline=inline)
    waiting = [asyncio.ensure_future(journal.append([note(n)])) for n in range(50)]
    await asyncio.sleep(0)
    impatient = asyncio.ensure_future(journal.close())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    await asyncio.gather(*waiting)
    await journal.close()  # the same closing, waited for once more
    again = open_journal(place, WallClock())  # so the lock is free
    assert again.position == 50
    await again.close()


async def test_all_who_close_wait_for_the_end(place: Path):
    journal = create_journal(place, WallClock())
    waiting = asyncio.ensure_future(journal.append([note("one")]))
    await asyncio.sleep(0)
    first = asyncio.ensure_future(journal.close())
    await asyncio.sleep(0)
    await journal.close()
    assert files(place) == {place.name, "journal.lock"}
    await first
    await waiting


async def test_closing_under_a_crowd_records_exactly_what_it_acknowledges(place: Path):
    journal = create_journal(place, WallClock(), durability="off")
    count = WAITING + 200
    waiting = [asyncio.ensure_future(journal.append([note(n)])) for n in range(count)]
    await asyncio.sleep(0)
    late = asyncio.ensure_future(journal.close())
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    await late
    refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, RunError)]
    assert len(refused) == 200
    assert all("is closed" in str(outcomes[n]) for n in refused)
    assert stored(place) == [str(n) for n in range(count) if n not in refused]


@both
async def test_a_content_that_is_none_fails_alone_and_order_is_kept(place: Path, inline: bool):
    journal = create_journal(place, WallClock(), inline=inline)
    seen: list[int] = []
    journal.listen(lambda records: seen.extend(record.position for record in records))
    batch = [journal.append([note(f"{n}.{part}") for part in range(2)]) for n in range(5)]
    wrong = journal.append([note("wrong")], [b"beside it", "text, not bytes"])  # type: ignore[list-item]
    outcomes = await asyncio.gather(*batch[:3], wrong, *batch[3:], return_exceptions=True)
    assert isinstance(outcomes[3], TypeError)
    written = [outcome for n, outcome in enumerate(outcomes) if n != 3]
    assert all(isinstance(outcome, list) for outcome in written)
    assert seen == list(range(1, 11))
    assert journal.reader().blob(digest_of(b"beside it")) is None
    await journal.close()
    assert stored(place) == [f"{n}.{part}" for n in range(5) for part in range(2)]


@both
async def test_a_listener_that_lets_a_stop_iteration_out_hangs_nobody(place: Path, inline: bool):
    """No future can hold a StopIteration: given as it is, it would leave the rest of the batch waiting for ever."""
    journal = create_journal(place, WallClock(), inline=inline)

    def listener(records: Sequence[Record]) -> None:
        next(iter(()))

    journal.listen(listener)
    waiting = [journal.append([note(n)]) for n in range(3)]
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    assert isinstance(outcomes[0], RuntimeError)
    assert isinstance(outcomes[0].__cause__, StopIteration)
    assert [type(outcome) for outcome in outcomes[1:]] == [RunError, RunError]
    await journal.close()


async def test_after_a_listener_failed_appenders_are_told_whether_they_are_recorded(place: Path):
    journal = create_journal(place, WallClock())

    def listener(records: Sequence[Record]) -> None:
        raise KeyError("a bug")

    journal.listen(listener)
    outcomes = await asyncio.gather(*[journal.append([note(n)]) for n in range(3)], return_exceptions=True)
    assert isinstance(outcomes[0], KeyError)
    assert all("recorded, but nobody was told" in str(outcome) for outcome in outcomes[1:])
    assert journal.position == 1
    with pytest.raises(RunError, match="takes no more"):
        await journal.append([note("never")])
    await journal.close()
    assert stored(place) == ["0", "1", "2"]


@both
async def test_a_full_disk_costs_only_what_did_not_fit(path: Path, inline: bool):
    journal = SQLiteJournal.create(path, WallClock(), inline=inline)
    await journal.append([note("before")])
    connection = journal._ledger._connection  # pyright: ignore[reportPrivateUsage]
    connection.execute("PRAGMA max_page_count = 1")  # SQLite takes it as: no larger than now
    big = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    waiting = [journal.append([note(n), note(big + str(n))], [b"content"]) for n in range(4)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, RunError) and "the disk is full; make room" in str(outcome) for outcome in outcomes)
    assert journal.position == 1
    connection.execute("PRAGMA max_page_count = 1000000")
    [record] = await journal.append([note("after")])
    assert record.position == 2
    await journal.close()
    assert stored(path) == ["before", "after"]
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT count(*) FROM blob").fetchone() == (0,)


async def test_without_its_lock_file_the_older_engine_still_cannot_write(path: Path):
    older = SQLiteJournal.create(path, WallClock())
    await older.append([note("older")])
    path.with_suffix(".lock").unlink()
    newer = SQLiteJournal.open(path, WallClock())
    await newer.append([note("newer")])
    for _ in range(2):
        with pytest.raises(RunError, match=r"another engine has taken over \(epoch 2, this is 1\)"):
            await older.append([note("too late")], [b"nor this"])
    await older.close()
    await newer.append([note("goes on")])
    await newer.close()
    assert stored(path) == ["older", "newer", "goes on"]


@pytest.mark.parametrize("name", ["a?b=c&mode=rw", "a#b", "a b", "100%41", "été 中", "'quoted'", ":memory:"])
async def test_a_folder_may_be_called_anything(tmp_path: Path, name: str):
    path = tmp_path / name / "journal.db"
    path.parent.mkdir()
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("one")])
    with closing(open_reader(path)) as reader:
        assert reader.last() == 1
    await journal.close()
    assert stored(path) == ["one"]
    assert files(path) == {"journal.db", "journal.lock"}
    assert [folder.name for folder in tmp_path.iterdir()] == [name]
