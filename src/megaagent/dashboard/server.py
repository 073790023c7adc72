"""The server: routes behind the guard.

What is asked for is read from journals and workspaces; what is to be done goes to the run's own control socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from megaagent.dashboard import metrics
from megaagent.dashboard.acts import FILE, Acts
from megaagent.dashboard.answers import as_json, body_of
from megaagent.dashboard.assets import assets
from megaagent.dashboard.follower import TICK
from megaagent.dashboard.guard import Guard, Session, add_headers
from megaagent.dashboard.pool import Pool
from megaagent.dashboard.runs import Runs
from megaagent.dashboard.views import Views
from megaagent.errors import ConfigurationError, MegaAgentError, RunError, ToolError


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """The token with which a browser enters."""

    token: str


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
        self._pool = Pool(runs)
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Answer what comes in on a socket that is bound already."""
        self._runner = web.AppRunner(self.application(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listening, ssl_context=tls).start()
        self._pool.start()

    async def close(self) -> None:
        self._closing.set()
        self._runs.close()
        await self._pool.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def application(self) -> web.Application:
        """The routes behind the guard."""
        app = web.Application(client_max_size=FILE, middlewares=[self._guard.middleware, _told])
        app.on_response_prepare.append(add_headers)
        acts = Acts(self._pool, self._runs)
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name:.+}", self._static)
        app.router.add_get("/api/session", self._session)
        app.router.add_post("/api/session", self._enter)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/runs", self._list)
        app.router.add_post("/api/runs", acts.start)
        for name, handler in Views(self._pool, self._closing).routes().items():
            app.router.add_get(f"/api/runs/{{run}}/{name}", handler)
        for name, handler in acts.routes().items():
            app.router.add_post(f"/api/runs/{{run}}/{name}", handler)
        return app

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
        key, session = self._guard.enter((await body_of(request, Said)).token)
        response = as_json(self._told_of(session))
        self._guard.set_cookie(response, key)
        return response

    async def _session(self, request: web.Request) -> web.StreamResponse:
        session = self._guard.session(request)
        return as_json(self._told_of(session))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return as_json({"runs": await self._runs.told()})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        text = await metrics.told(self._runs, self._pool)
        return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})

    def _told_of(self, session: Session) -> dict[str, Any]:
        return {"scope": session.scope, "csrf": session.csrf, "only": self._runs.only, "tick": TICK}


@web.middleware
async def _told(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Failures in words, as text; what a browser was sent is never part of a page."""
    try:
        response: web.StreamResponse = await handler(request)
    except (RunError, ToolError, ConfigurationError) as error:
        return web.Response(status=409, text=str(error))
    except MegaAgentError as error:
        return web.Response(status=400, text=str(error))
    return response
