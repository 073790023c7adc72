"""The runs of a folder: what the list says of each, and new ones that are begun from the page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from megaagent.dashboard.engines import Engines
from megaagent.errors import RunError
from megaagent.folder import RunFolder, all_runs
from megaagent.readings.summary import Summary, standing

BEGINNING: Final = 30.0  # seconds in which a new run must listen
LOOK: Final = 0.1  # seconds between two looks whether it does
ENDINGS: Final = (0, 3, 4, 5, 6, 7)  # exit codes of an engine whose run has an ending


class Runs:
    """The runs in a folder, or one run alone.

    Args:
        path: the folder of runs.
        only: the id of the one run that may be seen.
    """

    def __init__(self, path: Path, only: str | None = None):
        self.path = path
        self.only = only
        self._summaries: dict[str, Summary] = {}
        self._reading = asyncio.Lock()
        self._engines = Engines()
        self._beginning = asyncio.Lock()

    def folders(self) -> list[RunFolder]:
        """Those that may be seen, oldest first."""
        return [folder for folder in all_runs(self.path) if self.only in (None, folder.id)]

    def find(self, id: str) -> RunFolder | None:
        """The run of exactly that name; a name is looked up in the list, never joined to a path."""
        return next((folder for folder in self.folders() if folder.id == id), None)

    async def told(self) -> list[dict[str, Any]]:
        """All of them, newest first."""
        async with self._reading:
            folders = await asyncio.to_thread(self.folders)
            there = {folder.id for folder in folders}
            self._summaries = {id: each for id, each in self._summaries.items() if id in there}
            summaries = [self._summaries.setdefault(folder.id, Summary(folder)) for folder in folders]
            await asyncio.to_thread(_refresh_all, summaries)
        standings = await asyncio.gather(*(standing(each.folder) for each in summaries))
        return [each.told(how) for each, how in zip(summaries, standings, strict=True)][::-1]

    async def begin(self, arguments: Sequence[str], resumed: RunFolder | None = None, goal: Sequence[str] = ()) -> str:
        """Start an engine with `megaagent ARGUMENTS`; the name of the run that it made, or goes on with.

        Args:
            resumed: the run that goes on; without it a new one must appear.
            goal: the last arguments, in which nothing is an option.

        Raises:
            RunError: it ended before it had begun; with what it said.
        """
        if resumed is not None:
            return await self._begun(arguments, resumed, goal)
        async with self._beginning:  # one after the other: a folder that appears is that of the run that begins
            return await self._begun(arguments, None, goal)

    async def _begun(self, arguments: Sequence[str], resumed: RunFolder | None, goal: Sequence[str]) -> str:
        before = {folder.id for folder in self.folders()}
        engine = await self._engines.begin([*arguments, "--quiet", "--runs", str(self.path), *goal])

        def expected() -> RunFolder | None:
            return resumed or next((folder for folder in self.folders() if folder.id not in before), None)

        try:
            async with asyncio.timeout(BEGINNING):
                while engine.code() is None:
                    folder = expected()
                    if folder is not None and await standing(folder) is not None:
                        return folder.id
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise RunError(f"the run has not begun after {BEGINNING:.0f} s; look at megaagent ps") from None
        folder = expected()
        if folder is not None and (resumed is None or engine.code() in ENDINGS):
            return folder.id  # it was quick
        raise RunError(engine.last_words() or "the run ended before it began")

    def close(self) -> None:
        self._engines.close()


def _refresh_all(summaries: Sequence[Summary]) -> None:
    for each in summaries:
        each.refresh()
