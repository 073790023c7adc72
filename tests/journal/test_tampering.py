"""Whatever is changed in a journal behind its back is named, and nothing of its database's reaches the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import RunError
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal, Verification, create_journal, open_journal, open_reader
from megaagent.journal.bodies import digest_of
from megaagent.journal.homes import settle

if TYPE_CHECKING:
    from campaigns.postgres_server import PostgresServer

ROWS = 9
LONG = "a body that is kept outside of its row " * 60
FILE = b"print('hello')\n" * 50


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal in a file."""
    return await made(tmp_path / "journal.db")


async def made(path: Path) -> Path:
    """A closed journal of nine rows: the fifth has a long body, the sixth commits a file."""
    journal = create_journal(path, WallClock(), durability="off")
    events: list[ev.AnyEvent] = [ev.NoteShared(f"note {n}") for n in range(1, ROWS + 1)]
    events[4] = ev.NoteShared(LONG)
    events[5] = ev.FileCommitted("a.py", "0" * 40, digest_of(FILE), len(FILE))
    await journal.append([Fact("boss/a", n, event) for n, event in enumerate(events, 1)], [FILE])
    await journal.close()
    assert verified(path) == Verification(ROWS)
    return path


@dataclass(frozen=True)
class Kept:
    """A journal, and how one gets at its tables.

    Attributes:
        words: of SQL that its database has and the other has not.
    """

    path: Path
    tamper: Callable[..., None]
    words: dict[str, str] = field(default_factory=dict[str, str])


