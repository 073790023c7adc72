"""Reading a journal in PostgreSQL, live or finished, from anywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from megaagent.errors import RunError
from megaagent.events import AgentId, Event, Record
from megaagent.journal import verify
from megaagent.journal.blobs import unpacked
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec, kind_of
from megaagent.journal.contract import Verification
from megaagent.journal.postgres.rows import plain, tag
from megaagent.journal.postgres.server import Connection, Place, Server
from megaagent.journal.postgres.store import PostgresStore, run_of
from megaagent.journal.recall import SHARED, passage, searchable, words_of
from megaagent.journal.rows import LOOK, record_of
from megaagent.journal.schema import COLUMNS

BATCH: Final = 500  # rows
PATIENCE: Final = 5.0  # seconds that a server is given to come back, when nobody would ask again
LONGEST_WORD: Final = 500  # characters; longer ones are not indexed


class PostgresReader:
    """`JournalReader` over PostgreSQL. May be handed from thread to thread, but used by one at a time.

    Args:
        codec: may be shared; making one takes milliseconds.
        patience: seconds that a server is given to come back, once it was there.

    Raises:
        RunError: on opening: there is no journal, or it cannot be read as one.
    """

    def __init__(self, place: Place, codec: Codec, patience: float = PATIENCE):
        self._server = Server(place)
        self._codec = codec
        self._patience = patience
        try:
            self._run = self._server.patiently(lambda connection: run_of(connection, place), 0.0)
        except BaseException:
            self._server.close()
            raise

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        where = ["run = %s", "position > %s"]
        values: list[Any] = [self._run, after]
        if agent is not None:
            where.append("agent = %s")
            values.append(agent)
        if kinds is not None:
            where.append("kind = ANY(%s)")
            values.append([kind_of(kind) for kind in kinds])
        while limit is None or limit > 0:
            count = BATCH if limit is None else min(BATCH, limit)
            query = (
                f"SELECT {COLUMNS} FROM megaagent.record WHERE {' AND '.join(where)} ORDER BY position LIMIT {count}"
            )
            rows = self._all(query, values)
            for row in rows:
                yield record_of(row, self._codec, self._server.place, self.blob if bodies else None)
            if len(rows) < count:
                return
            values[1] = rows[-1][0]
            limit = None if limit is None else limit - len(rows)

    def record(self, position: int) -> Record | None:
        query = f"SELECT {COLUMNS} FROM megaagent.record WHERE run = %s AND position = %s"
        rows = self._all(query, [self._run, position])
        return record_of(rows[0], self._codec, self._server.place, self.blob) if rows else None

    def mark(self, position: int) -> str | None:
        query = "SELECT chain FROM megaagent.record WHERE run = %s AND position = %s"
        rows = self._all(query, [self._run, position])
        return rows[0][0].hex() if rows else None

    def last(self) -> int:
        query = "SELECT coalesce(max(position), 0) FROM megaagent.record WHERE run = %s"
        return self._all(query, [self._run])[0][0]

    def blob(self, digest: str) -> bytes | None:
        query = "SELECT packed, data FROM megaagent.blob WHERE run = %s AND digest = %s"
        rows = self._all(query, [self._run, digest])
        if not rows:
            return None
        try:
            return unpacked(*rows[0])
        except ValueError as error:
            raise RunError(
                f"the journal {self._server.place}: the content {digest} is damaged ({error}); {LOOK}"
            ) from error

    def snapshot(self, name: str) -> tuple[int, bytes] | None:
        query = """SELECT position, digest, packed, data FROM megaagent.snapshot
            WHERE run = %s AND name = %s ORDER BY position DESC"""
        for position, digest, is_packed, kept in self._all(query, [self._run, name]):
            try:
                data = unpacked(is_packed, kept)
            except ValueError:
                continue
            if digest_of(data) == digest:
                return position, data
        return None

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> list[tuple[Record, str]]:
        words = words_of(query)
        lexemes = [word for word in plain(query).split() if len(word) < LONGEST_WORD]
        if not lexemes:
            return []
        match = " | ".join(f"'{word}'" for word in lexemes)
        hits = self._all(
            """WITH asked AS (SELECT to_tsquery('megaagent.words', %s) AS words)
            SELECT record.position FROM asked, megaagent.recall
            JOIN megaagent.record ON record.run = recall.run AND record.position = recall.position
            WHERE recall.words @@ (%s::tsquery && asked.words) AND recall.run = %s
            AND (record.kind = ANY(%s) OR record.agent = %s)
            ORDER BY ts_rank(recall.words, asked.words, 1) DESC, record.position DESC LIMIT %s""",
            [match, f"'{tag(self._run)}'", self._run, list(SHARED), agent if agent and _storable(agent) else "", limit],
        )
        records = [record for (position,) in hits if (record := self.record(position)) is not None]
        return [(record, passage(searchable(record.event), words)) for record in records]

    def verify(self) -> Verification:
        return verify.walk(PostgresStore(self._server.place, self._server), self._codec)

    def close(self) -> None:
        self._server.close()

    def _all(self, query: str, values: Sequence[Any]) -> list[Any]:
        if any(isinstance(value, str) and not _storable(value) for value in values):
            return []  # no row has such a text

        def ask(connection: Connection) -> list[Any]:
            return connection.execute(query.encode(), values).fetchall()

        return self._server.patiently(ask, self._patience)


def _storable(text: str) -> bool:
    """Whether a column can hold a text."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)
