"""A run under way, and how it ended."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from megaagent import events as ev
from megaagent.control import Control
from megaagent.disk import Disk, pause_that_was
from megaagent.errors import RunError
from megaagent.events import BOSS, AgentId, Record, Struct
from megaagent.folder import RunFolder
from megaagent.journal import JournalWriter
from megaagent.organization.engine import Organization
from megaagent.organization.members import Member
from megaagent.organization.state import State
from megaagent.report import write_report
from megaagent.telemetry.sending import Follower
from megaagent.workspace import Workspace


class AgentSummary(Struct, frozen=True):
    """One agent of a finished run, with its subordinates."""

    id: AgentId
    description: str
    steps: int
    usage: ev.Usage
    cost: float
    files: tuple[str, ...]
    group: tuple[AgentSummary, ...] = ()


class Result(Struct, frozen=True):
    """How a run ended.

    Attributes:
        text: the boss's report.
        revision: of the workspace; `path` has its files.
        cost: US dollars, simulated when `simulated`; `unpriced` calls are not in it.
        gaps: what the verifier still missed.
    """

    run: str
    status: ev.Status
    reason: str
    text: str
    revision: str | None
    path: Path
    folder: Path
    usage: ev.Usage
    cost: float
    unpriced: int
    simulated: bool
    seconds: float
    tree: AgentSummary
    gaps: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        return self.status == "completed"


class Run:
    """A run under way.

    Attributes:
        folder: where it lives.
        state: the organization as the journal has it; to be read only.
        control: what a person can do to it.
        notes: what should be known before it begins, such as how programs are confined.
        follower: who sends spans and metrics while it goes on, if anybody does; tells at the end what came of it.
    """

    def __init__(
        self,
        folder: RunFolder,
        organization: Organization,
        control: Control,
        journal: JournalWriter,
        workspace: Workspace,
        simulated: bool,
        notes: tuple[str, ...],
        disk: Disk,
        follower: Follower | None = None,
    ):
        self.folder = folder
        self.state = organization.state
        self.control = control
        self.simulated = simulated
        self.notes = notes
        self.follower = follower
        self._journal = journal
        self._workspace = workspace
        self._organization = organization
        self._disk = disk
        self._trouble: str | None = None
        self._recording: set[asyncio.Task[None]] = set()
        disk.watch(self._take_note)
        self._living = asyncio.create_task(organization.live(), name=f"run {folder.id}")

    def watch(self, watcher: Callable[[Sequence[Record]], None]) -> None:
        """Be told of every fact from now on; a watcher that fails is removed and cannot hurt the run."""
        self._journal.listen(watcher, watcher=True)

    def watch_disk(self, watcher: Callable[[str | None], None]) -> None:
        """Be told when the run waits for its disk, and why, and with None when it goes on; no fact can tell that."""
        self._disk.watch(watcher)

    @property
    def waits_for_disk(self) -> str | None:
        """Why nothing can be written now; None when it can."""
        return self._trouble

    def _take_note(self, reason: str | None) -> None:
        """Record a wait for the disk as soon as it is over."""
        was, self._trouble = self._trouble, reason
        if reason is None and was is not None and not self._living.done():
            task = asyncio.create_task(self._record_pause(was), name="pause")
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record_pause(self, reason: str) -> None:
        with suppress(RunError):  # a journal that takes no more ends the run, which says why
            await self._organization.append(pause_that_was(self.state, reason))

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Every fact from the first, as it is recorded, until the run has ended."""
        news: asyncio.Queue[Record | None] = asyncio.Queue()

        def take(records: Sequence[Record]) -> None:
            for record in records:
                news.put_nowait(record)

        self._journal.listen(take, watcher=True)
        self._living.add_done_callback(lambda _: news.put_nowait(None))
        seen = 0
        for record in self._journal.reader().records():
            seen = record.position
            yield record
        while (record := await news.get()) is not None:
            if record.position > seen:
                yield record

    async def result(self) -> Result:
        """Wait for the end; the deliverable is then checked out and the report written."""
        ending = await asyncio.shield(self._living)
        revision = await self._disk.patiently(check_out, self._workspace, self.folder, ending.revision)
        result = Result(
            self.folder.id,
            ending.status,
            ending.reason,
            ending.text,
            revision,
            self.folder.deliverable,
            self.folder.path,
            self.state.run.usage,
            self.state.run.cost,
            self.state.run.unpriced,
            self.state.run.simulated,
            self.state.run.active_seconds,
            _summary(self.state, self.state.members[BOSS]),
            ending.gaps,
        )
        await self._disk.patiently(write_report, self.folder)
        return result

    async def close(self) -> None:
        """Call off what still lives."""
        self._living.cancel()
        await asyncio.gather(self._living, *self._recording, return_exceptions=True)


def check_out(workspace: Workspace, folder: RunFolder, revision: str | None) -> str:
    """The deliverable as plain files; that of an earlier ending makes room."""
    making = folder.deliverable.with_name("deliverable.making")
    shutil.rmtree(making, ignore_errors=True)
    revision = workspace.checkout(making, revision or workspace.head())
    if folder.deliverable.exists():
        shutil.rmtree(folder.deliverable)
    making.rename(folder.deliverable)
    return revision


def made_up_for(folder: RunFolder, ending: ev.RunEnded) -> str:
    """Do what an engine that died after the end has left undone, and say so; the report is the last that it does."""
    if folder.report.exists():
        return "there is nothing to resume"
    workspace = Workspace.open(folder.workspace)
    try:
        check_out(workspace, folder, ending.revision)
    finally:
        workspace.close()
    write_report(folder)
    return f"only {folder.deliverable.name}/ and {folder.report.name} were missing, and are there now"


def _summary(state: State, member: Member) -> AgentSummary:
    group = tuple(_summary(state, state.members[id]) for id in member.group)
    return AgentSummary(
        member.id, member.description, member.step, member.usage, round(member.cost, 6), member.files, group
    )
