"""One run, followed: its journal is folded as it grows, in a thread of its own that also answers for its state.

The event loop never waits for SQLite or a fold, and nothing of this state is touched by two threads at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from megaagent.errors import RunError
from megaagent.folder import RunFolder
from megaagent.readings.fold import Readings

T = TypeVar("T")

TICK: Final = 0.25  # seconds between two looks at the journal


class Follower:
    """Follows one run from the first question on until it is closed.

    Attributes:
        position: of the newest fact that is folded.
        last: of the newest fact that was there when the reading began.
        problem: why it cannot be read on.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.position = 0
        self.last = 0
        self.problem: str | None = None
        self.users = 0
        self.used = 0.0  # when somebody last asked, by the loop's time
        self._thread = ThreadPoolExecutor(1, f"follow {folder.id}")
        self._readings: Readings | None = None
        self._moved = asyncio.Condition()
        self._caught_up = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    async def ask(self, question: Callable[[Readings], T]) -> T:
        """The answer to a question about the run, as soon as everything that was there at the start is folded.

        Raises:
            RunError: the journal cannot be read.
        """
        self.used = asyncio.get_running_loop().time()
        await self._caught_up.wait()
        readings = self._readings
        if readings is None or self.problem is not None:
            raise RunError(self.problem or "the journal cannot be read")
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, readings)

    async def beyond(self, position: int, patience: float) -> int:
        """Wait until there is a later fact than that one, at most `patience` seconds; the newest position."""
        try:
            async with asyncio.timeout(patience), self._moved:
                await self._moved.wait_for(lambda: self.position > position or self.problem is not None)
        except TimeoutError:
            pass
        return self.position

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        readings, self._readings = self._readings, None
        if readings is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, readings.reader.close)
        self._thread.shutdown(wait=False)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(self._thread, Readings, self.folder)
            self._readings = readings
            self.last = await loop.run_in_executor(self._thread, readings.reader.last)
            while True:
                more = await loop.run_in_executor(self._thread, readings.take_in_more)
                if not more:
                    self._caught_up.set()
                await self._tell(readings.overview.position)
                if not more:
                    await asyncio.sleep(TICK)
        except RunError as error:
            self.problem = str(error)
        except asyncio.CancelledError:
            self.problem = "the server is being closed"
            raise
        finally:
            self._caught_up.set()
            await self._tell(self.position)

    async def _tell(self, position: int) -> None:
        if position != self.position or self.problem is not None:
            self.position = position
            async with self._moved:
                self._moved.notify_all()
