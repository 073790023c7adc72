"""The runs that are looked at: each is followed while somebody asks about it, and let go after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp import web

from megaagent.dashboard.follower import Follower
from megaagent.dashboard.runs import Runs
from megaagent.folder import RunFolder
from megaagent.readings.files import Files
from megaagent.readings.fold import Readings

T = TypeVar("T")

FOLLOWED: Final = 24  # runs at once; the one that was not asked about for longest is let go
IDLE: Final = 150.0  # seconds after which a run that nobody asks about is followed no longer; Prometheus asks every 60


class Pool:
    """Followers by run, from `start` to `close`.

    Args:
        runs: which runs may be looked at.
    """

    def __init__(self, runs: Runs):
        self._runs = runs
        self._followers: dict[str, Follower] = {}
        self._files: dict[str, Files] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._parting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for run in list(self._followers):
            self._let_go(run)
        await asyncio.gather(*self._parting)

    def folder(self, request: web.Request) -> RunFolder:
        """The run that a request names.

        Raises:
            HTTPNotFound: there is none.
        """
        folder = self._runs.find(request.match_info["run"])
        if folder is None:
            raise web.HTTPNotFound(text="there is no such run")
        return folder

    def follower(self, request: web.Request) -> Follower:
        """Who follows the run that a request names."""
        return self._follower(self.folder(request))

    def follow(self, run: str) -> Follower | None:
        """Who follows the run of that name; None when there is none."""
        folder = self._runs.find(run)
        return None if folder is None else self._follower(folder)

    def _follower(self, folder: RunFolder) -> Follower:
        follower = self._followers.get(folder.id)
        if follower is not None and follower.problem is not None:  # it may be readable by now
            self._let_go(folder.id)
            follower = None
        if follower is None:
            follower = self._followers[folder.id] = Follower(folder)
        follower.used = asyncio.get_running_loop().time()
        return follower

    async def ask(self, request: web.Request, question: Callable[[Readings], T]) -> T:
        """The answer to a question about the run that a request names."""
        return await self.follower(request).ask(question)

    def opened(self, readings: Readings) -> Files:
        """The run's workspace; called in the run's own thread."""
        id = readings.folder.id
        if id not in self._files:
            self._files[id] = Files(readings.folder)
        return self._files[id]

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
