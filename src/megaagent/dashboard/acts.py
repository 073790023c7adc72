"""What can be done to a run from the page: its own control's calls, and engines that are begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from megaagent.control import Request, ask
from megaagent.dashboard.answers import as_json, body_of
from megaagent.dashboard.pool import Pool
from megaagent.dashboard.runs import Runs
from megaagent.readings.summary import standing

FILE: Final = 900_000  # bytes of a request that holds one


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """A file as it is to be, or that it is to go; `base` is the revision at which the person saw it."""

    path: str
    text: str | None = None
    base: str = ""


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


class Acts:
    """The routes that change something."""

    def __init__(self, pool: Pool, runs: Runs):
        self._pool = pool
        self._runs = runs

    def routes(self) -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        """Those below `/api/runs/RUN/`."""
        return {"control": self._control, "file": self._file, "fork": self._fork, "resume": self._resume}

    async def _control(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._pool.folder(request), await body_of(request, Request)
        answer = await ask(folder.socket, wanted)
        return as_json(answer, status=200 if answer.ok else 409)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._pool.folder(request), await body_of(request, Change, FILE)
        what = Request("remove" if wanted.text is None else "write", wanted.path, wanted.text or "", base=wanted.base)
        answer = await ask(folder.socket, what)
        return as_json(answer, status=200 if answer.ok else 409)

    async def _fork(self, request: web.Request) -> web.StreamResponse:
        self._check_place()
        folder, wanted = self._pool.folder(request), await body_of(request, Fork)
        said = [f"--say={wanted.say}"] if wanted.say.strip() else []
        return as_json({"run": await self._runs.begin(["fork", f"--at={wanted.at}", *said], goal=["--", folder.id])})

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        folder, wanted = self._pool.folder(request), await body_of(request, Resume)
        if await standing(folder) is not None:
            raise web.HTTPConflict(text="the run is going on")
        cap = [f"--max-cost={wanted.max_cost}"] if wanted.max_cost is not None else []
        await self._runs.begin(["resume", *cap], folder, ["--", folder.id])
        return as_json({"run": folder.id})

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Begin a run."""
        self._check_place()
        wanted = await body_of(request, Start)
        model = [f"--model={wanted.model}"] if wanted.model else []
        cap = [f"--max-cost={wanted.max_cost}"] if wanted.max_cost is not None else []
        what = [f"--scenario={wanted.scenario}"] if wanted.scenario else ["--", wanted.goal]
        return as_json({"run": await self._runs.begin(["run", *model, *cap], goal=what)})

    def _check_place(self) -> None:
        if self._runs.only is not None:
            raise web.HTTPForbidden(text="this server shows one run only: start others with megaagent serve")
