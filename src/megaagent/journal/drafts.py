"""What an append asks a store to write, and what became of it."""

from __future__ import annotations

from megaagent.events import Fact, Record, Struct
from megaagent.journal.blobs import packed
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Row

SNAPSHOTS = 2  # kept of each name: should the newest be damaged, the one before it serves


class Snapshot(Struct, frozen=True):
    """A reading of the journal up to a position, as its reader encoded it, ready to be kept."""

    name: str
    position: int
    digest: str
    packed: bool
    data: bytes

    @classmethod
    def of(cls, name: str, position: int, data: bytes) -> Snapshot:
        """Takes long for a long one: compressing it is no work for the thread that writes."""
        return cls(name, position, digest_of(data), *packed(data))


class Draft(Struct, frozen=True):
    """What one append asks for; written whole or not at all."""

    time: float
    facts: tuple[Fact, ...] = ()
    rows: tuple[Row, ...] = ()
    blobs: tuple[bytes, ...] = ()
    snapshot: Snapshot | None = None


Outcome = list[Record] | Exception
