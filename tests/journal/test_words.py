"""Words are found at once, also when a burst of facts was written before its words were indexed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal
from megaagent.journal.words import AT_CLOSE, AT_ONCE

BURST = 10 * AT_ONCE


def notes(first: int, count: int) -> list[Fact]:
    return [Fact("boss", 1, ev.NoteShared(f"writing number{n}")) for n in range(first, first + count)]


def waiting(path: Path) -> int:
    """Texts that are in the journal and not in the index."""
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'indexed'").fetchone()
        [last] = connection.execute("SELECT max(position) FROM record").fetchone()
        return 0 if row is None else last - row[0]


async def found(journal: SQLiteJournal, query: str) -> list[int]:
    with closing(journal.reader()) as reader:
        return [record.position for record, _ in reader.search(query, limit=3)]


async def test_a_burst_is_found_before_and_after_it_is_indexed(path: Path):
    journal = SQLiteJournal.create(path, WallClock(), durability="off")
    await journal.append(notes(1, 3))
    assert waiting(path) == 0
    await journal.append(notes(4, BURST))
    assert waiting(path) == BURST
    for _ in range(2 * BURST // AT_ONCE):
        assert await found(journal, "number2") == [2]
        assert await found(journal, f"number{BURST}") == [BURST]
        assert len(await found(journal, "writes")) == 3, "by its stem"
        await journal.append(notes(10_000, 1))
    assert waiting(path) == 0
    await journal.close()


async def test_what_waits_is_indexed_when_the_journal_is_closed_but_not_for_long(path: Path):
    for count, left in ((BURST, 0), (AT_CLOSE + 1_000, 1_000)):
        journal = SQLiteJournal.create(path, WallClock(), durability="off")
        await journal.append(notes(1, count))
        await journal.close()
        assert waiting(path) == left
        path.unlink()


async def test_a_damaged_row_does_not_keep_others_from_being_indexed(path: Path):
    journal = SQLiteJournal.create(path, WallClock(), durability="off")
    await journal.append(notes(1, BURST))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE record SET body = x'7b' WHERE position = 5")
        connection.commit()
    for _ in range(2 * BURST // AT_ONCE):
        await journal.append(notes(10_000, 1))
    assert waiting(path) == 0
    assert await found(journal, "number6") == [6]
    await journal.close()
