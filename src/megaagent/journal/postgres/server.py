"""A connection to the database of a journal: how it is made, kept, and what is told when it cannot be used."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final, TypeVar

from megaagent.errors import ConfigurationError, RunError
from megaagent.events import Struct
from megaagent.journal.contract import DiskError
from megaagent.journal.postgres.address import shown

try:
    import psycopg
    from psycopg import errors
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as missing:  # the extra, or the library under it
    raise ConfigurationError(
        f"a journal in PostgreSQL needs the extra [postgres] ({missing}): pip install 'megaagent[postgres]'"
    ) from missing

OLDEST: Final = 13  # PostgreSQL; older ones are not repaired any more by those who make it
CONNECTING: Final = 5  # seconds until an address that does not answer is given up
ANSWERING: Final = 30  # seconds until a statement is given up
LOCKED: Final = 10  # seconds that a statement waits for another transaction; after as many a silent one is ended
UNHEARD: Final = "the journal's database cannot be reached"

T = TypeVar("T")
Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]

SESSION = (
    f"SET statement_timeout = '{ANSWERING}s'; SET lock_timeout = '{LOCKED}s'; "
    f"SET idle_in_transaction_session_timeout = '{LOCKED}s'; "
    "SELECT current_setting('server_encoding'), current_setting('synchronous_commit')"
)
# Half of a dead connection is noticed by the kernel, not by us.
PARAMETERS: dict[str, Any] = {
    "connect_timeout": CONNECTING,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 1000 * ANSWERING // 2,
    "client_encoding": "UTF8",
    "application_name": "megaagent",
}

REMEDIES: Sequence[tuple[str, str]] = (  # what the server or its library says, and what to do
    ("password authentication failed", "put the right password into PGPASSWORD or ~/.pgpass"),
    ("no password supplied", "put the password into PGPASSWORD or ~/.pgpass"),
    ("does not exist", "make it with createdb or createuser, or correct the address"),
    ("pg_hba.conf", "the server's pg_hba.conf does not let this user in from here"),
    ("permission denied for database", "let the user in: GRANT CREATE ON DATABASE … TO …"),
    ("refused", "look whether the server is up, and at host and port of the address"),
    ("could not translate host name", "correct the host in the address"),
    ("resolve", "correct the host in the address"),
    ("timeout", "look at host and port of the address, and at what lies between"),
)
PASSING: Mapping[str, str] = {  # beginnings of SQL states that can pass by themselves, or by what a person does
    "08": UNHEARD,
    "53100": "the disk of the journal's database is full",
    "53": "the journal's database has no room for more",
    "57": UNHEARD,
    "58": "the disk of the journal's database reports errors",
    "25006": "the journal's database takes no writes",
    "40": "the journal's database was interrupted",
    "55P03": "the journal is locked by another session",
}


class Place(Struct, frozen=True):
    """A journal in a database: the address, without a password, and its name there."""

    address: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} in {shown(self.address)}"


class Server:
    """A connection that is made when it is needed, and made again when it was lost. Used by one thread at a time.

    Args:
        writes: for the one who writes.

    Raises:
        RunError: by what uses it: `DiskError` when it may pass.
    """

    def __init__(self, place: Place, *, writes: bool = False):
        self.place = place
        self._writes = writes
        self._connection: Connection | None = None
        self._closed = False
        # What the library ignores while a lost connection is given up would be printed between the lines of the run.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)

    def connection(self) -> Connection:
        """The connection, open as far as is known."""
        if self._closed:
            raise RunError(f"the journal {self.place} is closed")
        if self._connection is not None and (self._connection.closed or self._connection.broken):
            self.drop()
        if self._connection is None:
            self._connection = self._connected()
        return self._connection

    @contextmanager
    def told(self) -> Generator[None]:
        """Failures of the database become a `RunError` that says what to do; mistakes of ours stay loud."""
        with told(self.place):
            yield

    def patiently(self, ask: Callable[[Connection], T], patience: float) -> T:
        """Ask something that can be asked again, for so many seconds while the database does not answer."""
        end = time.monotonic() + patience
        while True:
            stale = self._connection is not None  # a connection that was lost long ago is no trouble
            try:
                with self.told():
                    return ask(self.connection())
            except DiskError:
                self.drop()
                if time.monotonic() >= end and not stale:
                    raise
            time.sleep(0.0 if stale else 0.1)

    @property
    def ready(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and not self._connection.closed

    def interrupt(self) -> None:
        """End a wait for the server, from another thread."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Give the connection up; what it had not committed is not in the database, or not known to be."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        self._closed = True
        self.drop()

    def __del__(self) -> None:
        if hasattr(self, "_connection"):
            self.drop()  # of a reader that nobody has closed

    def _connected(self) -> Connection:
        place = self.place
        # Of several hosts the one that takes writes, unless the address says otherwise.
        ours = PARAMETERS | {"target_session_attrs": "read-write" if self._writes else "any"}
        try:
            parameters = make_conninfo("", **(ours | conninfo_to_dict(place.address)))
        except psycopg.Error as error:
            raise ConfigurationError(f"{shown(place.address)} is no address of a database: {_line(error)}") from error
        try:
            connection = psycopg.connect(parameters)
        except psycopg.Error as error:
            words = str(error)
            remedy = next((remedy for sign, remedy in REMEDIES if sign in words), "")
            text = f"the journal {place}: the database cannot be opened: {_line(error)}"
            raise DiskError(f"{text}; {remedy}" if remedy else text, UNHEARD) from error
        try:
            with told(place):
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        version = connection.info.server_version // 10000
        if version < OLDEST:
            raise RunError(
                f"the journal {self.place}: the server is PostgreSQL {version}, {OLDEST} is the oldest: upgrade it"
            )
        cursor = connection.execute(SESSION.encode())
        while cursor.nextset():
            pass
        [(encoding, synchronous)] = cursor.fetchall()
        if encoding != "UTF8":
            raise RunError(
                f"the journal {self.place}: the database is encoded as {encoding}; make one with: "
                "createdb -E UTF8 -T template0"
            )
        if synchronous == "off":
            connection.execute("SET synchronous_commit = on")  # what is acknowledged must be kept
        if not self._writes:
            connection.execute("SET default_transaction_read_only = on")
        connection.commit()
        connection.autocommit = not self._writes


def together(connection: Connection) -> AbstractContextManager[object]:
    """Meanwhile statements whose results nobody asks for travel together."""
    return connection.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()


@contextmanager
def told(place: Place) -> Generator[None]:
    """Failures of the database become a `RunError` that says what to do; mistakes of ours stay loud."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, psycopg.ProgrammingError) as error:
        state = error.sqlstate
        reason = next((reason for begin, reason in PASSING.items() if state and state.startswith(begin)), None)
        lost = state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if lost or reason:
            reason = reason or UNHEARD
            raise DiskError(f"the journal {place}: {reason}: {_line(error)}", reason) from error
        if isinstance(error, errors.InsufficientPrivilege):
            raise RunError(f"the journal {place}: {_line(error)}: give the user of the address the rights") from error
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedColumn):
            raise RunError(f"the journal {place}: its tables are damaged: {_line(error)}") from error
        if isinstance(error, psycopg.InternalError):
            raise RunError(f"the journal {place}: the database is damaged: {_line(error)}") from error
        raise


def _line(error: Exception) -> str:
    """The first telling line of what the database says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (
        lines[0].removeprefix("connection failed: ").removeprefix("connection is bad: ") if lines else "no reason given"
    )
