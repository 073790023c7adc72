"""How contents are kept: compressed where that makes them smaller."""

from __future__ import annotations

import zlib


def packed(data: bytes) -> tuple[bool, bytes]:
    """Whether a content is kept compressed, and what is kept."""
    smaller = zlib.compress(data)
    return (True, smaller) if len(smaller) < len(data) else (False, data)


def unpacked(is_packed: int, data: object) -> bytes:
    """A content as it was.

    Raises:
        ValueError: what was kept is damaged.
    """
    if not isinstance(data, bytes):
        raise ValueError("what is kept is no longer bytes")
    try:
        return zlib.decompress(data) if is_packed else data
    except zlib.error as error:
        raise ValueError(str(error)) from error
