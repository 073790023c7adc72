"""The server: what can be asked for, and the stream of news.

What is asked for is read from journals and workspaces; what is to be done goes to the run's own control socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from megaagent.control import Request, ask
from megaagent.dashboard import critical, files, journal, lanes, people
from megaagent.dashboard.assets import assets
from megaagent.dashboard.files import Files
from megaagent.dashboard.follower import TICK, Follower, Readings
from megaagent.dashboard.guard import Guard, Scope, add_headers
from megaagent.dashboard.overview import COLUMNS, STANDS
from megaagent.dashboard.runs import Runs, standing
from megaagent.dashboard.stream import stream_changes, stream_facts
from megaagent.errors import ConfigurationError, MegaAgentError, RunError, ToolError
from megaagent.folder import RunFolder

T = TypeVar("T")

LARGEST: Final = 1 << 16  # bytes of a request
FOLLOWED: Final = 4  # runs at once; the one that was not asked about for longest is let go
IDLE: Final = 60.0  # seconds after which a run that nobody asks about is followed no longer
MOST_LANES: Final = 200
COMPRESSED: Final = 4_000  # bytes from which on it pays


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """The token with which a browser enters."""

    token: str


class Fork(msgspec.Struct, forbid_unknown_fields=True):
    """Where a new run parts from this one, and what its boss is told."""

    at: int
    say: str = ""


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """A new run: a goal with a model, or a scenario."""

    goal: str = ""
    model: str = ""
    scenario: str = ""
    max_cost: float | None = None


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """An ended run that is to go on, perhaps with another cap."""

    max_cost: float | None = None


class Dashboard:
    """The web view of the runs in a folder, from `start` to `close`.

    Args:
        runs: which runs.
        guard: who may ask.
    """

    def __init__(self, runs: Runs, guard: Guard):
        self._runs = runs
        self._guard = guard
        self._assets = assets()
        self._followers: dict[str, Follower] = {}
        self._files: dict[str, Files] = {}
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._parting: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Answer what comes in on a socket that is bound already."""
        self._runner = web.AppRunner(self.application(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listening, ssl_context=tls).start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        self._closing.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for run in list(self._followers):
            self._let_go(run)
        self._runs.close()
        await asyncio.gather(*self._parting)
        if self._runner is not None:
            await self._runner.cleanup()

    def application(self) -> web.Application:
        """The routes behind the guard."""
        app = web.Application(client_max_size=LARGEST, middlewares=[self._guard.middleware, _told])
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name:.+}", self._static)
        app.router.add_get("/api/session", self._session)
        app.router.add_post("/api/session", self._enter)
        app.router.add_get("/api/runs", self._list)
        app.router.add_post("/api/runs", self._start)
        of_run = {
            "organization": self._organization,
            "progress": self._progress,
            "changes": self._changes,
            "facts": self._facts,
            "journal": self._journal,
            "fact": self._fact,
            "agent": self._agent,
            "conversation": self._conversation,
            "timeline": self._timeline,
            "critical": self._critical,
            "debts": self._debts,
            "questions": self._questions,
            "costs": self._costs,
            "talks": self._talks,
            "files": self._file_names,
            "file": self._file,
            "history": self._history,
            "change": self._change,
        }
        for name, handler in of_run.items():
            app.router.add_get(f"/api/runs/{{run}}/{name}", handler)
        app.router.add_post("/api/runs/{run}/control", self._control)
        app.router.add_post("/api/runs/{run}/fork", self._fork)
        app.router.add_post("/api/runs/{run}/resume", self._resume)
        return app

    # -- the page -----------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._asset(request, "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._asset(request, request.match_info["name"])

    def _asset(self, request: web.Request, name: str) -> web.StreamResponse:
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound
        headers = {"ETag": asset.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == asset.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.data, content_type=asset.type, charset="utf-8", headers=headers)

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        key, session = self._guard.enter((await _body(request, Said)).token)
        response = _json(_of_session(session.scope, session.csrf, self._runs.only))
        self._guard.set_cookie(response, key)
        return response

    async def _session(self, request: web.Request) -> web.StreamResponse:
        session = self._guard.session(request)
        return _json(_of_session(session.scope, session.csrf, self._runs.only))

    # -- runs ---------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return _json({"runs": await self._runs.told()})

    async def _organization(self, request: web.Request) -> web.StreamResponse:
        follower = self._follower(request)
        delta = await follower.ask(lambda it: it.overview.delta(0))
        live = await standing(follower.folder) is not None
        head = {
            "columns": COLUMNS,
            "stands": STANDS,
            "lanes": lanes.KINDS,
            "kinds": sorted(journal.KINDS),
            "live": live,
        }
        return _json({**head, **msgspec.to_builtins(delta)})

    async def _progress(self, request: web.Request) -> web.StreamResponse:
        follower = self._follower(request)
        return _json({"position": follower.position, "last": follower.last})

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        return await stream_changes(request, self._follower(request), self._closing)

    async def _facts(self, request: web.Request) -> web.StreamResponse:
        return await stream_facts(request, self._follower(request), self._closing)

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        kinds = tuple(kind for kind in given.get("kinds", "").split(",") if kind)
        unknown = [kind for kind in kinds if kind not in journal.KINDS and kind != "interventions"]
        if unknown:
            raise web.HTTPBadRequest(text=f"there is no kind of fact {unknown[0]!r}")
        wanted = journal.Wanted(
            before=_number(given.get("before")),
            after=_number(given.get("after")) or 0,
            kinds=journal.INTERVENTIONS if kinds == ("interventions",) else kinds,
            agent=given.get("agent") or None,
            text=given.get("text", "")[:200],
            limit=_number(given.get("limit")) or 60,
            oldest=given.get("order") == "oldest",
        )
        return await self._answer(request, lambda it: journal.page(it, wanted))

    async def _fact(self, request: web.Request) -> web.StreamResponse:
        position = _number(request.query.get("position")) or 0
        return await self._answer(request, lambda it: journal.whole(it, position))

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        id = request.query.get("id", "")
        return await self._answer(request, lambda it: people.agent(it, id))

    async def _conversation(self, request: web.Request) -> web.StreamResponse:
        id, before = request.query.get("id", ""), _number(request.query.get("before"))
        return await self._answer(request, lambda it: people.conversation(it, id, before, 40))

    async def _timeline(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        start, end = _seconds(given.get("start")), _seconds(given.get("end"))
        agents = given.getall("agent", [])[:MOST_LANES]
        groups = given.getall("group", [])[:MOST_LANES]
        bins = max(10, min(2000, _number(given.get("bins")) or 600))
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
        return await self._answer(request, critical.critical_path)

    async def _debts(self, request: web.Request) -> web.StreamResponse:
        status = request.query.get("status", "open")
        return await self._answer(request, lambda it: {**people.debts(it, status), "checklists": people.checklists(it)})

    async def _questions(self, request: web.Request) -> web.StreamResponse:
        def read(it: Readings) -> dict[str, Any]:
            open_ones = set(it.overview.state.run.questions)
            asked = [journal.whole(it, position) for position in it.by_kind["QuestionAsked"][-200:]]
            answered = [journal.whole(it, position) for position in it.by_kind["QuestionAnswered"][-200:]]
            return {"asked": asked, "answered": answered, "open": sorted(open_ones)}

        return await self._answer(request, read)

    async def _costs(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda it: it.costs.told(it.overview))

    async def _talks(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request, lambda it: [(a, b, count) for (a, b), count in it.overview.talks.most_common(4000)]
        )

    # -- files --------------------------------------------------------------------------------------------------

    async def _file_names(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda it: self._opened(it).names())

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path, revision = request.query.get("path", ""), request.query.get("revision") or None
        return await self._answer(request, lambda it: self._opened(it).content(path, revision))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        path = request.query.get("path") or None
        return await self._answer(
            request,
            lambda it: {"commits": self._opened(it).history(path), "conflicts": files.conflicts(it, path)},
        )

    async def _change(self, request: web.Request) -> web.StreamResponse:
        given = request.query
        path, old, new = given.get("path", ""), given.get("old") or None, given.get("new", "")
        return await self._answer(request, lambda it: self._opened(it).change(path, old, new))

    def _opened(self, readings: Readings) -> Files:
        """The run's workspace; called in the run's own thread."""
        id = readings.folder.id
        if id not in self._files:
            self._files[id] = Files(readings.folder)
        return self._files[id]

    # -- acting -------------------------------------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._folder(request), await _body(request, Request)
        answer = await ask(folder.socket, wanted)
        return _json(answer, status=200 if answer.ok else 409)

    async def _fork(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._folder(request), await _body(request, Fork)
        said = [f"--say={wanted.say}"] if wanted.say.strip() else []
        return _json({"run": await self._runs.begin(["fork", folder.id, f"--at={wanted.at}", *said])})

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._folder(request), await _body(request, Resume)
        cap = [f"--max-cost={wanted.max_cost}"] if wanted.max_cost is not None else []
        await self._runs.begin(["resume", folder.id, *cap], folder)
        return _json({"run": folder.id})

    async def _start(self, request: web.Request) -> web.StreamResponse:
        wanted = await _body(request, Start)
        if self._runs.only is not None:
            raise web.HTTPForbidden(text="this server shows one run only: start others with megaagent serve")
        model = [f"--model={wanted.model}"] if wanted.model else []
        cap = [f"--max-cost={wanted.max_cost}"] if wanted.max_cost is not None else []
        what = [f"--scenario={wanted.scenario}"] if wanted.scenario else ["--", wanted.goal]
        return _json({"run": await self._runs.begin(["run", *model, *cap], goal=what)})

    # -- followers ----------------------------------------------------------------------------------------------

    def _folder(self, request: web.Request) -> RunFolder:
        folder = self._runs.find(request.match_info["run"])
        if folder is None:
            raise web.HTTPNotFound(text="there is no such run")
        return folder

    def _follower(self, request: web.Request) -> Follower:
        folder = self._folder(request)
        follower = self._followers.get(folder.id)
        if follower is not None and follower.problem is not None:  # it may be readable by now
            self._let_go(folder.id)
            follower = None
        if follower is None:
            follower = self._followers[folder.id] = Follower(folder)
        follower.used = asyncio.get_running_loop().time()
        return follower

    async def _answer(self, request: web.Request, question: Callable[[Readings], T]) -> web.StreamResponse:
        return _json(await self._follower(request).ask(question))

    async def _sweep(self) -> None:
        """Let go of runs that nobody looks at."""
        while True:
            await asyncio.sleep(IDLE / 4)
            now = asyncio.get_running_loop().time()
            idle = sorted((f.used, run) for run, f in self._followers.items() if not f.users)
            for place, (used, run) in enumerate(idle):
                if now - used > IDLE or place < len(self._followers) - FOLLOWED:
                    self._let_go(run)

    def _let_go(self, run: str) -> None:
        """Forget a run at once; its thread and files are closed in the background."""
        follower, opened = self._followers.pop(run), self._files.pop(run, None)

        async def part() -> None:
            await follower.close()
            if opened is not None:
                opened.close()

        task = asyncio.create_task(part())
        self._parting.add(task)
        task.add_done_callback(self._parting.discard)


@web.middleware
async def _told(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Failures in words, as text; what a browser was sent is never part of a page."""
    try:
        response: web.StreamResponse = await handler(request)
    except (RunError, ToolError, ConfigurationError) as error:
        return web.Response(status=409, text=str(error))
    except MegaAgentError as error:
        return web.Response(status=400, text=str(error))
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes) and len(body) > COMPRESSED:
        response.enable_compression()
    return response


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _of_session(scope: Scope, csrf: str, only: str | None) -> dict[str, Any]:
    return {"scope": scope, "csrf": csrf, "only": only, "tick": TICK}


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=f"not what is expected here: {error}") from error


def _number(given: str | None) -> int | None:
    if given is None or given == "":
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise web.HTTPBadRequest(text=f"not a number: {given[:40]!r}")
    return int(given)


def _seconds(given: str | None) -> float:
    try:
        value = float(given or "")
    except ValueError:
        raise web.HTTPBadRequest(text="not a time") from None
    if not 0 <= value < 1e12:
        raise web.HTTPBadRequest(text="not a time")
    return value
