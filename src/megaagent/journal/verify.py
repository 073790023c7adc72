"""Walking a journal from its first row to its last: is everything there, and as it was written?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from megaagent.events import FileCommitted
from megaagent.journal import schema
from megaagent.journal.blobs import unpacked
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec, kind_of
from megaagent.journal.contract import Verification
from megaagent.journal.store import Columns, GoodRow, Store, Unreadable


class _Bad(Exception):
    """What is wrong with a row or a content."""


class BadRow(Exception):
    """The first row that is not as it was written; the text says what is wrong."""

    def __init__(self, position: int, problem: str):
        super().__init__(problem)
        self.position = position


def walk(store: Store, codec: Codec) -> Verification:
    """Check every row's chain, shape and contents, up to the first bad one.

    The contents of a row are its long bodies and the file that it committed. Contents that no row names are checked
    after the rows, what the store says of itself last: a damaged index hides facts that are there.
    """
    contents = _Contents(store)
    position = 0
    try:
        for row in _good_rows(store, codec, contents):
            position = row.position
        contents.check_rest()
        problem = store.check()
    except BadRow as bad:
        return Verification(position, bad.position, str(bad))
    except (_Bad, Unreadable) as error:
        return Verification(position, None, str(error))
    return Verification(position, None, problem)


def good_rows(store: Store, codec: Codec) -> Iterator[GoodRow]:
    """The rows from the first on, each with its long bodies, as long as they are good.

    Raises:
        BadRow: after the last good one, unless that is the last of all.
    """
    return _good_rows(store, codec, _Contents(store))


def _good_rows(store: Store, codec: Codec, contents: _Contents) -> Iterator[GoodRow]:
    position, chain = 0, schema.START
    try:
        for row in store.rows():
            if row[0] != position + 1:
                raise BadRow(position + 1, f"row {position + 1} is missing")
            try:
                good = _checked(row, chain, codec, contents)
            except _Bad as bad:
                raise BadRow(row[0], f"row {row[0]} ({row[5]}): {bad}") from bad
            position, chain = row[0], row[7]
            yield good
    except Unreadable as error:
        raise BadRow(position + 1, f"the file cannot be read on: {error}") from error


def _checked(row: Columns, before: bytes, codec: Codec, contents: _Contents) -> GoodRow:
    kind, body = row[5], row[6]
    needed: list[str] = []

    def fetch(digest: str) -> bytes:
        needed.append(digest)
        return contents.fetch(digest)

    try:
        if schema.chained(before, *row[:7]) != row[7]:
            raise _Bad("it was changed, or rows around it were moved or taken out")
        event = codec.event(kind, body, fetch)
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, schema.struct.error) as error:
        raise _Bad(f"it cannot be read: {error}") from error
    if kind_of(type(event)) != kind:
        raise _Bad(f"its event is a {kind_of(type(event))}")
    if isinstance(event, FileCommitted) and event.digest is not None:
        fetch(event.digest)
    return GoodRow(row, event, tuple(needed))


class _Contents:
    """Contents, each checked against its name once."""

    def __init__(self, store: Store):
        self._store = store
        self._good: set[str] = set()

    def fetch(self, digest: str) -> bytes:
        content = self._store.content(digest)
        if content is None:
            raise _Bad(f"the content {digest} is missing")
        packed, kept, size = content
        try:
            data = unpacked(packed, kept)
        except ValueError as error:
            raise _Bad(f"the content {digest} cannot be unpacked: {error}") from error
        if digest not in self._good:
            if len(data) != size or digest_of(data) != digest:
                raise _Bad(f"the content {digest} was changed")
            self._good.add(digest)
        return data

    def check_rest(self) -> None:
        for digest in self._store.digests():
            if digest not in self._good:
                self.fetch(digest)
