"""A new journal from the first rows of another one, which is only read.

Rows keep their position, epoch and time, and so their chain; every one of them, and every content that it needs, is
checked on the way. What belongs together is never torn: facts that were recorded in one transaction come along all, or
none of them does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from megaagent.errors import RunError
from megaagent.events import AnyEvent, CallIntended, ModelAnswered, Record, Struct
from megaagent.journal.codec import Codec
from megaagent.journal.homes import kept_still, open_reader, open_store, open_target
from megaagent.journal.store import Content, GoodRow, Store, Unreadable
from megaagent.journal.verify import BadRow, good_rows

BATCH = 1000  # rows
ALONE = (CallIntended, ModelAnswered)  # always the only fact of their transaction

Refuse = Callable[[AnyEvent], str]
Together = list[GoodRow]  # rows of one transaction


class Prefix(Struct, frozen=True):
    """What was taken.

    Attributes:
        last: position of the last row; 0 when there is none.
        lost: rows of the other journal that were not taken because of `problem`, as far as they can be counted.
        bad: position of the first bad row, None when none is.
    """

    last: int
    lost: int = 0
    bad: int | None = None
    problem: str = ""


def copy_files(journal: Path, folder: Path) -> Path:
    """Copy a journal that no engine is working on, with its log, into a folder; returns the copy.

    Reading a journal that was not closed makes SQLite write beside it; the copy can be read without a trace.

    Raises:
        RunError: there is none, an engine is at work on it, or it cannot be copied.
    """
    if not journal.is_file():
        raise RunError(f"there is no journal at {journal}")
    log = journal.with_name(journal.name + "-wal")
    copy = folder / journal.name
    with kept_still(journal):
        try:
            shutil.copyfile(journal, copy)
            if log.is_file():
                shutil.copyfile(log, folder / log.name)
        except OSError as error:
            raise RunError(f"the journal {journal} cannot be copied: {error}") from error
    return copy


@contextmanager
def told_of(original: Path, copy: Path) -> Generator[None]:
    """Failures of a copy are told of the file that a person knows."""
    try:
        yield
    except RunError as error:
        raise RunError(str(error).replace(str(copy), str(original))) from error


def take_until(source: Path, target: Path, position: int) -> Record:
    """Make a journal of the rows up to a position and those that were recorded together with it.

    Args:
        source: may be written meanwhile.
        target: does not exist yet.

    Returns:
        The last record taken.

    Raises:
        RunError: there is no such row, or one before it is bad; nothing of the new journal is of use then.
    """
    codec = Codec()
    taker = _Taker(source, target)
    try:
        last: Record | None = None
        try:
            for rows in _transactions(good_rows(taker.source, codec)):
                taker.take(rows)
                if rows[-1].position >= position:
                    at, epoch, time, agent, step, *_ = rows[-1].columns
                    last = Record(at, epoch, time, agent, step, rows[-1].event)
                    break
        except _Torn as torn:
            raise RunError(f"the journal {source}: {torn.bad}; repair it first with: megaagent repair") from torn
        if last is None:
            raise RunError(f"there is no fact {position} in {source}; the last is {taker.last}")
        taker.finish()
        return last
    finally:
        taker.close()


def take_all(source: Path, target: Path) -> int:
    """Make a journal of all rows that are there now; returns their number.

    Args:
        source: may be written meanwhile.
        target: does not exist yet.

    Raises:
        RunError: a row is bad, or there is none; nothing of the new journal is of use then.
    """
    with closing(open_reader(source)) as reader:
        last = reader.last()
    return take_until(source, target, last).position


def take_good(source: Path, target: Path, refuse: Refuse = lambda event: "") -> Prefix:
    """Make a journal of all rows before the first bad one.

    Args:
        source: not written meanwhile.
        target: does not exist yet.
        refuse: says why a good row counts as bad, for reasons that the journal cannot know; empty when it does not.

    Raises:
        RunError: the source cannot be read as a journal at all.
    """
    codec = Codec()
    taker = _Taker(source, target)
    try:
        whole: Together = []  # the last transaction, until it is known that nothing of it is lost
        bad: BadRow | None = None
        try:
            for rows in _transactions(_accepted(good_rows(taker.source, codec), refuse)):
                taker.take(whole)
                whole = rows
        except _Torn as torn:
            taker.take(whole)
            bad, whole = torn.bad, torn.rows
        if bad is None or not _continues(taker.source, bad.position, whole):
            taker.take(whole)
        taker.finish()
        if bad is None:
            return Prefix(taker.last)
        return Prefix(taker.last, _count(taker.source, taker.last), bad.position, str(bad))
    finally:
        taker.close()


# -- which rows -------------------------------------------------------------------------------------------------------


class _Torn(Exception):
    """A bad row, with the good rows before it that may be of its transaction."""

    def __init__(self, bad: BadRow, rows: Together):
        self.bad = bad
        self.rows = rows


def _accepted(rows: Iterator[GoodRow], refuse: Refuse) -> Iterator[GoodRow]:
    for row in rows:
        problem = refuse(row.event)
        if problem:
            raise BadRow(row.position, f"row {row.position} ({row.columns[5]}): {problem}")
        yield row


def _transactions(rows: Iterator[GoodRow]) -> Iterator[Together]:
    """Rows that were recorded together: one engine gives all facts of one append the same time."""
    together: Together = []
    try:
        for row in rows:
            if together and _moment(row) != _moment(together[-1]):
                yield together
                together = []
            together.append(row)
    except BadRow as bad:
        raise _Torn(bad, together) from bad
    if together:
        yield together


def _moment(row: GoodRow) -> tuple[int, float]:
    return row.columns[1], row.columns[2]


def _continues(source: Store, bad: int, rows: Together) -> bool:
    """Whether a bad row, or the one after it, was recorded together with the good rows before it, or may have been."""
    if not rows or (len(rows) == 1 and isinstance(rows[0].event, ALONE)):
        return False
    try:
        after = source.moments(bad, 2)
    except Unreadable:
        return True
    there = any(row[2] == bad for row in after)
    return not there or any(row[:2] == _moment(rows[-1]) for row in after)


def _count(source: Store, last: int) -> int:
    """Rows after a position, as far as the damaged store shows them."""
    try:
        return source.count(last)
    except Unreadable:
        return 0


# -- taking them ------------------------------------------------------------------------------------------------------


class _Taker:
    """Writes rows and what they need into a new journal.

    Raises:
        RunError: on opening, as `open_store` and `open_target`.
    """

    def __init__(self, source: Path, target: Path):
        self.source = open_store(source)
        try:
            self._target = open_target(target)
        except BaseException:
            self.source.close()
            raise
        self.last = 0
        self._epoch = 0
        self._waiting: Together = []
        self._there: set[str] = set()

    def take(self, rows: Together) -> None:
        self._waiting += rows
        if len(self._waiting) >= BATCH:
            self._write()
        if rows:
            self.last, self._epoch = rows[-1].position, rows[-1].columns[1]

    def finish(self) -> None:
        """Write what is waiting; the next engine is a newer one than those whose facts were taken."""
        self._write()
        self._target.finish(self._epoch)

    def close(self) -> None:
        self.source.close()
        self._target.close()

    def _write(self) -> None:
        contents: list[tuple[str, Content]] = []
        for digest in {digest: None for row in self._waiting for digest in row.contents}:
            content = None if digest in self._there else self.source.content(digest)
            if content is not None:
                self._there.add(digest)
                contents.append((digest, content))
        self._target.write(self._waiting, contents)
        self._waiting = []
