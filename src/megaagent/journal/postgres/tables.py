"""The journal's tables in PostgreSQL: those of SQLite with a run in front, in one schema for all runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from megaagent.errors import RunError
from megaagent.journal.postgres.server import Connection, Place

SCHEMA: Final = "megaagent"
MIGRATING: Final = 0x4D656761  # "Mega": of the advisory lock that who makes the tables holds

Migration = Callable[[Connection], None]


FIRST_TABLES: Sequence[str] = (
    "CREATE TABLE megaagent.meta (name text PRIMARY KEY, value bigint NOT NULL)",
    """CREATE TABLE megaagent.run (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        epoch bigint NOT NULL,
        position bigint NOT NULL,
        chain bytea NOT NULL,
        holder text NOT NULL,
        lease timestamptz NOT NULL,
        made timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH (fillfactor = 20)""",  # its few rows change with every commit
    """CREATE TABLE megaagent.record (
        run bigint NOT NULL REFERENCES megaagent.run ON DELETE CASCADE,
        position bigint NOT NULL,
        epoch bigint NOT NULL,
        time double precision NOT NULL,
        agent text COLLATE "C" NOT NULL,
        step bigint NOT NULL,
        kind text COLLATE "C" NOT NULL,
        body bytea NOT NULL,
        chain bytea NOT NULL,
        PRIMARY KEY (run, position)
    )""",
    "CREATE INDEX record_agent ON megaagent.record (run, agent, position)",
    """CREATE TABLE megaagent.blob (
        run bigint NOT NULL REFERENCES megaagent.run ON DELETE CASCADE,
        digest text COLLATE "C" NOT NULL,
        size bigint NOT NULL,
        packed boolean NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (run, digest)
    )""",
    "ALTER TABLE megaagent.blob ALTER data SET STORAGE EXTERNAL",  # it is compressed already
    """CREATE TABLE megaagent.snapshot (
        run bigint NOT NULL REFERENCES megaagent.run ON DELETE CASCADE,
        name text NOT NULL,
        position bigint NOT NULL,
        digest text NOT NULL,
        packed boolean NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (run, name, position)
    )""",
    "CREATE TEXT SEARCH DICTIONARY megaagent.stems (TEMPLATE = snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION megaagent.words (COPY = pg_catalog.simple)",
    "ALTER TEXT SEARCH CONFIGURATION megaagent.words ALTER MAPPING REPLACE simple WITH megaagent.stems",
    """CREATE TABLE megaagent.recall (
        run bigint NOT NULL REFERENCES megaagent.run ON DELETE CASCADE,
        position bigint NOT NULL,
        words tsvector NOT NULL,
        PRIMARY KEY (run, position)
    )""",
    "CREATE INDEX recall_words ON megaagent.recall USING gin (words)",
)


def first_tables(connection: Connection) -> None:
    """Runs with their fence, facts, contents, snapshots, and the words to be recalled.

    A row of `run` is locked by every transaction of its writer: it says who may write and where the journal ends, so a
    writer that lost a commit's reply can find out, and one that was replaced is refused. Words are looked up in all
    runs at once; one lexeme of each text names its run. The words of a text are split by us: the database's own parser
    takes a path for one word.
    """
    for statement in FIRST_TABLES:
        connection.execute(statement.encode())


MIGRATIONS: Sequence[Migration] = (first_tables,)  # the schema's version is their number


def version_of(connection: Connection, place: Place) -> int | None:
    """The version of the schema that is there; None when there is none yet.

    Raises:
        RunError: something else is there, or it is newer than this release.
    """
    if not _there(connection, "SELECT 1 FROM pg_namespace WHERE nspname = 'megaagent'"):
        return None
    if not _there(connection, "SELECT 1 WHERE to_regclass('megaagent.meta') IS NOT NULL"):
        if _there(connection, "SELECT 1 FROM pg_class WHERE relnamespace = 'megaagent'::regnamespace"):
            raise RunError(f"the journal {place}: the schema {SCHEMA} there is not one of MegaAgent's journals")
        return 0  # made for us, and empty
    row = connection.execute("SELECT value FROM megaagent.meta WHERE name = 'schema'").fetchone()
    if row is None:
        raise RunError(f"the journal {place}: the schema {SCHEMA} there is not one of MegaAgent's journals")
    if row[0] > len(MIGRATIONS):
        raise RunError(
            f"the journal {place}: its tables are of a newer MegaAgent (schema {row[0]}, this one knows "
            f"{len(MIGRATIONS)}); upgrade"
        )
    return row[0]


def migrate(connection: Connection, place: Place, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables to today's schema, whole or not at all; ends the transaction.

    Raises:
        RunError: as `version_of`.
    """
    if version_of(connection, place) == len(migrations):
        connection.rollback()
        return
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATING,))
    version = version_of(connection, place)  # another engine may have made them meanwhile
    if version is None:
        connection.execute("CREATE SCHEMA megaagent")
    for step in migrations[version or 0 :]:
        step(connection)
    if not version:
        connection.execute("INSERT INTO megaagent.meta VALUES ('schema', 0)")
    connection.execute("UPDATE megaagent.meta SET value = %s WHERE name = 'schema'", (len(migrations),))
    connection.commit()


def _there(connection: Connection, query: str) -> bool:
    return connection.execute(query.encode()).fetchone() is not None
