"""What only the journal on disk promises."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import RunError
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.journal.codec import Codec, Row
from megaagent.journal.database import to_write, told
from megaagent.journal.ledger import Draft, Ledger
from megaagent.journal.schema import migrate


def note(text: str) -> Fact:
    return Fact("boss", 1, ev.NoteShared(text))


def sql(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


# -- one engine ---------------------------------------------------------------------------------------------------


async def test_a_second_engine_is_refused_and_told_who_is_the_first(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    with pytest.raises(RunError, match=rf"process {os.getpid()} on {socket.gethostname()} .*started 20.* UTC"):
        SQLiteJournal.open(path, WallClock())
    assert await journal.append([note("goes on")])
    await journal.close()
    second = SQLiteJournal.open(path, WallClock())
    assert (second.epoch, second.position) == (2, 1)
    [record] = await second.append([note("next epoch")])
    assert (record.position, record.epoch) == (2, 2)
    await second.close()


async def test_an_engine_whose_epoch_is_over_can_write_nothing(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("mine")])
    sql(path, "UPDATE meta SET value = 2 WHERE name = 'epoch'")  # what an engine on another machine would do
    for _ in range(2):
        with pytest.raises(RunError, match=r"another engine has taken over \(epoch 2, this is 1\)"):
            await journal.append([note("too late")])
    await journal.close()
    with closing(open_reader(path)) as reader:
        assert reader.last() == 1


async def test_opening_counts_epochs_also_when_nothing_is_written(path: Path):
    await SQLiteJournal.create(path, WallClock()).close()
    for epoch in (2, 3):
        journal = SQLiteJournal.open(path, WallClock())
        assert journal.epoch == epoch
        await journal.close()


# -- what cannot be opened ----------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    """Neither a writer nor a reader opens it, and it is left as it is."""
    before = path.read_bytes() if path.is_file() else None
    for attempt in (lambda: SQLiteJournal.open(path, WallClock()), lambda: open_reader(path)):
        with pytest.raises(RunError, match=match):
            attempt()
    assert (path.read_bytes() if path.is_file() else None) == before


async def test_nothing_is_made_over_a_journal(finished: Path):
    with pytest.raises(RunError, match="already"):
        SQLiteJournal.create(finished, WallClock())


async def test_a_folder_that_is_not_there(path: Path):
    with pytest.raises(RunError, match="cannot be written"):
        SQLiteJournal.create(path.parent / "none" / "journal.db", WallClock())


async def test_no_journal(path: Path):
    refused(path, "there is no journal")


async def test_not_a_database(path: Path):
    path.write_text("# notes\n" * 1000)
    refused(path, "not a database")


async def test_somebody_elses_database(path: Path):
    sql(path, "CREATE TABLE customers (name)")
    refused(path, "not a journal of MegaAgent")


async def test_a_newer_schema(finished: Path):
    sql(finished, "PRAGMA user_version = 99")
    refused(finished, "newer MegaAgent")


async def test_a_damaged_header(finished: Path):
    data = bytearray(finished.read_bytes())
    data[:16] = bytes(16)
    finished.write_bytes(data)
    refused(finished, "header is damaged")


async def test_a_making_that_was_cut_off(path: Path):
    path.touch()
    with pytest.raises(RunError, match="cut off"):
        SQLiteJournal.open(path, WallClock())
    with pytest.raises(RunError, match="not a journal"):
        open_reader(path)


async def test_a_schema_that_cannot_be_brought_up_leaves_no_half(path: Path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:

        def works(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE first (x)")

        def fails(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE second (x)")
            connection.execute("CREATE TABLE second (x)")

        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, [works, fails])
        assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["first"]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


# -- files --------------------------------------------------------------------------------------------------------


async def test_only_the_owner_can_read_it(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("private")])
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"journal.db", "journal.db-wal", "journal.lock"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    await journal.close()


async def test_a_finished_journal_is_one_file(finished: Path):
    assert {file.name for file in finished.parent.iterdir()} == {"journal.db", "journal.lock"}


async def test_closing_with_a_reader_at_work_loses_nothing(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note(str(number)) for number in range(1000)])
    with closing(open_reader(path)) as reader:
        records = reader.records()
        next(records)
        await journal.close()
        assert len(list(records)) == 999
    with closing(open_reader(path)) as reader:
        assert reader.last() == 1000


@contextmanager
def as_nobody() -> Generator[None]:
    """The rights of an ordinary user, also when the tests are run by root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@contextmanager
def unwritable(folder: Path) -> Generator[None]:
    opened = [parent for parent in folder.parents if parent.stat().st_uid == os.geteuid() and parent != Path("/")]
    modes = {parent: parent.stat().st_mode for parent in opened}
    for parent in opened:
        parent.chmod(parent.stat().st_mode | 0o055)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        with as_nobody():
            yield
    finally:
        folder.chmod(0o755)
        for parent, mode in modes.items():
            parent.chmod(mode)


