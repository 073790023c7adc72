"""`Store` and `Target` in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg

from megaagent.errors import RunError
from megaagent.journal import schema
from megaagent.journal.contract import TakenError
from megaagent.journal.postgres.rows import insert, keep, plain
from megaagent.journal.postgres.server import Connection, Place, Server
from megaagent.journal.postgres.tables import migrate, version_of
from megaagent.journal.recall import searchable
from megaagent.journal.store import Columns, Content, GoodRow, Unreadable

BATCH: Final = 500  # rows


def run_of(connection: Connection, place: Place) -> int:
    """The number of a run in the tables.

    Raises:
        RunError: there is no such journal.
    """
    row = None
    if version_of(connection, place):
        row = connection.execute("SELECT id FROM megaagent.run WHERE name = %s", (place.name,)).fetchone()
    if row is None:
        raise RunError(f"there is no journal {place}")
    return row[0]


def forget(server: Server) -> None:
    """Delete a journal, if it is there."""
    with server.told():
        connection = server.connection()
        if version_of(connection, server.place):
            connection.execute("DELETE FROM megaagent.run WHERE name = %s", (server.place.name,))
        connection.commit()


class PostgresStore:
    """A journal in the database.

    Args:
        server: to be used, and left open; one of its own when it is None.

    Raises:
        RunError: on opening: there is no journal, or it cannot be read as one.
    """

    def __init__(self, place: Place, server: Server | None = None):
        self._own = server is None
        self._server = server or Server(place)
        try:
            with self._server.told():
                self._run = run_of(self._server.connection(), place)
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[Columns]:
        after, rows = 0, [()]
        query = f"SELECT {schema.COLUMNS}, chain FROM megaagent.record WHERE run = %s AND position > %s "
        while rows:
            rows = self._all(f"{query} ORDER BY position LIMIT {BATCH}", after)
            yield from rows
            after = rows[-1][0] if rows else after

    def moments(self, position: int, most: int) -> list[tuple[int, float, int]]:
        query = "SELECT epoch, time, position FROM megaagent.record WHERE run = %s AND position >= %s "
        return self._all(f"{query} ORDER BY position LIMIT {most}", position)

    def count(self, after: int) -> int:
        return self._all("SELECT count(*) FROM megaagent.record WHERE run = %s AND position > %s", after)[0][0]

    def content(self, digest: str) -> Content | None:
        rows = self._all("SELECT packed, data, size FROM megaagent.blob WHERE run = %s AND digest = %s", digest)
        return rows[0] if rows else None

    def digests(self) -> Iterable[str]:
        return [digest for (digest,) in self._all("SELECT digest FROM megaagent.blob WHERE run = %s")]

    def check(self) -> str:
        """Is the last fact the one that the run's row names?"""
        query = """SELECT run.position, run.chain, last.position, last.chain FROM megaagent.run LEFT JOIN LATERAL (
                SELECT position, chain FROM megaagent.record WHERE record.run = run.id ORDER BY position DESC LIMIT 1
            ) AS last ON true WHERE run.id = %s"""
        [(position, chain, last, its)] = self._all(query)
        if (position, chain) == (last or 0, its or schema.START):
            return ""
        return f"rows are missing at the end: there are {last or 0} of {position}"

    def close(self) -> None:
        if self._own:
            self._server.close()

    def _all(self, query: str, *values: Any) -> list[Any]:
        try:
            with self._server.told():
                return self._server.connection().execute(query.encode(), (self._run, *values)).fetchall()
        except (RunError, psycopg.Error) as error:
            raise Unreadable(str(error)) from error


class PostgresTarget:
    """A new journal, all of it in one transaction.

    Raises:
        RunError: on opening: the database cannot be used, or there is such a journal.
    """

    def __init__(self, place: Place):
        self._server = Server(place, writes=True)
        self._last: tuple[int, bytes] = 0, schema.START
        try:
            with self._server.told():
                connection = self._server.connection()
                migrate(connection, place)
                row = connection.execute(
                    """INSERT INTO megaagent.run (name, epoch, position, chain, holder, lease)
                    VALUES (%s, 0, 0, %s, '', clock_timestamp()) ON CONFLICT DO NOTHING RETURNING id""",
                    (place.name, schema.START),
                ).fetchone()
            if row is None:
                raise TakenError(f"there is a journal {place} already")
            self._run: int = row[0]
        except BaseException:
            self._server.close()
            raise

    def write(self, rows: Sequence[GoodRow], contents: Sequence[tuple[str, Content]]) -> None:
        with self._server.told():
            connection = self._server.connection()
            words = [(row.position, plain(text)) for row in rows if (text := searchable(row.event))]
            insert(connection, self._run, [row.columns for row in rows], words)
            keep(
                connection,
                self._run,
                ((digest, size, bool(is_packed), data) for digest, (is_packed, data, size) in contents),
            )
        if rows:
            self._last = rows[-1].position, rows[-1].columns[-1]

    def finish(self, epoch: int) -> None:
        with self._server.told():
            connection = self._server.connection()
            connection.execute(
                "UPDATE megaagent.run SET epoch = %s, position = %s, chain = %s WHERE id = %s",
                (epoch, *self._last, self._run),
            )
            connection.commit()

    def close(self) -> None:
        self._server.close()
