"""The streams of news (server-sent events). The id of each is a position in the journal, so a browser that lost the
connection says with `Last-Event-ID` how far it has read, and misses nothing and hears nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from megaagent.dashboard.follower import TICK, Follower
from megaagent.readings.fold import Readings
from megaagent.readings.pages import CUT, shown

HEARTBEAT: Final = 15.0  # seconds without news after which a comment says that the connection lives
MOST_FACTS: Final = 500  # facts in one piece
STREAMS: Final = 32  # of one run at once

Piece = tuple[int, bytes]
More = Callable[[int], Awaitable[tuple[int, list[Piece]]]]


async def stream_changes(request: web.Request, follower: Follower, closing: asyncio.Event) -> web.StreamResponse:
    """`change` events: the header and the rows that changed since the last one, a few times a second at most."""

    async def more(after: int) -> tuple[int, list[Piece]]:
        delta = await follower.ask(lambda it: it.overview.delta(after))
        return delta.position, [(delta.position, msgspec.json.encode(delta))]

    return await _stream(request, follower, closing, "change", more)


async def stream_facts(request: web.Request, follower: Follower, closing: asyncio.Event) -> web.StreamResponse:
    """`fact` events: every fact after the position that was named, one by one."""

    async def more(after: int) -> tuple[int, list[Piece]]:
        def read(it: Readings) -> list[Piece]:
            found = it.reader.records(after, limit=MOST_FACTS, bodies=False)
            return [(record.position, msgspec.json.encode(shown(it, record, CUT))) for record in found]

        pieces = await follower.ask(read)
        return (pieces[-1][0] if pieces else after), pieces

    return await _stream(request, follower, closing, "fact", more)


async def _stream(
    request: web.Request, follower: Follower, closing: asyncio.Event, name: str, more: More
) -> web.StreamResponse:
    position = _begin(request)
    if follower.users >= STREAMS:
        raise web.HTTPServiceUnavailable(text="too many watch this run already")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    follower.users += 1
    try:
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        while not closing.is_set() and follower.problem is None:
            if await follower.beyond(position, HEARTBEAT) <= position:
                await response.write(b": still there\n\n")
                continue
            position, pieces = await more(position)
            # Waits while the other side is slow: what it missed meanwhile comes as one difference.
            await response.write(
                b"".join(b"id: %d\nevent: %s\ndata: %s\n\n" % (at, name.encode(), data) for at, data in pieces)
            )
            if name == "change":
                await asyncio.sleep(TICK)
    except (ConnectionError, asyncio.CancelledError):
        pass  # the browser went away, or the server ends
    finally:
        follower.users -= 1
        follower.used = asyncio.get_running_loop().time()
    return response


def _begin(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID") or request.query.get("after") or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise web.HTTPBadRequest(text="Last-Event-ID is no position in the journal")
    return int(given)
