"""Writes of many agents, committed together: who comes while a batch is written is in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from megaagent.events import Revision
from megaagent.workspace.contract import Committed, Conflict, Done, Stamp, Write
from megaagent.workspace.workspace import Workspace, only

MOST = 128  # writes in one batch: readers see them a little later, and the interpreter is shared meanwhile
LARGEST = 16 << 20  # bytes of one batch

_Waiting = tuple[Write, "asyncio.Future[Done]"]


class Queue:
    """The writes of an event loop: one thread at most is busy with them, however many agents write.

    Args:
        blocking: runs a function that blocks, such as `asyncio.to_thread`.
    """

    def __init__(self, workspace: Workspace, blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread):
        self._workspace = workspace
        self._blocking = blocking
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, path: str, content: bytes, base: Revision | None, stamp: Stamp) -> Committed | Conflict:
        """Commit one file, as `Workspace.write`."""
        return only(await self._put(Write({path: content}, base, stamp)))

    async def write_many(
        self, changes: Mapping[str, bytes | None], base: Revision, stamp: Stamp
    ) -> tuple[list[tuple[str, Committed]], list[Conflict]]:
        """Commit several files, as `Workspace.write_many`."""
        done = await self._put(Write(changes, base, stamp))
        return list(done.committed), list(done.conflicts)

    async def _put(self, write: Write) -> Done:
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, done))
        if self._task is None:
            # A task of its own: the one that came first may be called off while others wait for the same batch.
            self._task = asyncio.create_task(self._drain(), name="workspace writes")
        return await done

    async def _drain(self) -> None:
        try:
            while batch := self._next():
                outcomes: list[Done | Exception]
                try:
                    outcomes = await self._blocking(self._workspace.commit, [write for write, _ in batch])
                except Exception as error:
                    outcomes = [error for _ in batch]
                for (_, done), outcome in zip(batch, outcomes, strict=True):
                    if done.done():
                        continue  # called off meanwhile; its commit is adopted when the step is carried on
                    if isinstance(outcome, Exception):
                        done.set_exception(outcome)
                    else:
                        done.set_result(outcome)
        finally:
            self._task = None

    def _next(self) -> list[_Waiting]:
        """Those who have waited longest, and still do."""
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]
        size = count = 0
        for write, _ in self._waiting[:MOST]:
            size += sum(len(content or b"") for content in write.changes.values())
            if count and size > LARGEST:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch
