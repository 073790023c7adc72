"""Who may write a journal in a database: whoever holds its lease, which ends unless it is prolonged.

The lease says who is at work, and keeps a second engine out; what keeps a late one from writing is the epoch in the
run's row, which every transaction of a writer locks and looks at. All times of a lease are of the server's clock.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from megaagent.events import Struct
from megaagent.journal.lock import HeldError
from megaagent.journal.postgres.server import Connection, Server
from megaagent.journal.postgres.tables import version_of

LEASE: Final = 15.0  # seconds; prolonged by each commit, and three times in them by an engine that records nothing
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Holder(Struct, frozen=True):
    """Who writes a journal; `started` is of the run's clock, seconds since 1970.

    Attributes:
        lock: the lock file that it holds on its machine, so that who holds that lock now knows that it is gone; empty
            where that cannot be told.
    """

    pid: int
    host: str
    started: float
    lock: str = ""

    @classmethod
    def here(cls, path: Path, started: float) -> Holder:
        """This process.

        Args:
            path: by which the journal is opened.
        """
        return cls(os.getpid(), socket.gethostname(), started, lock_at(path))


def lock_at(path: Path) -> str:
    """The lock file of a journal, among all machines and since this one was started; empty when it cannot be told."""
    try:
        found = path.with_suffix(".lock").stat()
        return f"{BOOT.read_text().strip()} {found.st_dev} {found.st_ino}"
    except OSError:
        return ""


def told_if_held(server: Server, path: Path) -> None:
    """Make sure that nobody writes the journal; to be called while the lock of its file is held.

    Raises:
        HeldError: an engine is at work, or may be.
        RunError: the database cannot be asked.
    """
    with server.told():
        connection = server.connection()
        if version_of(connection, server.place):
            refuse_if_held(connection, server.place.name, path)


def refuse_if_held(connection: Connection, name: str, path: Path) -> None:
    """Raises:
    HeldError: the journal's lease has not ended, and its holder may be alive.
    """
    query = """
        SELECT holder, extract(epoch FROM lease - clock_timestamp())::double precision FROM megaagent.run
        WHERE name = %s AND lease > clock_timestamp()
    """
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        return
    try:
        holder = msgspec.json.decode(row[0], type=Holder)
    except msgspec.MsgspecError:
        raise HeldError(f"the run in {path.parent} is going on: its journal is held for {row[1]:.0f} s more") from None
    if holder.lock and holder.lock == lock_at(path):
        return  # the kernel has given its lock to us: it is gone
    started = datetime.fromtimestamp(holder.started, UTC).strftime("%Y-%m-%d %H:%M:%S")
    raise HeldError(
        f"the run in {path.parent} is going on: process {holder.pid} on {holder.host} is its engine, started {started} "
        f"UTC; when that is dead, its lease ends in {max(1, round(row[1]))} s"
    )
