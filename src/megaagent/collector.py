"""When Python's collector of circular garbage looks while a run goes on, and that freed memory goes back."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

LOOKED: Final = 20_000  # more containers made than freed, after which memory is looked at
GROWN: Final = 512 << 20  # bytes, or
SHARE: Final = 1 / 16  # of the machine's memory, by which that of the process must have grown
TRIM_THRESHOLD: Final = -1  # the name of that setting in glibc's malloc.h
KEPT: Final = 128 << 10  # bytes, glibc's own value to begin with
CONTAINER: Final = 200  # bytes of one, where the system does not say how much memory there is


@contextmanager
def rarely_collecting(grown: float | None = None) -> Generator[Callable[[object], None]]:
    """Let the collector look when memory has grown, and not by the number of new values.

    The engine makes no circular garbage, but many values that stay: looking through them took a sixth of its time at
    Python's own thresholds, and stopped it for a tenth of a second now and then at higher ones. What libraries and
    tools leave in circles is found when it has become much.

    A collector that was turned off already is left alone.

    Args:
        grown: bytes by which memory must have grown, and at least doubled, since it looked last; `GROWN`, or `SHARE` of
            the machine's memory where that is less, unless told otherwise.

    Yields:
        What is to be called often, with whatever: a listener of the journal.
    """
    if not gc.isenabled():
        yield lambda _: None
        return
    gc.disable()
    _give_back()
    try:
        yield _Watch(min(GROWN, SHARE * _of_machine()) if grown is None else grown).look
    finally:
        gc.enable()


def _give_back() -> None:
    """Have freed memory returned at once: after one large piece was freed glibc's malloc keeps up to 64 MB of it."""
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(TRIM_THRESHOLD, KEPT)


class _Watch:
    def __init__(self, grown: float):
        self._grown = grown
        self._memory = resident()
        self._next = gc.get_count()[0] + LOOKED

    def look(self, _: object) -> None:
        count = gc.get_count()[0]
        if count < self._next:
            return
        self._next = count + LOOKED
        memory = resident()
        if memory - self._memory > max(self._grown, self._memory):
            gc.collect()
            self._memory, self._next = resident(), LOOKED


def _of_machine() -> float:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # a system that does not say
        return float("inf")


def resident() -> int:
    """Resident memory of this process in bytes, or a guess by the number of containers made since it was collected."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return gc.get_count()[0] * CONTAINER
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
