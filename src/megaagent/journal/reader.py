"""Reading a journal in SQLite, live or finished, also from another process."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from megaagent.errors import RunError
from megaagent.events import AgentId, Event, Record
from megaagent.journal import verify
from megaagent.journal.blobs import unpacked
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec, kind_of
from megaagent.journal.contract import Verification
from megaagent.journal.database import to_read, told
from megaagent.journal.recall import SHARED, passage, searchable, words_of
from megaagent.journal.rows import LOOK, record_of
from megaagent.journal.schema import COLUMNS
from megaagent.journal.sqlite_store import SQLiteStore
from megaagent.journal.words import late_hits

BATCH = 500  # rows; an open cursor would keep the writer from truncating its log


class SQLiteReader:
    """`JournalReader` over SQLite. May be handed from thread to thread, but used by one at a time.

    Args:
        codec: may be shared; making one takes milliseconds.

    Raises:
        RunError: on opening: there is no journal, or it cannot be read as one.
    """

    def __init__(self, path: Path, codec: Codec):
        self._path = path
        self._codec = codec
        self._connection = to_read(path)

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        where = ["position > ?"]
        values: list[int | str] = [after]
        if agent is not None:
            where.append("agent = ?")
            values.append(agent)
        if kinds is not None:
            where.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values += [kind_of(kind) for kind in kinds]
        while limit is None or limit > 0:
            count = BATCH if limit is None else min(BATCH, limit)
            query = f"SELECT {COLUMNS} FROM record WHERE {' AND '.join(where)} ORDER BY position LIMIT {count}"
            rows = self._all(query, values)
            for row in rows:
                yield record_of(row, self._codec, self._path, self.blob if bodies else None)
            if len(rows) < count:
                return
            values[0] = rows[-1][0]
            limit = None if limit is None else limit - len(rows)

    def record(self, position: int) -> Record | None:
        rows = self._all(f"SELECT {COLUMNS} FROM record WHERE position = ?", [position])
        return record_of(rows[0], self._codec, self._path, self.blob) if rows else None

    def mark(self, position: int) -> str | None:
        rows = self._all("SELECT chain FROM record WHERE position = ?", [position])
        return rows[0][0].hex() if rows and isinstance(rows[0][0], bytes) else None

    def last(self) -> int:
        return self._all("SELECT coalesce(max(position), 0) FROM record")[0][0]

    def blob(self, digest: str) -> bytes | None:
        rows = self._all("SELECT packed, data FROM blob WHERE digest = ?", [digest])
        if not rows:
            return None
        try:
            return unpacked(*rows[0])
        except ValueError as error:
            raise RunError(f"the journal {self._path}: the content {digest} is damaged ({error}); {LOOK}") from error

    def snapshot(self, name: str) -> tuple[int, bytes] | None:
        query = "SELECT position, digest, packed, data FROM snapshot WHERE name = ? ORDER BY position DESC"
        for position, digest, is_packed, kept in self._all(query, [name]):
            try:
                data = unpacked(is_packed, kept)
            except ValueError:
                continue
            if digest_of(data) == digest:
                return position, data
        return None

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> list[tuple[Record, str]]:
        words = words_of(query)
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        shared = ", ".join(f"'{kind}'" for kind in SHARED)
        allowed = f"(kind IN ({shared}) OR agent = ?)"
        hits = self._all(
            "SELECT position, bm25(recall) AS rank FROM recall JOIN record ON position = recall.rowid "
            f"WHERE recall MATCH ? AND {allowed} ORDER BY rank, position DESC LIMIT ?",
            [match, agent or "", limit],
        )
        with told(self._path):
            hits += late_hits(self._connection, self._codec, match, allowed, [agent or ""])
        best = sorted(hits, key=lambda hit: (hit[1], -hit[0]))[:limit]
        records = [record for position, _ in best if (record := self.record(position)) is not None]
        return [(record, passage(searchable(record.event), words)) for record in records]

    def verify(self) -> Verification:
        return verify.walk(SQLiteStore(self._connection), self._codec)

    def close(self) -> None:
        self._connection.close()

    def _all(self, query: str, values: Any = ()) -> list[Any]:
        with told(self._path):
            return self._connection.execute(query, values).fetchall()
