"""`Store` and `Target` in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from megaagent.journal import schema
from megaagent.journal.database import to_read, to_write, told
from megaagent.journal.recall import searchable
from megaagent.journal.store import Columns, Content, GoodRow, Unreadable


class SQLiteStore:
    """A journal in a file.

    Args:
        connection: is closed with the store.
    """

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> SQLiteStore:
        """As `to_read`."""
        return cls(to_read(path))

    def rows(self) -> Iterator[Columns]:
        with _readable():
            rows = self._connection.execute(f"SELECT {schema.COLUMNS}, chain FROM record ORDER BY position")
            yield from map(tuple, rows)  # a cursor itself would be closed with us, maybe after its connection

    def moments(self, position: int, most: int) -> list[tuple[int, float, int]]:
        query = "SELECT epoch, time, position FROM record WHERE position >= ? ORDER BY position LIMIT ?"
        return self._all(query, (position, most))

    def count(self, after: int) -> int:
        return self._all("SELECT count(*) FROM record WHERE position > ?", (after,))[0][0]

    def content(self, digest: str) -> Content | None:
        rows = self._all("SELECT packed, data, size FROM blob WHERE digest = ?", (digest,))
        return rows[0] if rows else None

    def digests(self) -> Iterable[str]:
        with _readable():
            for (digest,) in self._connection.execute("SELECT digest FROM blob"):
                yield digest

    def check(self) -> str:
        lines = [str(line) for (line,) in self._all("PRAGMA integrity_check(5)")]
        return "" if lines == ["ok"] else f"the file is damaged: {'; '.join(lines)}"

    def close(self) -> None:
        self._connection.close()

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with _readable():
            return self._connection.execute(query, values).fetchall()


@contextmanager
def _readable() -> Generator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error


class SQLiteTarget:
    """A new file.

    Raises:
        RunError: on opening, as `to_write`.
    """

    def __init__(self, path: Path):
        self._path = path
        self._connection = to_write(path, "full", fresh=True)

    def write(self, rows: Sequence[GoodRow], contents: Sequence[tuple[str, Content]]) -> None:
        with told(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            for row in rows:
                self._connection.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row.columns)
                words = searchable(row.event)
                if words:
                    self._connection.execute("INSERT INTO recall (rowid, text) VALUES (?, ?)", (row.position, words))
            for digest, (packed, data, size) in contents:
                self._connection.execute("INSERT INTO blob VALUES (?, ?, ?, ?)", (digest, size, packed, data))
            self._connection.execute("COMMIT")

    def finish(self, epoch: int) -> None:
        with told(self._path):
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))

    def close(self) -> None:
        self._connection.close()
