"""The runtime of one machine: model calls in this process, programs in its sandbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from megaagent.clock import Clock
from megaagent.errors import SandboxError
from megaagent.events import Revision
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.runtimes.scratch import clear
from megaagent.sandboxes.contract import Execution, Harvest, Level, Process, Program, Sandbox
from megaagent.sandboxes.harvest import discard, harvest, prepare
from megaagent.workspace import Workspace

FEWEST_PLACES = 4  # also on a small machine: a program that waits for input keeps its place and needs no core


def places_of(programs: int) -> int:
    """How many programs may be live at once; 0 stands for one per core, four at least."""
    return programs or max(FEWEST_PLACES, os.cpu_count() or 1)


class LocalRuntime:
    """Model calls by adapters in this process, programs in this machine's sandbox.

    Args:
        adapters: bare models by name.
        sandbox: where programs run; None when they are refused, for the reasons in `notes`.
        scratch: an existing folder for programs' private copies; what is left in it is removed on close.
        programs: live at once (see `places_of`); more wait, and go in the order in which they came. An agent has one
            live program, so none gets a second turn while another waits for its first.
    """

    def __init__(
        self,
        adapters: Mapping[str, Model],
        workspace: Workspace,
        sandbox: Sandbox | None,
        scratch: Path,
        clock: Clock,
        *,
        programs: int = 0,
        notes: tuple[str, ...] = (),
    ):
        self._adapters = adapters
        self._workspace = workspace
        self._sandbox = sandbox
        self._scratch = scratch
        self._clock = clock
        self._notes = notes
        self._places = asyncio.Semaphore(places_of(programs))
        self.level = "refused" if sandbox is None else Level(sandbox.level).name.lower()

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        return await self._adapters[provider].complete(request)

    async def start(self, program: Program, revision: Revision) -> LocalHandle:
        if self._sandbox is None:
            raise SandboxError("no sandbox of the configured level holds here: " + "; ".join(self._notes))
        await self._places.acquire()
        held = ExitStack()
        held.callback(self._places.release)
        folder = self._scratch / uuid4().hex
        try:
            before = await asyncio.to_thread(self._copy, folder, revision)
            held.enter_context(self._clock.real_program())
            process = await self._sandbox.start(program, folder)
        except BaseException:
            held.close()
            await asyncio.to_thread(discard, folder)
            raise
        return LocalHandle(process, folder, before, program, held)

    async def close(self) -> None:
        for adapter in self._adapters.values():
            await adapter.close()
        await asyncio.to_thread(clear, self._scratch)

    def _copy(self, folder: Path, revision: Revision) -> dict[str, str]:
        entries = self._workspace.list("**", revision)
        return prepare(folder, {e.path: self._workspace.read_bytes(e.path, revision) for e in entries})


class LocalHandle:
    """A program under way in its private copy of the workspace."""

    def __init__(self, process: Process, folder: Path, before: dict[str, str], program: Program, held: ExitStack):
        self._process = process
        self._folder = folder
        self._before = before
        self._program = program
        self._held = held

    async def send(self, text: str) -> None:
        await self._process.send(text)

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        return await self._process.read(quiet, patience)

    async def stop(self) -> None:
        await self._process.stop()

    async def wait(self) -> Execution:
        return await self._process.wait()

    async def harvest(self) -> Harvest:
        return await asyncio.to_thread(harvest, self._folder, self._before, self._program.limits)

    async def close(self) -> None:
        await self._process.stop()
        await asyncio.to_thread(discard, self._folder)
        self._held.close()