@pytest.fixture(params=["sqlite", "postgres"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """The journal of `made`, wherever it is kept."""
    if request.param == "sqlite":
        path = await made(tmp_path / "journal.db")
        return Kept(path, lambda *statements: tamper(path, *statements), IN_SQLITE)
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"{tmp_path.parent.name}-{tmp_path.name}"
    path = await made(settle(tmp_path, server.address, name))

    def tampered(*statements: str) -> None:
        with closing(server.connect()) as connection:
            for table in ("record", "blob"):  # as if the run were alone
                view = f"CREATE TEMP VIEW {table} AS SELECT * FROM megaagent.{table} WHERE run = "
                connection.execute(f"{view} (SELECT id FROM megaagent.run WHERE name = '{name}')".encode())
            for statement in statements:
                assert connection.execute(statement.encode()).rowcount, "nothing was tampered with"

    return Kept(path, tampered, IN_POSTGRES)


def verified(path: Path) -> Verification:
    reader = open_reader(path)
    try:
        return reader.verify()
    finally:
        reader.close()


def tamper(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        assert connection.execute(statement).rowcount, "nothing was tampered with"
    connection.commit()
    connection.close()


IN_SQLITE = {
    "another body": "CAST(replace(CAST(body AS TEXT), 'note', 'nose') AS BLOB)",
    "another chain": "zeroblob(16)",
    "first": "",
    "not packed": "0",
    "packed": "1",
    "other data": "CAST(replace(hex(data), '0', '1') AS BLOB)",
    "junk": "x'00'",
}
IN_POSTGRES = {
    "another body": "convert_to(replace(convert_from(body, 'UTF8'), 'note', 'nose'), 'UTF8')",
    "another chain": "decode(repeat('00', 16), 'hex')",
    "first": "run,",
    "not packed": "false",
    "packed": "true",
    "other data": "convert_to(replace(encode(data, 'hex'), '0', '1'), 'UTF8')",
    "junk": "decode('00', 'hex')",
}
COLUMNS = {
    "epoch": "epoch + 1",
    "time": "time + 0.000001",
    "agent": "'boss/b'",
    "step": "step + 1",
    "kind": "'WorkReported'",
    "body": "{another body}",
    "chain": "{another chain}",
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("position", [1, 4, ROWS])
def test_any_changed_column_is_named_with_its_row(kept: Kept, column: str, position: int):
    changed = COLUMNS[column].format_map(kept.words)
    kept.tamper(f"UPDATE record SET {column} = {changed} WHERE position = {position}")
    found = verified(kept.path)
    assert (found.rows, found.bad) == (position - 1, position)
    assert f"row {position} (" in found.problem


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", ["'text'", "x'c3ff'", "CAST(x'c3ff' AS TEXT)", "-1", "1e300", "9223372036854775807"])
def test_values_of_a_wrong_type_are_named_too(path: Path, column: str, value: str):
    tamper(path, f"UPDATE record SET {column} = {value} WHERE position = 4")
    found = verified(path)
    assert (found.rows, found.bad) == (3, 4)
    reader = open_reader(path)
    for read in (
        lambda: list(reader.records()),
        lambda: reader.record(4),
        lambda: reader.search("note", agent="boss/a"),
    ):
        try:
            read()  # readable or not, it is no traceback of SQLite's or msgspec's
        except RunError as error:
            assert "row 4" in str(error) or "damaged" in str(error) or "decode" in str(error)
    reader.close()


@pytest.mark.parametrize("position", [1, 4, ROWS - 1])
def test_a_missing_row_is_named(kept: Kept, position: int):
    kept.tamper(f"DELETE FROM record WHERE position = {position}")
    assert verified(kept.path) == Verification(position - 1, position, f"row {position} is missing")


def test_a_missing_row_whose_place_was_closed_is_named(kept: Kept):
    kept.tamper("DELETE FROM record WHERE position = 4", "UPDATE record SET position = position - 1 WHERE position > 4")
    assert verified(kept.path).bad == 4


def test_swapped_rows_are_named(kept: Kept):
    swap = "UPDATE record SET position = {} WHERE position = {}"
    kept.tamper(swap.format(100, 3), swap.format(3, 7), swap.format(7, 100))
    assert verified(kept.path).bad == 3


def test_an_added_row_is_named(kept: Kept):
    columns = f"{ROWS + 1}, epoch, time, agent, step, kind, body, chain"
    kept.tamper(f"INSERT INTO record SELECT {kept.words['first']} {columns} FROM record LIMIT 1")
    assert (verified(kept.path).rows, verified(kept.path).bad) == (ROWS, ROWS + 1)


def test_rows_lost_at_the_end_leave_a_good_file_that_is_shorter(path: Path):
    tamper(path, f"DELETE FROM record WHERE position = {ROWS}")
    assert verified(path) == Verification(ROWS - 1)


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
def test_rows_lost_at_the_end_of_a_database_are_told_and_nothing_is_written_after_them(kept: Kept):
    kept.tamper(f"DELETE FROM record WHERE position = {ROWS}")
    assert verified(kept.path) == Verification(
        ROWS - 1, None, f"rows are missing at the end: there are {ROWS - 1} of {ROWS}"
    )
    with pytest.raises(RunError, match=r"last facts are not as they were written \(there are 8 of 9\); see megaagent"):
        open_journal(kept.path, WallClock())


CONTENTS = {
    "changed": "UPDATE blob SET packed = {not packed}, data = {other data}",
    "unpackable": "UPDATE blob SET packed = {packed}, data = {junk}",
    "of another size": "UPDATE blob SET size = size + 1",
    "removed": "DELETE FROM blob",
    "renamed": "UPDATE blob SET digest = replace(digest, 'a', 'b')",
}
OF_NO_TYPE = {
    "of another type": "UPDATE blob SET packed = 1, data = 'text'",
    "plain text": "UPDATE blob SET packed = 0, data = 'text'",
    "a number": "UPDATE blob SET data = 7",
}
WHERE = pytest.mark.parametrize(("data", "position"), [(LONG.encode(), 5), (FILE, 6)], ids=["body", "file"])


@pytest.mark.parametrize("how", CONTENTS)
@WHERE
def test_a_changed_or_missing_content_is_named_with_its_row(kept: Kept, how: str, data: bytes, position: int):
    kept.tamper(f"{CONTENTS[how].format_map(kept.words)} WHERE digest = '{digest_of(data)}'")
    named_with_its_row(kept.path, data, position)


@pytest.mark.parametrize("how", OF_NO_TYPE)
@WHERE
def test_a_content_of_a_wrong_type_is_named_with_its_row(path: Path, how: str, data: bytes, position: int):
    tamper(path, f"{OF_NO_TYPE[how]} WHERE digest = '{digest_of(data)}'")
    named_with_its_row(path, data, position)


def named_with_its_row(path: Path, data: bytes, position: int) -> None:
    found = verified(path)
    assert (found.rows, found.bad) == (position - 1, position)
    assert f"the content {digest_of(data)}" in found.problem
    reader = open_reader(path)
    try:
        reader.blob(digest_of(data))
        list(reader.records())
    except RunError as error:
        assert digest_of(data) in str(error)
    reader.close()


def test_a_content_that_no_row_names_is_checked_too(kept: Kept):
    first, junk = (kept.words[word] for word in ("first", "junk"))
    values = f"'{'0' * 64}', 3, {kept.words['not packed']}, {junk}"
    kept.tamper(f"INSERT INTO blob SELECT {first} {values} FROM record LIMIT 1")
    found = verified(kept.path)
    assert (found.rows, found.bad) == (ROWS, None)
    assert "0" * 64 in found.problem


async def test_a_missing_table_of_a_database_is_told(tmp_path: Path, postgres: PostgresServer):
    with closing(postgres.connect()) as connection:
        connection.execute("CREATE DATABASE tampered")
    path = await made(settle(tmp_path, postgres.address.rpartition("/")[0] + "/tampered", "tampered"))
    reader = open_reader(path)
    with closing(postgres.connect("tampered")) as connection:
        connection.execute("DROP TABLE megaagent.record")
    assert "its tables are damaged" in verified(path).problem
    with pytest.raises(RunError, match=r'its tables are damaged: relation "megaagent.record" does not exist'):
        reader.last()
    reader.close()


def test_a_missing_table_is_told(path: Path):
    tamper(path, "CREATE TABLE was AS SELECT 1")  # something to count
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE record")
    connection.close()
    assert "no such table" in verified(path).problem
    reader = open_reader(path)
    with pytest.raises(RunError, match="no such table"):
        reader.last()
    reader.close()


def outcome(path: Path) -> str:
    """What a person is told of a damaged file, whichever call meets the damage first."""
    try:
        reader = open_reader(path)
    except RunError as error:
        return str(error)
    try:
        found = reader.verify()
        assert found.rows < ROWS or found.problem == "" or found.bad is None
        for read in READS:
            try:
                read(reader)
            except RunError as error:
                assert str(path) in str(error)
        return found.problem
    finally:
        reader.close()


READS: list[Callable[[object], object]] = [
    lambda reader: list(reader.records()),  # type: ignore[attr-defined]
    lambda reader: reader.last(),  # type: ignore[attr-defined]
    lambda reader: reader.search("note"),  # type: ignore[attr-defined]
    lambda reader: reader.snapshot("state"),  # type: ignore[attr-defined]
    lambda reader: reader.blob(digest_of(FILE)),  # type: ignore[attr-defined]
]


@pytest.mark.parametrize(("start", "length"), [(0, 16), (0, 100), (16, 2), (18, 2), (24, 76), (100, 400)])
def test_an_overwritten_header_is_told(path: Path, start: int, length: int):
    data = bytearray(path.read_bytes())
    data[start : start + length] = b"\xa5" * length
    path.write_bytes(data)
    assert outcome(path)
    with pytest.raises(RunError):
        SQLiteJournal.open(path, WallClock())


def test_a_file_that_was_cut_anywhere_is_told(path: Path):
    whole = path.read_bytes()
    for size in range(1, len(whole), 1500):
        path.write_bytes(whole[:size])
        assert outcome(path), f"nothing was said of a file cut at {size} of {len(whole)} bytes"


def test_overwritten_pages_are_told_or_hold_no_fact(path: Path):
    """Each page in turn: the damage is reported, or what the journal promises to keep is all there."""
    whole = path.read_bytes()
    told = 0
    for start in range(4096, len(whole), 4096):
        path.write_bytes(whole[:start] + b"\xa5" * 4096 + whole[start + 4096 :])
        told += bool(outcome(path))
    assert told >= 3  # facts, their contents, and the contents' index at the least
