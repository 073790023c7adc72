"""What every journal is: an append-only record of facts with one writer and any number of readers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from megaagent.errors import RunError
from megaagent.events import AgentId, Event, Fact, Record, Struct

Listener = Callable[[Sequence[Record]], None]


class DiskError(RunError):
    """Nothing was written, for a reason that may pass; `reason` names it in a few words."""

    def __init__(self, text: str, reason: str):
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return self.text


class TakenError(RunError):
    """There is another journal of that name already, which is not touched."""


class Verification(Struct, frozen=True):
    """What walking a journal found.

    Attributes:
        rows: that were found good, from the first on. A journal that was cut at its end is good as far as it goes:
            compare with the position that is expected, or look for `RunEnded`.
        bad: position of the first bad row; None when no row can be named.
        problem: what is wrong; empty when nothing is.
    """

    rows: int
    bad: int | None = None
    problem: str = ""


class JournalReader(Protocol):
    """Read-only, for a live or a finished run, also from another process."""

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        """Records in order.

        Args:
            after: only those with a greater position.
            bodies: fetch long bodies; without them a marker stands in their place, which folds faster.

        Raises:
            RunError: a row cannot be read; the message names it.
        """
        ...

    def record(self, position: int) -> Record | None:
        """The record at a position."""
        ...

    def mark(self, position: int) -> str | None:
        """A short hash of the record at a position and of all before it; None when there is none."""
        ...

    def last(self) -> int:
        """Position of the newest record, 0 when there is none."""
        ...

    def blob(self, digest: str) -> bytes | None:
        """A stored content by its SHA-256."""
        ...

    def snapshot(self, name: str) -> tuple[int, bytes] | None:
        """The newest undamaged snapshot of that name: the position up to which it reads the journal, and its data."""
        ...

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> list[tuple[Record, str]]:
        """Records whose text has words of the query, best first and the newest of equals first, with the passage.

        What all may find: messages, reports, notes. With `agent`, that agent's own words too. A query has no syntax.
        """
        ...

    def verify(self) -> Verification:
        """Walk all rows and contents; a changed, missing or misplaced one is named."""
        ...

    def close(self) -> None: ...


class Journal(Protocol):
    """The one writer."""

    @property
    def position(self) -> int:
        """Of the newest durable record of which the listeners are being told or have been told."""
        ...

    @property
    def epoch(self) -> int:
        """Which engine this is: each opening for writing is a new one."""
        ...

    async def append(self, facts: Sequence[Fact], blobs: Sequence[bytes] = ()) -> Sequence[Record]:
        """Record facts, in one transaction.

        Returns when they are durable and every listener has seen them. Who cancels the wait does not call them back.

        Args:
            blobs: contents to be kept beside them, found again by their SHA-256.

        Raises:
            RunError: they could not be written; none of them is in the journal. Or a listener failed on what came
                before them, while they were on their way: the message then says that they are recorded. Or the line to
                a database was cut and stays so: the message then says that it is not known.
            ValueError: a fact could not be read back as it is (lone surrogates, numbers that are not finite, fields of
                the wrong type); none of them is in the journal.
        """
        ...

    async def snapshot(self, name: str, position: int, data: bytes) -> None:
        """Keep a reading of the journal up to `position`, to shorten later foldings; the last two of a name are kept.

        Raises:
            RunError: it could not be written.
            ValueError: `position` is not in the journal.
        """
        ...

    async def hold(self) -> None:
        """Make sure that no other engine has taken over, before an effect that is not in the journal.

        Raises:
            RunError: one has; or it cannot be found out, as a `DiskError` when that may pass.
        """
        ...

    def listen(self, listener: Listener, *, watcher: bool = False) -> None:
        """Call `listener` with the records of every append once they are durable, in order, on the event loop.

        Args:
            watcher: it only looks: when it fails it is removed and logged. The failure of any other listener is a bug,
                which reaches the appender and lets the journal take no more.
        """
        ...

    def reader(self) -> JournalReader:
        """A reader of its own; the caller closes it."""
        ...

    async def close(self) -> None:
        """Write what is waiting and release everything; more than once does no harm."""
        ...
