"""How often Python's collector of circular garbage looks, while a run goes on."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

ALLOCATIONS: Final = 50_000  # more containers made than freed, from which the youngest are looked at (Python's: 700)


@contextmanager
def rarely_collecting() -> Generator[None]:
    """Let the collector look less often.

    A step makes thousands of small values, hardly any of them in a circle: with Python's own threshold a sixth of the
    engine's time goes into looking for them. A collector that was told to look even less often is left alone.
    """
    before = gc.get_threshold()
    if 0 < before[0] < ALLOCATIONS:
        gc.set_threshold(ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
