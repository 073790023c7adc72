"""The journal in SQLite: one file in the run's folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from megaagent.clock import Clock
from megaagent.errors import RunError
from megaagent.journal.database import Durability
from megaagent.journal.ledger import Ledger
from megaagent.journal.reader import SQLiteReader
from megaagent.journal.writer import JournalWriter


class SQLiteJournal(JournalWriter):
    """`Journal` in one SQLite file in WAL mode. Made by `create` or `open`."""

    def __init__(self, path: Path, clock: Clock, durability: Durability, *, fresh: bool, inline: bool):
        ledger = partial(Ledger, path, durability, fresh=fresh)
        super().__init__(path, clock, ledger, partial(SQLiteReader, path), inline=inline)

    @classmethod
    def create(
        cls, path: Path, clock: Clock, *, durability: Durability = "full", inline: bool = False
    ) -> SQLiteJournal:
        """A new journal; never over one that is there.

        Args:
            path: the file; the lock lies beside it under the ending `.lock`.
            durability: "full" syncs every commit; "normal" may lose the last commits in a power cut; "off" may lose
                the journal in one. None loses anything when only the program dies.
            inline: commit in the caller, without a thread; for runs in virtual time.

        Raises:
            RunError: there is one already, or it cannot be made.
        """
        if path.exists():
            raise RunError(f"there is a journal at {path} already")
        return cls(path, clock, durability, fresh=True, inline=inline)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, durability: Durability = "full", inline: bool = False) -> SQLiteJournal:
        """Open an existing journal for writing, as a new epoch; arguments as for `create`.

        Raises:
            RunError: there is none, it is in use, damaged, of something else, or newer than this program.
        """
        if not path.is_file():
            raise RunError(f"there is no journal at {path}")
        return cls(path, clock, durability, fresh=False, inline=inline)