async def test_a_finished_journal_is_read_in_a_folder_that_cannot_be_written(finished: Path):
    with unwritable(finished.parent):
        with closing(open_reader(finished)) as reader:
            assert len(list(reader.records())) == 10
            assert reader.verify().problem == ""
        with pytest.raises(RunError, match="cannot be written"):
            SQLiteJournal.open(finished, WallClock())


async def test_an_unfinished_journal_is_never_read_without_its_log(path: Path, tmp_path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("in the log")])
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    await journal.close()
    with unwritable(copy), pytest.raises(RunError, match=r"was not closed.*copy the folder"):
        open_reader(copy / "journal.db")
    (copy / "journal.db").chmod(0o600)
    (copy / "journal.db-wal").chmod(0o600)
    with closing(open_reader(copy / "journal.db")) as reader:
        assert [record.event for record in reader.records()] == [ev.NoteShared("in the log")]


async def test_another_process_reads_a_live_journal(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note("x" * 5000), note("short")])
    program = (
        "import sys; from pathlib import Path; from megaagent.journal import open_reader\n"
        "reader = open_reader(Path(sys.argv[1]))\n"
        "for line in sys.stdin: print([len(r.event.text) for r in reader.records(after=int(line))], flush=True)"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"0\n")
    assert json.loads(await child.stdout.readline()) == [5000, 5]
    await journal.append([note("while it looks")])
    child.stdin.write(b"2\n")
    assert json.loads(await child.stdout.readline()) == [14]
    child.stdin.close()
    assert await child.wait() == 0
    await journal.close()


# -- the disk's failures ------------------------------------------------------------------------------------------


@contextmanager
def files_no_longer_than(size: int) -> Generator[None]:
    """Writing beyond fails, as on a disk that gives up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("inline", [False, True])
async def test_a_failing_disk_is_told_to_all_and_seen_by_none(path: Path, inline: bool):
    journal = SQLiteJournal.create(path, WallClock(), inline=inline)
    seen: list[int] = []
    journal.listen(lambda records: seen.extend(record.position for record in records))
    await journal.append([note("fits")])
    with files_no_longer_than(400_000):
        waiting = [journal.append([note(str(number))], [os.urandom(600_000)]) for number in range(3)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, RunError) for outcome in outcomes)
    assert all("the disk" in str(outcome) for outcome in outcomes)
    assert seen == [1]
    assert journal.position == 1
    [record] = await journal.append([note("after room was made")])
    assert record.position == 2
    await journal.close()
    with closing(open_reader(path)) as reader:
        assert reader.verify().problem == ""
        assert reader.last() == 2


def test_a_full_disk_is_named(path: Path):
    with closing(to_write(path, "full", fresh=True)) as connection:
        connection.execute("PRAGMA max_page_count = 40")
        with pytest.raises(RunError, match="the disk is full; make room"), told(path):
            connection.execute("INSERT INTO blob VALUES ('x', 0, 0, zeroblob(1000000))")


def test_a_draft_that_fails_by_itself_takes_no_other_with_it(path: Path):
    def draft(kind: object) -> Draft:
        row = Row("boss", 1, kind, b"{}", (), "")  # type: ignore[arg-type]
        return Draft(1.0, (note("x"),), (row,), (b"content " + str(kind).encode(),))

    ledger = Ledger(path, "full", Codec(), fresh=True)
    first, second, third = ledger.settle([draft("a"), draft(object()), draft("c")])
    assert isinstance(second, AttributeError)
    assert isinstance(first, list)
    assert isinstance(third, list)
    assert [first[0].position, third[0].position] == [1, 2]
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM blob").fetchone() == (2,)


@pytest.mark.parametrize("durability", ["full", "normal", "off"])
async def test_every_durability_records(path: Path, durability: str):
    journal = SQLiteJournal.create(path, WallClock(), durability=durability)  # type: ignore[arg-type]
    await journal.append([note("one")])
    await journal.close()
    with closing(open_reader(path)) as reader:
        assert reader.last() == 1


# -- snapshots ----------------------------------------------------------------------------------------------------


async def test_two_snapshots_are_kept_and_a_damaged_one_is_passed_over(path: Path):
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([note(str(number)) for number in range(9)])
    for position in (3, 6, 9):
        await journal.snapshot("state", position, b"state " * position)
    await journal.close()
    sql(path, "UPDATE snapshot SET data = x'00' WHERE position = 9")
    with closing(open_reader(path)) as reader:
        assert reader.snapshot("state") == (6, b"state " * 6)
    sql(path, "UPDATE snapshot SET packed = 0 WHERE position = 6")
    with closing(open_reader(path)) as reader:
        assert reader.snapshot("state") is None
