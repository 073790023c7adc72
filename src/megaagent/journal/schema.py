"""The journal's tables, their history, and how a row is bound to the one before it."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from megaagent.errors import RunError

APPLICATION = 0x4D656761  # "Mega": tells this file from any other SQLite database
CHAIN = 16  # bytes
START = bytes(CHAIN)
COLUMNS = "position, epoch, time, agent, step, kind, body"
RECALL = "CREATE VIRTUAL TABLE recall USING fts5 (text, content = '', tokenize = 'porter unicode61')"

Migration = Callable[[sqlite3.Connection], None]


def first_tables(connection: sqlite3.Connection) -> None:
    """Facts, contents, snapshots, and the words to be recalled.

    One index beside the positions: an agent's facts are read back whenever it wakes. A second one over kinds halved
    the rate of writing; a reader that asks for kinds scans. The words are an FTS5 index without its own copy of the
    texts: they are in the facts already.
    """
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        """CREATE TABLE record (
            position INTEGER PRIMARY KEY,
            epoch INTEGER NOT NULL,
            time REAL NOT NULL,
            agent TEXT NOT NULL,
            step INTEGER NOT NULL,
            kind TEXT NOT NULL,
            body BLOB NOT NULL,
            chain BLOB NOT NULL
        )""",
        "CREATE INDEX record_agent ON record (agent)",
        "CREATE TABLE blob (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, packed INTEGER NOT NULL, data NOT NULL)",
        """CREATE TABLE snapshot (
            name TEXT NOT NULL,
            position INTEGER NOT NULL,
            digest TEXT NOT NULL,
            packed INTEGER NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (name, position)
        )""",
        RECALL,
        "INSERT INTO meta VALUES ('epoch', 0)",
        f"PRAGMA application_id = {APPLICATION}",
    ):
        connection.execute(statement)


MIGRATIONS: Sequence[Migration] = (first_tables,)  # the schema's version is their number


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database to today's schema, each step whole or not at all."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(migrations[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step(connection)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Make sure that a database is a journal that this release can read.

    Raises:
        RunError: it is something else, or newer.
    """
    connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()  # the pragmas alone hide a bad header
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise RunError(f"{path} is not a journal of MegaAgent")
    if version > len(MIGRATIONS):
        raise RunError(
            f"{path} was written by a newer MegaAgent (schema {version}, this one knows {len(MIGRATIONS)}); upgrade"
        )


def chained(
    before: bytes, position: int, epoch: int, time: float, agent: str, step: int, kind: str, body: bytes
) -> bytes:
    """The hash that binds a row to all rows before it."""
    hashed = blake2b(before, digest_size=CHAIN)
    names = agent.encode() + b"\0" + kind.encode() + b"\0"
    hashed.update(struct.pack("<qqdqq", position, epoch, time, step, len(names)) + names + body)
    return hashed.digest()
