"""The journal in PostgreSQL: for sites whose disks are not to be trusted."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from megaagent.clock import Clock
from megaagent.journal.homes import home_of
from megaagent.journal.postgres.ledger import PostgresLedger
from megaagent.journal.postgres.reader import PostgresReader
from megaagent.journal.postgres.server import Place
from megaagent.journal.writer import JournalWriter

IMPATIENT: Final = 0.5  # seconds that an engine, which asks again, stands still for a server


class PostgresJournal(JournalWriter):
    """`Journal` in a database of PostgreSQL. Made by `create` or `open`."""

    def __init__(self, path: Path, clock: Clock, *, fresh: bool, inline: bool):
        home = home_of(path)
        assert home is not None, f"{path} is no address"
        place = Place(home.address, home.journal)
        ledger = partial(PostgresLedger, place, path, clock.now(), fresh=fresh)
        super().__init__(path, clock, ledger, partial(PostgresReader, place, patience=IMPATIENT), inline=inline)

    @classmethod
    def create(cls, path: Path, clock: Clock, *, inline: bool = False) -> PostgresJournal:
        """A new journal; never over one that is there.

        Args:
            path: of the file that says where it is to be; the lock lies beside it.
            inline: commit in the caller, without a thread; for runs in virtual time.

        Raises:
            RunError: there is one already, or it cannot be made.
        """
        return cls(path, clock, fresh=True, inline=inline)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, inline: bool = False) -> PostgresJournal:
        """Open an existing journal for writing, as a new epoch; arguments as for `create`.

        Raises:
            RunError: there is none, it is in use, damaged, of something else, or newer than this program.
        """
        return cls(path, clock, fresh=False, inline=inline)
