"""The disk of a run's folder in trouble: what must be written waits until it can be, and people are told why."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pygit2

from megaagent import events as ev
from megaagent.events import ENGINE, Fact
from megaagent.organization.state import State

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0  # seconds until a disk that took nothing is tried again
PASSING = {
    errno.ENOSPC: "the disk of the run's folder is full",
    errno.EDQUOT: "the disk of the run's folder is full",
    errno.EROFS: "the run's folder cannot be written",
    errno.EIO: "the disk of the run's folder reports errors",
}

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
        pause = FIRST_PAUSE
        writer = f"{id(asyncio.current_task())}"
        try:
            while True:
                try:
                    return await self._blocking(function, *arguments)
                except (OSError, pygit2.GitError) as error:
                    reason = reason_of(error)
                    if reason is None:
                        raise
                    self.tell(writer, reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.tell(writer, None)


def reason_of(error: OSError | pygit2.GitError) -> str | None:
    """What is wrong with the disk, in a few words; None when something else is the matter."""
    if isinstance(error, OSError) and error.errno is not None:
        return PASSING.get(error.errno)
    # libgit2 hands on the words of the system's error, not its number.
    return next((words for code, words in PASSING.items() if os.strerror(code) in str(error)), None)


def pause_that_was(state: State, reason: str) -> list[Fact]:
    """The facts of a pause that could not be recorded while it lasted; a pause that stands besides stands on."""
    run = state.run
    after: ev.AnyEvent = ev.RunUnpaused("the disk takes writes again")
    if run.paused is not None:
        after = ev.RunPaused(run.paused, "person" if run.held else "engine")
    return [Fact(ENGINE, 0, ev.RunPaused(reason)), Fact(ENGINE, 0, after)]
