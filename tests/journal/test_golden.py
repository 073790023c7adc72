"""Journals of earlier releases open in this one (promise P10)."""

from __future__ import annotations

import shutil
import sqlite3
import typing
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.journal.make_golden import kept

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import RunError
from megaagent.events import Fact, Record
from megaagent.journal import SQLiteJournal, open_journal, open_reader
from megaagent.journal.codec import Codec
from megaagent.journal.homes import settle
from megaagent.journal.reader import SQLiteReader
from megaagent.journal.schema import MIGRATIONS

if TYPE_CHECKING:
    from campaigns.postgres_server import PostgresServer

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.db"))
TABLES = sorted(GOLDEN.glob("postgres-v*.sql"))
FOUND_BY_WORDS = {ev.MessageSent, ev.NoteShared, ev.WorkReported}


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, path: Path) -> Path:
    shutil.copyfile(GOLDEN / f"{request.param}.db", path)
    shutil.copyfile(GOLDEN / f"{request.param}.jsonl", path.with_suffix(".jsonl"))
    return path


def expected(path: Path) -> list[Record]:
    lines = path.with_suffix(".jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Record) for line in lines]


def test_every_kind_is_in_a_golden_journal_and_every_schema_has_one():
    assert {kind.__name__ for kind in typing.get_args(ev.AnyEvent)} == kept()
    assert {f"v{number}" for number in range(1, len(MIGRATIONS) + 1)} == {name.partition("-")[0] for name in NAMES}


def test_it_reads_as_it_was_written(golden: Path):
    with closing(open_reader(golden)) as reader:
        records = list(reader.records())
        assert records == expected(golden)
        assert reader.verify().problem == ""
        assert reader.snapshot("state") == (len(records), b"a reading of it all")
        found = {type(record.event) for record, _ in reader.search("short")}
        assert found == FOUND_BY_WORDS & {type(record.event) for record in records}


async def test_a_run_goes_on_in_it(golden: Path):
    before = expected(golden)
    journal = SQLiteJournal.open(golden, WallClock())
    assert journal.position == len(before)
    [record] = await journal.append([Fact("engine:", 0, ev.RunResumed("2"))])
    await journal.close()
    with closing(open_reader(golden)) as reader:
        assert list(reader.records()) == [*before, record]
        assert reader.verify().problem == ""
    with closing(sqlite3.connect(golden)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


@pytest.mark.parametrize("made", TABLES, ids=lambda path: path.stem)
async def test_a_run_goes_on_in_the_tables_of_an_earlier_release(tmp_path: Path, postgres: PostgresServer, made: Path):
    database = made.stem.replace("-", "_")
    with closing(postgres.connect()) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    with closing(postgres.connect(database)) as connection:
        connection.execute(made.read_bytes())
    path = settle(tmp_path, postgres.address.rpartition("/")[0] + f"/{database}", "golden")
    before = expected(GOLDEN / "v1.db")
    with closing(open_reader(path)) as reader:
        assert list(reader.records()) == before
        assert reader.verify().problem == ""
        assert reader.snapshot("state") == (len(before), b"a reading of it all")
        found = {type(record.event) for record, _ in reader.search("short")}
        assert found == FOUND_BY_WORDS & {type(record.event) for record in before}
    journal = open_journal(path, WallClock())
    [record] = await journal.append([Fact("engine:", 0, ev.RunResumed("2"))])
    await journal.close()
    with closing(open_reader(path)) as reader:
        assert list(reader.records()) == [*before, record]
        assert reader.verify().problem == ""


def test_every_version_of_the_tables_has_a_golden_one():
    pytest.importorskip("psycopg")
    from megaagent.journal.postgres import tables

    assert [path.stem for path in TABLES] == [f"postgres-v{n}" for n in range(1, len(tables.MIGRATIONS) + 1)]


async def test_a_fact_of_an_older_shape_is_turned_into_todays(path: Path):
    """As if `NoteShared` had once been written with `text` where today's release wants a heading before it."""

    def upcast(fields: dict[str, Any]) -> dict[str, Any]:
        return fields if fields["text"].startswith("Note: ") else {**fields, "text": f"Note: {fields['text']}"}

    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([Fact("boss", 0, ev.NoteShared("old")), Fact("boss", 0, ev.NoteShared("Note: new"))])
    await journal.append([Fact("boss", 0, ev.RunPaused("by hand"))])
    await journal.close()
    with closing(SQLiteReader(path, Codec({"NoteShared": upcast}))) as reader:
        assert [record.event for record in reader.records()] == [
            ev.NoteShared("Note: old"),
            ev.NoteShared("Note: new"),
            ev.RunPaused("by hand"),
        ]
        assert reader.verify().problem == ""


async def test_a_fact_of_a_newer_release_is_named(finished: Path):
    with closing(sqlite3.connect(finished)) as connection, connection:
        body = b'{"kind":"AgentDreamt","of":"sheep"}'
        connection.execute("UPDATE record SET kind = 'AgentDreamt', body = ? WHERE position = 3", (body,))
    with (
        closing(open_reader(finished)) as reader,
        pytest.raises(RunError, match=r"row 3 \(AgentDreamt\) cannot be read"),
    ):
        list(reader.records())
