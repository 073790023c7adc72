"""What can be asked about one run: readings of its journal and its workspace, by the name of the route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, get_args

import msgspec
from aiohttp import web

from megaagent import events as ev
from megaagent.dashboard.answers import as_json, number, seconds
from megaagent.dashboard.pool import Pool
from megaagent.dashboard.stream import stream_changes, stream_facts
from megaagent.events import BOSS
from megaagent.readings import about, files, lanes, pages, people
from megaagent.readings.fold import Readings
from megaagent.readings.overview import COLUMNS, STANDS, Delta
from megaagent.readings.summary import standing

T = TypeVar("T")

MOST_LANES: Final = 200
KINDS: Final = {kind.__name__: kind for kind in get_args(ev.AnyEvent)}


class Views:
    """The routes below `/api/runs/RUN/` that change nothing.

    Args:
        closing: set when the server ends; the streams end with it.
    """

    def __init__(self, pool: Pool, closing: asyncio.Event):
        self._pool = pool
        self._closing = closing

    def routes(self) -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        return {
            "organization": self._organization,
            "progress": self._progress,
            "changes": self._changes,
            "facts": self._facts,
            "journal": self._journal,
            "fact": self._fact,
            "records": self._records,
            "agent": self._agent,
            "conversation": self._conversation,
            "timeline": self._timeline,
            "critical": self._critical,
            "debts": self._debts,
            "asked": self._asked,
            "waits": self._waits,
            "about": self._about,
            "costs": self._costs,
            "talks": self._talks,
            "files": self._file_names,
            "file": self._file,
            "text": self._text,
            "history": self._history,
            "change": self._change,
        }

    async def _organization(self, request: web.Request) -> web.StreamResponse:
        follower = self._pool.follower(request)
        after = number(request.query.get("after")) or 0
        live = await standing(follower.folder) is not None  # asked first: a run that ends meanwhile was not cut off

        def read(it: Readings) -> Delta:
            it.take_in_more()
            return it.overview.delta(after)

        delta = await follower.ask(read)
        head = {
            "columns": COLUMNS,
            "stands": STANDS,
            "lanes": lanes.KINDS,
            "kinds": sorted(pages.KINDS),
            "live": live,
        }
        return as_json({**head, **msgspec.to_builtins(delta)})

    async def _progress(self, request: web.Request) -> web.StreamResponse:
        follower = self._pool.follower(request)
        return as_json({"position": follower.position, "last": follower.last})

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        return await stream_changes(request, self._pool.follower(request), self._closing)

    async def _facts(self, request: web.Request) -> web.StreamResponse:
        return await stream_facts(request, self._pool.follower(request), self._closing)

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        kinds = tuple(kind for kind in given.get("kinds", "").split(",") if kind)
        unknown = [kind for kind in kinds if kind not in pages.KINDS and kind != "interventions"]
        if unknown:
            raise web.HTTPBadRequest(text=f"there is no kind of fact {unknown[0]!r}")
        wanted = pages.Wanted(
            before=number(given.get("before")),
            after=number(given.get("after")) or 0,
            kinds=pages.INTERVENTIONS if kinds == ("interventions",) else kinds,
            agent=given.get("agent") or None,
            text=given.get("text", "")[:200],
            limit=number(given.get("limit")) or 60,
            oldest=given.get("order") == "oldest",
        )
        return await self._answer(request, lambda it: pages.page(it, wanted))

    async def _fact(self, request: web.Request) -> web.StreamResponse:
        position = number(request.query.get("position")) or 0
        return await self._answer(request, lambda it: pages.whole(it, position))

    async def _records(self, request: web.Request) -> web.StreamResponse:
        """Facts as they are, for programs: a page that ends early when it is heavy; the last one is empty."""
        given = request.query
        names = [name for name in given.get("kinds", "").split(",") if name]
        if unknown := [name for name in names if name not in KINDS]:
            raise web.HTTPBadRequest(text=f"there is no kind of fact {unknown[0]!r}")
        after, agent = number(given.get("after")) or 0, given.get("agent") or None
        limit = min(pages.MOST_RAW, number(given.get("limit")) or pages.MOST_RAW)
        kinds, bodies = [KINDS[name] for name in names] or None, given.get("bodies") != "0"

        def read(it: Readings) -> list[ev.Record]:
            return pages.raw(it.reader.records(after, agent=agent, kinds=kinds, limit=limit, bodies=bodies))

        return await self._answer(request, read)

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        id = request.query.get("id", "")
        return await self._answer(request, lambda it: people.agent(it, id))

    async def _conversation(self, request: web.Request) -> web.StreamResponse:
        id, before = request.query.get("id", ""), number(request.query.get("before"))
        return await self._answer(request, lambda it: people.conversation(it, id, before, 40))

    async def _timeline(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        start, end = seconds(given.get("start")), seconds(given.get("end"))
        agents = given.getall("agent", [])[:MOST_LANES]
        groups = given.getall("group", [])[:MOST_LANES]
        bins = max(10, min(2000, number(given.get("bins")) or 600))
        if end <= start:
            raise web.HTTPBadRequest(text="the window ends before it begins")

        def read(it: Readings) -> dict[str, Any]:
            state, grain = it.overview.state, (end - start) / bins
            return {
                "first": it.overview.first,
                "last": it.lanes.last,
                "lanes": {id: it.lanes.spans(id, start, end, grain) for id in agents},
                "groups": {
                    id: it.lanes.density((member.id for member in state.subtree(id)), start, end, bins)
                    for id in groups
                    if id in state.members
                },
            }

        return await self._answer(request, read)

    async def _critical(self, request: web.Request) -> web.StreamResponse:
        def read(it: Readings) -> dict[str, Any]:
            run = it.overview.state.run
            path = it.critical.path(run.last)
            whole = run.last - it.overview.first
            return {
                "steps": [(link.agent, link.step, link.start, link.end) for link in path.links],
                "seconds": round(path.seconds, 3),
                "share": round(path.seconds / whole, 4) if whole > 0 else 0.0,
            }

        return await self._answer(request, read)

    async def _debts(self, request: web.Request) -> web.StreamResponse:
        status = request.query.get("status", "open")
        return await self._answer(request, lambda it: {**people.debts(it, status), "checklists": people.checklists(it)})

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, people.asked)

    async def _waits(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, people.waits)

    async def _about(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, about.about)

    async def _costs(self, request: web.Request) -> web.StreamResponse:
        root = request.query.get("root") or BOSS
        return await self._answer(request, lambda it: it.costs.told(it.overview, root))

    async def _talks(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request, lambda it: [(a, b, count) for (a, b), count in it.overview.talks.most_common(4000)]
        )

    async def _file_names(self, request: web.Request) -> web.StreamResponse:
        def read(it: Readings) -> dict[str, Any]:
            commits = it.reader.records(kinds=[ev.FileCommitted], bodies=False)
            return {**self._pool.opened(it).names(), "written": files.written(commits)}

        return await self._answer(request, read)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path, revision = request.query.get("path", ""), request.query.get("revision") or None
        return await self._answer(request, lambda it: self._pool.opened(it).content(path, revision))

    async def _text(self, request: web.Request) -> web.StreamResponse:
        path = request.query.get("path", "")
        return await self._answer(request, lambda it: self._pool.opened(it).text(path))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        path = request.query.get("path") or None
        return await self._answer(
            request,
            lambda it: {"commits": self._pool.opened(it).history(path), "conflicts": files.conflicts(it, path)},
        )

    async def _change(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        path, old, new = given.get("path", ""), given.get("old") or None, given.get("new", "")
        return await self._answer(request, lambda it: self._pool.opened(it).change(path, old, new))

    async def _answer(self, request: web.Request, question: Callable[[Readings], T]) -> web.StreamResponse:
        return as_json(await self._pool.ask(request, question))
