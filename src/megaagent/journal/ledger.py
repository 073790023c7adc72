"""The one connection that writes: batches of appends become transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.journal import schema
from megaagent.journal.blobs import packed
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec
from megaagent.journal.database import Durability, to_write, told
from megaagent.journal.drafts import SNAPSHOTS, Draft, Outcome, Snapshot
from megaagent.journal.words import AT_CLOSE, catch_up, index, indexed_up_to

CLOSING = 1_000  # texts indexed in one transaction when the journal is closed


class Ledger:
    """Writes; used by one thread at a time.

    Args:
        codec: may be shared.

    Raises:
        RunError: on opening, as `database.to_write`.
    """

    def __init__(self, path: Path, durability: Durability, codec: Codec, *, fresh: bool):
        self._path = path
        self._codec = codec
        self._connection = to_write(path, durability, fresh=fresh)
        try:
            with told(path):
                self.epoch = self._next_epoch()
                newest = "SELECT position, chain FROM record ORDER BY position DESC LIMIT 1"
                self.position, self._chain = self._connection.execute(newest).fetchone() or (0, schema.START)
        except BaseException:
            self._connection.close()
            raise

    def settle(self, batch: Sequence[Draft]) -> list[Outcome]:
        """Commit a batch in one transaction; what became of each draft, in their order.

        The disk's failure is the failure of all. A draft that cannot be written for a reason of its own does not take
        the others with it.
        """
        try:
            return list(self._commit(batch))
        except RunError as error:
            return [type(error)(*error.args) for _ in batch]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [outcome for draft in batch for outcome in self.settle([draft])]

    @property
    def held(self) -> bool:
        """The lock of the file lasts as long as its holder."""
        return True

    def hold(self) -> None:
        """Nothing is to be looked at."""

    def close(self) -> None:
        """Fold the log into the one file and leave it readable without any other.

        While a reader is at work the log stays beside the file, and nothing is lost.
        """
        with suppress(sqlite3.DatabaseError):
            self._index_what_waits()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def _commit(self, batch: Sequence[Draft]) -> list[list[Record]]:
        position, chain = self.position, self._chain
        written: list[list[Record]] = []
        rows: list[tuple[int, int, float, str, int, str, bytes, bytes]] = []
        words: list[tuple[int, str]] = []
        with told(self._path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._check_epoch()
                for draft in batch:
                    records: list[Record] = []
                    for fact, row in zip(draft.facts, draft.rows, strict=True):
                        position += 1
                        columns = (position, self.epoch, draft.time, row.agent, row.step, row.kind, row.body)
                        chain = schema.chained(chain, *columns)
                        rows.append((*columns, chain))
                        if row.words:
                            words.append((position, row.words))
                        for digest, data in row.contents:
                            self._store(digest, data)
                        records.append(Record(position, self.epoch, draft.time, fact.agent, fact.step, fact.event))
                    for data in draft.blobs:
                        self._store(digest_of(data), data)
                    if draft.snapshot is not None:
                        self._keep(draft.snapshot)
                    written.append(records)
                self._connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                index(self._connection, self._codec, self.position, words)
                self._connection.execute("COMMIT")
            except BaseException:
                # After some failures, such as a full disk, SQLite has rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self.position, self._chain = position, chain
        return written

    def _index_what_waits(self) -> None:
        """Make up for what bursts have left, if that takes a second at most; the rest waits for the next engine."""
        done = indexed_up_to(self._connection)
        for _ in range(AT_CLOSE // CLOSING):
            if done is None:
                return
            self._connection.execute("BEGIN IMMEDIATE")
            done = catch_up(self._connection, self._codec, done, CLOSING)
            self._connection.execute("COMMIT")

    def _check_epoch(self) -> None:
        [newest] = self._connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        if newest != self.epoch:
            raise RunError(
                f"the journal {self._path}: another engine has taken over (epoch {newest}, this is {self.epoch})"
            )

    def _store(self, digest: str, data: bytes) -> None:
        # Looking first saves compressing what is there already.
        if self._connection.execute("SELECT 1 FROM blob WHERE digest = ?", (digest,)).fetchone() is None:
            self._connection.execute("INSERT INTO blob VALUES (?, ?, ?, ?)", (digest, len(data), *packed(data)))

    def _keep(self, snapshot: Snapshot) -> None:
        row = (snapshot.name, snapshot.position, snapshot.digest, snapshot.packed, snapshot.data)
        self._connection.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)", row)
        self._connection.execute(
            "DELETE FROM snapshot WHERE name = ? AND position NOT IN "
            "(SELECT position FROM snapshot WHERE name = ? ORDER BY position DESC LIMIT ?)",
            (snapshot.name, snapshot.name, SNAPSHOTS),
        )

    def _next_epoch(self) -> int:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
        [epoch] = self._connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        self._connection.execute("COMMIT")
        return epoch
