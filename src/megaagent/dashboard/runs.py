"""The runs of a folder: what the list says of each, and new ones that are begun from the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from megaagent import events as ev
from megaagent.control import Request, ask
from megaagent.dashboard.engines import Engines
from megaagent.errors import RunError
from megaagent.folder import RunFolder, all_runs
from megaagent.journal import open_reader

PATIENCE: Final = 1.0  # seconds that a running engine is given to say how it stands
BEGINNING: Final = 30.0  # seconds in which a new run must listen
LOOK: Final = 0.1  # seconds between two looks whether it does
GOAL: Final = 300  # characters
ENDINGS: Final = (0, 3, 4, 5, 6, 7)  # exit codes of an engine whose run has an ending
KINDS: Final = (
    ev.RunStarted, ev.RunForked, ev.RunResumed, ev.RunEnded, ev.AgentRecruited, ev.ModelAnswered, ev.AgentNudged,
)  # fmt: skip
MOST: Final = 200_000  # facts of one journal that are read for one answer; the next one goes on from there


class Summary:
    """One line of the list, brought up to date from where it was left."""

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.position = 0
        self.goal = self.model = self.parent = ""
        self.scenario: str | None = None
        self.simulated = False
        self.status, self.reason = "cut off", ""
        self.agents = self.steps = self.tokens = self.interventions = 0
        self.cost = self.began = self.last = 0.0
        self.problem: str | None = None

    def refresh(self) -> None:
        """Read what is new."""
        try:
            with contextlib.closing(open_reader(self.folder.journal)) as reader:
                newest = reader.last()
                end = min(newest, self.position + MOST)
                for record in reader.records(self.position, kinds=KINDS, bodies=False):
                    if record.position > end:
                        break
                    self._take_in(record)
                self.position = end
                record = reader.record(end)
                self.last = record.time if record is not None else self.last
                began = reader.record(1) if not self.goal else None
                if began is not None and isinstance(began.event, ev.RunStarted):
                    self.goal = began.event.goal[:GOAL]
        except RunError as error:
            self.problem = str(error)

    def _take_in(self, record: ev.Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
                self.model, self.scenario, self.simulated = began.model, began.scenario, began.simulated
                self.began = record.time
            case ev.RunForked() as forked:
                self.model, self.parent, self.status = forked.model, forked.parent, "cut off"
                self.simulated = self.simulated or forked.simulated
            case ev.RunResumed():
                self.status, self.reason = "cut off", ""
            case ev.RunEnded(status=status, reason=reason):
                self.status, self.reason = status, reason
            case ev.AgentRecruited():
                self.agents += 1
            case ev.ModelAnswered() as answer:
                self.steps += 1
                self.tokens += answer.usage.prompt + answer.usage.completion
                self.cost += answer.cost or 0.0
                self.simulated = self.simulated or answer.model.startswith("sim:")
            case ev.AgentNudged():
                self.interventions += 1
            case _:
                pass

    def told(self, standing: str | None) -> dict[str, Any]:
        return {
            "id": self.folder.id,
            "goal": self.goal,
            "scenario": self.scenario,
            "model": self.model,
            "parent": self.parent,
            "simulated": self.simulated,
            "status": "unreadable" if self.problem else standing or self.status,
            "live": standing is not None,
            "reason": self.problem or self.reason,
            "agents": self.agents,
            "steps": self.steps,
            "tokens": self.tokens,
            "cost": round(self.cost, 6),
            "interventions": self.interventions,
            "began": self.began,
            "last": self.last,
        }


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


async def standing(folder: RunFolder) -> str | None:
    """How a running engine says that it stands; None when none listens."""
    if not folder.socket.exists():
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await ask(folder.socket, Request("status"))
    except TimeoutError:
        return "busy"
    except (RunError, OSError):
        return None
    return "running" if answer.text.startswith("running") else "paused"
