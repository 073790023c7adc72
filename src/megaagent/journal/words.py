"""The index of the words that recall searches: it goes with the facts, and follows later when there are many at once.

To index a text costs more than to keep it. A burst of facts is written without, and later commits, which have few
facts, take along what is due. Until then a search looks at the rest itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import msgspec

from megaagent.journal import schema
from megaagent.journal.blobs import unpacked
from megaagent.journal.codec import Codec
from megaagent.journal.recall import SEARCHED, searchable

AT_ONCE = 64  # texts indexed in one commit; a commit with more facts than that indexes none
AT_CLOSE = 20_000  # facts; a second of work or less
LATE = 5_000  # newest facts that a search looks at itself

KINDS = ", ".join(f"'{kind}'" for kind in SEARCHED)


def index(connection: sqlite3.Connection, codec: Codec, before: int, words: Sequence[tuple[int, str]]) -> None:
    """Index what a transaction has just written, or let it wait; some of what waits is made up for.

    Args:
        before: position of the last fact before this transaction's.
        words: position and text of those of its facts that can be searched for.
    """
    done = indexed_up_to(connection)
    if done is None and len(words) <= AT_ONCE:
        connection.executemany("INSERT INTO recall (rowid, text) VALUES (?, ?)", words)
    elif done is None:
        connection.execute("INSERT INTO meta VALUES ('indexed', ?)", (before,))
    elif len(words) <= AT_ONCE:
        catch_up(connection, codec, done, AT_ONCE)


def catch_up(connection: sqlite3.Connection, codec: Codec, done: int, most: int) -> int | None:
    """Index the next texts, within the caller's transaction; up to where it is done now, None when with all."""
    late = unindexed(connection, codec, done, f"ORDER BY position LIMIT {most}")
    connection.executemany("INSERT INTO recall (rowid, text) VALUES (?, ?)", late)
    if len(late) < most:
        connection.execute("DELETE FROM meta WHERE name = 'indexed'")
        return None
    connection.execute("UPDATE meta SET value = ? WHERE name = 'indexed'", (late[-1][0],))
    return late[-1][0]


def indexed_up_to(connection: sqlite3.Connection) -> int | None:
    """Position up to which words are indexed; None when all are."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'indexed'").fetchone()
    return None if row is None else row[0]


def unindexed(
    connection: sqlite3.Connection, codec: Codec, done: int, rest: str, values: Sequence[object] = ()
) -> list[tuple[int, str]]:
    """Texts that wait to be indexed, with their positions; `rest` is the end of the query."""

    def fetch(digest: str) -> bytes:
        row = connection.execute("SELECT packed, data FROM blob WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise ValueError(f"the content {digest} is missing")
        return unpacked(*row)

    def text(kind: str, body: bytes) -> str:
        try:
            return searchable(codec.event(kind, body, fetch))
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError):
            return ""  # a damaged row is for others to find

    query = f"SELECT position, kind, body FROM record WHERE position > ? AND kind IN ({KINDS}) {rest}"
    rows = connection.execute(query, (done, *values)).fetchall()
    return [(position, text(kind, body)) for position, kind, body in rows]


def late_hits(
    connection: sqlite3.Connection, codec: Codec, match: str, allowed: str, values: Sequence[object]
) -> list[tuple[int, float]]:
    """Positions of texts that match and are not indexed yet, with their rank.

    Args:
        allowed: a condition on rows, with its `values`.
    """
    done = indexed_up_to(connection)
    if done is None:
        return []
    late = unindexed(connection, codec, done, f"AND {allowed} ORDER BY position DESC LIMIT {LATE}", values)
    with closing(sqlite3.connect(":memory:")) as own:
        own.execute(schema.RECALL)
        own.executemany("INSERT INTO recall (rowid, text) VALUES (?, ?)", late)
        return own.execute("SELECT rowid, bm25(recall) FROM recall WHERE recall MATCH ?", (match,)).fetchall()
