"""Whatever is changed in a journal's file behind its back is named, and nothing of SQLite's reaches the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import RunError
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal, Verification, open_reader
from megaagent.journal.bodies import digest_of

ROWS = 9
LONG = "a body that is kept outside of its row " * 60
FILE = b"print('hello')\n" * 50


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal of nine rows: the fifth has a long body, the sixth commits a file."""
    path = tmp_path / "journal.db"
    journal = SQLiteJournal.create(path, WallClock(), durability="off")
    events: list[ev.AnyEvent] = [ev.NoteShared(f"note {n}") for n in range(1, ROWS + 1)]
    events[4] = ev.NoteShared(LONG)
    events[5] = ev.FileCommitted("a.py", "0" * 40, digest_of(FILE), len(FILE))
    await journal.append([Fact("boss/a", n, event) for n, event in enumerate(events, 1)], [FILE])
    await journal.close()
    assert verified(path) == Verification(ROWS)
    return path


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


COLUMNS = {
    "epoch": "epoch + 1",
    "time": "time + 0.000001",
    "agent": "'boss/b'",
    "step": "step + 1",
    "kind": "'WorkReported'",
    "body": "CAST(replace(CAST(body AS TEXT), 'note', 'nose') AS BLOB)",
    "chain": "zeroblob(16)",
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("position", [1, 4, ROWS])
def test_any_changed_column_is_named_with_its_row(path: Path, column: str, position: int):
    tamper(path, f"UPDATE record SET {column} = {COLUMNS[column]} WHERE position = {position}")
    found = verified(path)
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
def test_a_missing_row_is_named(path: Path, position: int):
    tamper(path, f"DELETE FROM record WHERE position = {position}")
    assert verified(path) == Verification(position - 1, position, f"row {position} is missing")


def test_a_missing_row_whose_place_was_closed_is_named(path: Path):
    tamper(
        path, "DELETE FROM record WHERE position = 4", "UPDATE record SET position = position - 1 WHERE position > 4"
    )
    assert verified(path).bad == 4


def test_swapped_rows_are_named(path: Path):
    swap = "UPDATE record SET position = {} WHERE position = {}"
    tamper(path, swap.format(100, 3), swap.format(3, 7), swap.format(7, 100))
    assert verified(path).bad == 3


def test_an_added_row_is_named(path: Path):
    again = f"INSERT INTO record SELECT {ROWS + 1}, epoch, time, agent, step, kind, body, chain FROM record LIMIT 1"
    tamper(path, again)
    assert (verified(path).rows, verified(path).bad) == (ROWS, ROWS + 1)


def test_rows_lost_at_the_end_leave_a_good_journal_that_is_shorter(path: Path):
    tamper(path, f"DELETE FROM record WHERE position = {ROWS}")
    assert verified(path) == Verification(ROWS - 1)


CONTENTS = {
    "changed": "UPDATE blob SET packed = 0, data = CAST(replace(hex(data), '0', '1') AS BLOB)",
    "unpackable": "UPDATE blob SET packed = 1, data = x'00'",
    "of another type": "UPDATE blob SET packed = 1, data = 'text'",
    "plain text": "UPDATE blob SET packed = 0, data = 'text'",
    "a number": "UPDATE blob SET data = 7",
    "of another size": "UPDATE blob SET size = size + 1",
    "removed": "DELETE FROM blob",
    "renamed": "UPDATE blob SET digest = replace(digest, 'a', 'b')",
}


@pytest.mark.parametrize("how", CONTENTS)
@pytest.mark.parametrize(("data", "position"), [(LONG.encode(), 5), (FILE, 6)], ids=["body", "file"])
def test_a_changed_or_missing_content_is_named_with_its_row(path: Path, how: str, data: bytes, position: int):
    tamper(path, f"{CONTENTS[how]} WHERE digest = '{digest_of(data)}'")
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


def test_a_content_that_no_row_names_is_checked_too(path: Path):
    tamper(path, f"INSERT INTO blob VALUES ('{'0' * 64}', 3, 0, x'010203')")
    found = verified(path)
    assert (found.rows, found.bad) == (ROWS, None)
    assert "0" * 64 in found.problem


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
