"""Opening the file: what every connection is set to, and what is told when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from megaagent.errors import RunError
from megaagent.journal import schema
from megaagent.journal.contract import DiskError

Durability = Literal["full", "normal", "off"]
PAGE = 8192  # bytes; of 4, 8 and 16 KiB it wastes least and is not the slower one
PATIENCE = 10_000  # milliseconds that a statement waits for another connection's lock

REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room, then resume",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the rights on the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the rights on the file and its folder",
    sqlite3.SQLITE_BUSY: "another program holds it locked; end that program",
    sqlite3.SQLITE_NOTADB: "it is not a database, or its header is damaged; restore it from a copy",
    sqlite3.SQLITE_CORRUPT: "it is damaged; see what is good: megaagent check-journal, and save it: megaagent repair",
    sqlite3.SQLITE_IOERR: "the disk reports errors",
}

PASSING = {  # what can pass by itself, or by what a person does meanwhile
    sqlite3.SQLITE_FULL: "the disk of the run's folder is full",
    sqlite3.SQLITE_READONLY: "the run's folder cannot be written",
    sqlite3.SQLITE_IOERR: "the disk of the run's folder reports errors",
}


@contextmanager
def told(path: Path) -> Generator[None]:
    """Failures of the file or its disk become a `RunError` that says what to do; mistakes of ours stay loud."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.DataError):
        raise
    except UnicodeDecodeError as error:
        # SQLite quotes what it stumbled over, and Python cannot decode the quotation.
        raise RunError(f"the journal {path}: {REMEDIES[sqlite3.SQLITE_CORRUPT]} ({error})") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the family of the error
        remedy = REMEDIES.get(code, "it cannot be used")
        text = f"the journal {path}: {remedy} ({error})"
        raise (DiskError(text, PASSING[code]) if code in PASSING else RunError(text)) from error


def to_write(path: Path, durability: Durability, *, fresh: bool) -> sqlite3.Connection:
    """The writer's connection, with today's schema.

    Raises:
        RunError: the file cannot be used for writing a journal.
    """
    if fresh:
        _make(path)
    elif path.stat().st_size == 0:
        raise RunError(f"{path} is empty: the making of this journal was cut off; delete the run and start it anew")
    with told(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (f"page_size = {PAGE}", "auto_vacuum = NONE", f"busy_timeout = {PATIENCE}"):
                connection.execute(f"PRAGMA {pragma}")
            if not fresh:
                schema.check(connection, path)  # before anything is changed in what may be somebody else's file
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {durability}")
            schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    Raises:
        RunError: there is no journal, or it cannot be read as one.
    """
    if not path.is_file():
        raise RunError(f"there is no journal at {path}")
    with told(path):
        connection = _read_only(path, "mode=ro")
        try:
            try:
                schema.check(connection, path)
            except sqlite3.OperationalError:
                connection.close()
                connection = _unwritable(path)
                schema.check(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _unwritable(path: Path) -> sqlite3.Connection:
    """In a folder that cannot be written SQLite cannot share its log; without a log the file alone is the journal."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise RunError(
            f"the journal {path} was not closed and its folder cannot be written: copy the folder and read the copy"
        )
    return _read_only(path, "immutable=1")


def _read_only(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
    return connection


def _make(path: Path) -> None:
    """An empty file that only its owner can read; SQLite gives its log the same rights."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise RunError(f"there is a journal at {path} already") from error
    except OSError as error:
        raise RunError(f"no journal can be made at {path}: {error.strerror}") from error
