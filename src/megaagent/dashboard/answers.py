"""What requests carry and answers are made of, with one clear refusal for everything that does not fit."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")

LARGEST: Final = 1 << 16  # bytes of a request that holds no file
COMPRESSED: Final = 4_000  # bytes from which on it pays


def as_json(value: Any, status: int = 200) -> web.Response:
    """A value as JSON, compressed when it is long."""
    response = web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
    if isinstance(response.body, bytes) and len(response.body) > COMPRESSED:
        response.enable_compression()
    return response


async def body_of(request: web.Request, kind: type[T], most: int = LARGEST) -> T:
    """What a request of at most so many bytes says, if it is of that kind.

    Raises:
        HTTPBadRequest: it is not.
        HTTPRequestEntityTooLarge: it is longer.
    """
    body = await request.read()
    if len(body) > most:
        raise web.HTTPRequestEntityTooLarge(most, len(body))
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=f"not what is expected here: {error}") from error


def number(given: str | None) -> int | None:
    """A position or count from an address; None when there is none."""
    if given is None or given == "":
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise web.HTTPBadRequest(text=f"not a number: {given[:40]!r}")
    return int(given)


def seconds(given: str | None) -> float:
    """A time from an address, in seconds since 1970."""
    try:
        value = float(given or "")
    except ValueError:
        raise web.HTTPBadRequest(text="not a time") from None
    if not 0 <= value < 1e12:
        raise web.HTTPBadRequest(text="not a time")
    return value
