"""The disk of a run's folder, or its journal's database, in trouble: what must be written waits, people are told."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pygit2

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import ENGINE, Fact, Revision
from megaagent.journal.contract import DiskError
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.organization.state import State
from megaagent.runtimes.contract import Handle, Runtime
from megaagent.sandboxes.contract import Execution, Harvest, Program

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0  # seconds until a disk that took nothing is tried again
PASSING = {
    errno.ENOSPC: "the disk of {} is full",
    errno.EDQUOT: "the disk of {} is full",
    errno.EROFS: "{} cannot be written",
    errno.EIO: "the disk of {} reports errors",
}
RUN, COPIES = "the run's folder", "the folder for programs' copies"

T = TypeVar("T")
Watcher = Callable[[str | None], None]


class Disk:
    """Whether the disk takes what the journal and the workspace want to write.

    Nothing of the run's is lost meanwhile: every effect is recorded before the next begins, so a run whose records wait
    stands still by itself. The pause is a fact as soon as facts can be written again.

    Args:
        blocking: runs a function that blocks, such as `asyncio.to_thread`.
    """

    def __init__(self, blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread):
        self._blocking = blocking
        self._troubles: dict[str, str] = {}
        self._watchers: list[Watcher] = []

    @property
    def reason(self) -> str | None:
        """What is wrong now, in a few words."""
        return next(iter(self._troubles.values()), None)

    def watch(self, watcher: Watcher) -> None:
        """Be told what is wrong whenever that changes, and None when all is well again."""
        self._watchers.append(watcher)

    def tell(self, writer: str, reason: str | None) -> None:
        """A writer says that it waits, and why; or that it waits no more."""
        before = self.reason
        if reason is None:
            self._troubles.pop(writer, None)
        else:
            self._troubles[writer] = reason
        if self.reason != before:
            for watcher in self._watchers:
                watcher(self.reason)

    async def patiently(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function that blocks, again and again while the disk does not take what it writes."""
        return await self.repeatedly(partial(self._blocking, function, *arguments))

    async def repeatedly(self, act: Callable[[], Awaitable[T]], place: str = RUN) -> T:
        """Do something again and again while the disk does not take what it writes; `place` is told with the reason."""
        pause = FIRST_PAUSE
        writer = f"{id(asyncio.current_task())}"
        try:
            while True:
                try:
                    return await act()
                except (OSError, pygit2.GitError) as error:
                    reason = reason_of(error, place)
                    if reason is None:
                        raise
                    self.tell(writer, reason)
                except DiskError as error:  # of the journal, which was read
                    self.tell(writer, error.reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.tell(writer, None)


class PatientRuntime:
    """`Runtime` whose programs wait for room for their private copies.

    Args:
        inner: does the work.
        disk: waits, and tells.
    """

    def __init__(self, inner: Runtime, disk: Disk):
        self._inner = inner
        self._disk = disk
        self.level = inner.level

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        return await self._inner.complete(provider, request)

    async def start(self, program: Program, revision: Revision) -> Handle:
        handle = await self._disk.repeatedly(partial(self._inner.start, program, revision), COPIES)
        return PatientHandle(handle, self._disk)

    async def close(self) -> None:
        await self._inner.close()


class PatientHandle:
    """`Handle` whose files are read again when the disk reports errors."""

    def __init__(self, inner: Handle, disk: Disk):
        self._inner = inner
        self._disk = disk

    async def send(self, text: str) -> None:
        await self._inner.send(text)

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        return await self._inner.read(quiet, patience)

    async def stop(self) -> None:
        await self._inner.stop()

    async def wait(self) -> Execution:
        return await self._inner.wait()

    async def harvest(self) -> Harvest:
        return await self._disk.repeatedly(self._inner.harvest, COPIES)

    async def close(self) -> None:
        await self._inner.close()


@contextmanager
def no_beginning() -> Generator[None]:
    """What cannot be written before a run goes on is told as an error: there is nothing yet that could wait.

    Raises:
        RunError: naming what is wrong with the disk.
    """
    try:
        yield
    except (OSError, pygit2.GitError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise RunError(f"the run cannot begin or go on: {reason} ({error}); try again when that is mended") from error


def reason_of(error: OSError | pygit2.GitError, place: str = RUN) -> str | None:
    """What is wrong with the disk, in a few words; None when something else is the matter."""
    if isinstance(error, OSError) and error.errno is not None:
        words = PASSING.get(error.errno)
    else:
        # libgit2 hands on the words of the system's error, not its number.
        words = next((words for code, words in PASSING.items() if os.strerror(code) in str(error)), None)
    return None if words is None else words.format(place)


def pause_that_was(state: State, reason: str) -> list[Fact]:
    """The facts of a pause that could not be recorded while it lasted; a pause that stands besides stands on."""
    run = state.run
    after: ev.AnyEvent = ev.RunUnpaused("writes are taken again")
    if run.paused is not None:
        after = ev.RunPaused(run.paused, "person" if run.held else "engine")
    return [Fact(ENGINE, 0, ev.RunPaused(reason)), Fact(ENGINE, 0, after)]
