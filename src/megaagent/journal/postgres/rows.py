"""Rows of a run on their way into the tables: facts, their words, and contents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from megaagent.journal.blobs import packed
from megaagent.journal.postgres.server import Connection

INDEXED: Final = 100_000  # characters of a text that are indexed: the database has a limit for one text's words

Lines = list[tuple[Any, ...]]


def plain(text: str) -> str:
    """The words of a text with nothing between them that the database's parser could take for part of one."""
    return " ".join(re.findall(r"[^\W_]+", text[:INDEXED].encode(errors="ignore").decode()))


def tag(run: int) -> str:
    """The lexeme that names a run among the words of its texts: no word has such a sign."""
    return f"#{run}"


def insert(connection: Connection, run: int, rows: Lines, words: Lines) -> None:
    """Add facts, with the texts that are searched."""
    if rows:
        connection.execute(
            """INSERT INTO megaagent.record SELECT %s, * FROM unnest(%b::bigint[], %b::bigint[],
            %b::double precision[], %b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[])""",
            (run, *columns(rows)),
        )
    if words:
        connection.execute(
            """INSERT INTO megaagent.recall SELECT %s, position,
            to_tsvector('megaagent.words', words) || array_to_tsvector(ARRAY[%s])
            FROM unnest(%b::bigint[], %b::text[]) AS word (position, words)""",
            (run, tag(run), *columns(words)),
        )


def columns(rows: Lines) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def store(connection: Connection, run: int, contents: dict[str, bytes]) -> None:
    """Keep contents that are not there yet."""
    if not contents:
        return
    query = "SELECT digest FROM megaagent.blob WHERE run = %s AND digest = ANY(%s)"
    there = {digest for (digest,) in connection.execute(query, (run, list(contents)))}
    keep(
        connection,
        run,
        [(digest, len(data), *packed(data)) for digest, data in contents.items() if digest not in there],
    )


def keep(connection: Connection, run: int, contents: Iterable[tuple[str, int, bool, bytes]]) -> None:
    """Add contents as they are kept: digest, size, whether packed, data."""
    rows: Lines = list(contents)
    if rows:
        connection.execute(
            """INSERT INTO megaagent.blob SELECT %s, * FROM unnest(%b::text[], %b::bigint[], %b::boolean[], %b::bytea[])
            ON CONFLICT DO NOTHING""",
            (run, *columns(rows)),
        )
