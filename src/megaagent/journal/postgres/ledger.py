"""The one connection that writes: batches become transactions, and what became of a lost one is found out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psycopg

from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.journal import schema
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec
from megaagent.journal.contract import DiskError, TakenError
from megaagent.journal.drafts import SNAPSHOTS, Draft, Outcome, Snapshot
from megaagent.journal.postgres.lease import LEASE, Holder, refuse_if_held
from megaagent.journal.postgres.rows import Lines, insert, plain, store
from megaagent.journal.postgres.server import ANSWERING, Connection, Place, Server, together
from megaagent.journal.postgres.tables import migrate


class Doubt:
    """A transaction whose commit was asked for and never answered."""

    def __init__(self, drafts: Sequence[Draft], records: Sequence[list[Record]], position: int, chain: bytes):
        self.drafts = tuple(drafts)
        self.records = tuple(records)
        self.position = position
        self.chain = chain


class PostgresLedger:
    """`Scribe` in PostgreSQL; holds the journal's lease until it is closed.

    Args:
        path: by which the journal is opened; its lock is held.
        now: of the run's clock, for whoever asks who writes.
        codec: not needed: words are indexed with their facts.

    Raises:
        RunError: on opening: the database cannot be used, the journal is there already or is not, or is in use.
    """

    def __init__(self, place: Place, path: Path, now: float, codec: Codec, *, fresh: bool):
        self._server = Server(place, writes=True)
        self._path = path
        self._using = threading.RLock()  # by who writes and by who prolongs the lease
        self._doubt: Doubt | None = None
        self._known: dict[int, tuple[Draft, list[Record]]] = {}  # found to be in the database, by the draft's id
        self._batch: Sequence[Draft] = ()
        self._busy_since: float | None = None
        self._held_until = 0.0  # of a clock that no stop stands still for
        holder = msgspec.json.encode(Holder.here(path, now)).decode()
        try:
            with self._server.told():
                connection = self._server.connection()
                migrate(connection, place)
                self._run, self.epoch, self.position, self._chain = (
                    self._made(connection, holder) if fresh else self._taken(connection, holder)
                )
                began = _clock()
                connection.commit()
                self._held_until = began + LEASE
        except BaseException:
            self._server.close()
            raise
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="journal's lease", daemon=True)
        self._beating.start()

    # -- writing ------------------------------------------------------------------------------------------------------

    def settle(self, batch: Sequence[Draft]) -> list[Outcome]:
        with self._using:
            self._batch = batch
            self._busy_since = time.monotonic()
            try:
                return self._settle(batch)
            finally:
                self._busy_since = None

    @property
    def held(self) -> bool:
        return _clock() < self._held_until

    def hold(self) -> None:
        with self._using:
            try:
                self._prolong()
            except DiskError:
                self._prolong()  # on a new connection

    def close(self) -> None:
        """End the lease, so that the next engine need not wait for that."""
        self._over.set()
        with self._using:
            if self._doubt is None and self._server.ready:
                with suppress(psycopg.Error, RunError):
                    self._server.connection().execute(
                        "UPDATE megaagent.run SET lease = clock_timestamp() WHERE id = %s AND epoch = %s",
                        (self._run, self.epoch),
                    )
                    self._server.connection().commit()
            self._server.close()
        self._beating.join()

    def _settle(self, batch: Sequence[Draft]) -> list[Outcome]:
        try:
            return list(self._committed(batch))
        except DiskError as error:
            unknown = "; whether what was appended is recorded is not known" if self._doubt is not None else ""
            return [DiskError(error.text + unknown, error.reason) for _ in batch]
        except RunError as error:
            return [type(error)(*error.args) for _ in batch]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [outcome for draft in batch for outcome in self._settle([draft])]

    def _committed(self, batch: Sequence[Draft]) -> list[list[Record]]:
        """Commit a batch; a connection that was lost meanwhile or long before is made anew, once."""
        try:
            return self._commit(batch)
        except DiskError:
            return self._commit(batch)

    def _commit(self, batch: Sequence[Draft]) -> list[list[Record]]:
        with self._server.told():
            try:
                connection = self._server.connection()
                began = _clock()
                with together(connection):
                    self._take_stock(connection)
                    fresh = [draft for draft in batch if id(draft) not in self._known]
                    records, position, chain = self._written(connection, fresh)
            except BaseException as error:
                self._undo(error)
                raise
            self._doubt = Doubt(fresh, records, position, chain)
            try:
                connection.commit()
            except BaseException:
                self._server.drop()
                raise
        self._held_until = began + LEASE
        self._is_in(self._doubt)
        self._doubt = None
        return [self._known.pop(id(draft))[1] for draft in batch]

    def _take_stock(self, connection: Connection) -> None:
        """Lock the run's row; is it still ours, and is what was in doubt in it?

        The lock waits for a transaction of ours whose connection was lost, so what is read then is final.
        """
        query = "SELECT epoch, position, chain FROM megaagent.run WHERE id = %s FOR UPDATE"
        row = connection.execute(query, (self._run,)).fetchone()
        if row is None:
            raise RunError(f"the journal {self._server.place} was deleted from the database")
        epoch, position, chain = row
        if epoch != self.epoch:
            raise RunError(
                f"the journal {self._server.place}: another engine has taken over (epoch {epoch}, this is {self.epoch})"
            )
        doubt, self._doubt = self._doubt, None
        # What had no facts has left no trace there: it is written again, which changes nothing.
        if doubt is not None and position > self.position and (position, chain) == (doubt.position, doubt.chain):
            self._is_in(doubt)
            asked = {id(draft) for draft in self._batch}
            if any(id(draft) not in asked for draft in doubt.drafts):
                self._doubt = doubt
                raise RunError(
                    f"the journal {self._server.place} has facts of which it was not known whether they are in: go on "
                    "with megaagent resume"
                )
        if (position, chain) != (self.position, self._chain):
            raise RunError(
                f"the journal {self._server.place} ends at fact {position}, but {self.position} were recorded: "
                "the database has lost what it had confirmed. Was it restored from a copy, or taken over by a replica "
                "that lagged? What is there is good: go on with megaagent resume"
            )

    def _is_in(self, doubt: Doubt) -> None:
        self.position, self._chain = doubt.position, doubt.chain
        for draft, records in zip(doubt.drafts, doubt.records, strict=True):
            self._known[id(draft)] = draft, records

    def _written(self, connection: Connection, drafts: Sequence[Draft]) -> tuple[list[list[Record]], int, bytes]:
        """Write drafts within the transaction; their records, and where the journal ends then."""
        position, chain = self.position, self._chain
        written: list[list[Record]] = []
        rows: Lines = []
        words: Lines = []
        contents: dict[str, bytes] = {}
        for draft in drafts:
            records: list[Record] = []
            for fact, row in zip(draft.facts, draft.rows, strict=True):
                position += 1
                columns = (position, self.epoch, draft.time, row.agent, row.step, row.kind, row.body)
                chain = schema.chained(chain, *columns)
                rows.append((*columns, chain))
                if row.words:
                    words.append((position, plain(row.words)))
                contents.update(row.contents)
                records.append(Record(position, self.epoch, draft.time, fact.agent, fact.step, fact.event))
            contents.update((digest_of(data), data) for data in draft.blobs)
            written.append(records)
        store(connection, self._run, contents)
        insert(connection, self._run, rows, words)
        for draft in drafts:
            if draft.snapshot is not None:
                self._keep(connection, draft.snapshot)
        connection.execute(
            "UPDATE megaagent.run SET position = %s, chain = %s, lease = clock_timestamp() + %s * interval '1 second' "
            "WHERE id = %s",
            (position, chain, LEASE, self._run),
        )
        return written, position, chain

    def _keep(self, connection: Connection, snapshot: Snapshot) -> None:
        row = (self._run, snapshot.name, snapshot.position, snapshot.digest, snapshot.packed, snapshot.data)
        connection.execute(
            """INSERT INTO megaagent.snapshot VALUES (%s, %s, %s, %s, %s, %b) ON CONFLICT (run, name, position)
            DO UPDATE SET digest = excluded.digest, packed = excluded.packed, data = excluded.data""",
            row,
        )
        connection.execute(
            """DELETE FROM megaagent.snapshot WHERE run = %s AND name = %s AND position NOT IN (
                SELECT position FROM megaagent.snapshot WHERE run = %s AND name = %s ORDER BY position DESC LIMIT %s
            )""",
            (self._run, snapshot.name, self._run, snapshot.name, SNAPSHOTS),
        )

    def _undo(self, error: BaseException) -> None:
        """Nothing of a transaction stays that was not asked to be committed."""
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            self._server.drop()
            return
        try:
            if self._server.ready:
                self._server.connection().rollback()
        except psycopg.Error:
            self._server.drop()

    # -- the lease ----------------------------------------------------------------------------------------------------

    def _made(self, connection: Connection, holder: str) -> tuple[int, int, int, bytes]:
        place = self._server.place
        try:
            row = connection.execute(
                """INSERT INTO megaagent.run (name, epoch, position, chain, holder, lease)
                VALUES (%s, 1, 0, %s, %s, clock_timestamp() + %s * interval '1 second') RETURNING id""",
                (place.name, schema.START, holder, LEASE),
            ).fetchone()
        except psycopg.errors.UniqueViolation as error:
            raise TakenError(f"there is a journal {place} already") from error
        assert row is not None
        return row[0], 1, 0, schema.START

    def _taken(self, connection: Connection, holder: str) -> tuple[int, int, int, bytes]:
        place = self._server.place
        refuse_if_held(connection, place.name, self._path)  # without waiting for the one at work
        query = "SELECT id, epoch, position, chain FROM megaagent.run WHERE name = %s FOR UPDATE"
        row = connection.execute(query, (place.name,)).fetchone()
        if row is None:
            raise RunError(f"there is no journal {place}")
        refuse_if_held(connection, place.name, self._path)
        run, epoch, position, chain = row
        query = "SELECT position, chain FROM megaagent.record WHERE run = %s ORDER BY position DESC LIMIT 1"
        last = connection.execute(query, (run,)).fetchone() or (0, schema.START)
        if last != (position, chain):
            raise RunError(
                f"the journal {place}: its last facts are not as they were written (there are {last[0]} of "
                f"{position}); see megaagent check-journal, then megaagent repair"
            )
        connection.execute(
            "UPDATE megaagent.run SET epoch = %s, holder = %s, lease = clock_timestamp() + %s * interval '1 second' "
            "WHERE id = %s",
            (epoch + 1, holder, LEASE, run),
        )
        return run, epoch + 1, position, chain

    def _beat(self) -> None:
        """Prolong the lease of an engine that records nothing, and end a wait for a server that says nothing."""
        while not self._over.wait(LEASE / 3):
            since = self._busy_since
            if since is not None:
                if time.monotonic() - since > 2 * ANSWERING:
                    self._server.interrupt()
                continue
            if self._using.acquire(blocking=False):
                try:
                    if self._doubt is None and not self._over.is_set():
                        self._prolong()
                except RunError:
                    pass  # the next append finds it out, and tells it
                finally:
                    self._using.release()

    def _prolong(self) -> None:
        """
        Raises:
            RunError: another engine has taken over, or the database cannot be used.
        """
        with self._server.told():
            try:
                connection = self._server.connection()
                began = _clock()
                done = connection.execute(
                    "UPDATE megaagent.run SET lease = clock_timestamp() + %s * interval '1 second' "
                    "WHERE id = %s AND epoch = %s",
                    (LEASE, self._run, self.epoch),
                )
                connection.commit()
            except BaseException as error:
                self._undo(error)
                raise
        if done.rowcount == 0:
            raise RunError(f"the journal {self._server.place}: another engine has taken over, or it was deleted")
        self._held_until = began + LEASE


def _clock() -> float:
    """Seconds that go on while this process, or the machine, is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
