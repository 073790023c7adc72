"""A runtime for tests: models in process, and programs that are played by a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from megaagent.errors import SandboxError
from megaagent.events import Revision
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.sandboxes.contract import Execution, Harvest, Program

Play = Callable[[Program, Revision], tuple[int, str]]  # a program and where it runs -> exit code and output


def nothing_runs(program: Program, revision: Revision) -> tuple[int, str]:
    """No program is expected."""
    raise AssertionError(f"the test did not expect {program.command} to be run")


class PlayedRuntime:
    """Answers by `models`; a program ends at once with what `play` says.

    A program that is started without input and whose play's output ends with `?` is taken to wait for input: each line
    sent to it is played again as the program's `stdin`.

    Args:
        seconds: that a program takes; none unless given.
    """

    level = "played"

    def __init__(
        self, models: Mapping[str, Model], play: Play = nothing_runs, seconds: Callable[[Program], float] | None = None
    ):
        self._models = models
        self._play = play
        self._seconds = seconds

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        return await self._models[provider].complete(request)

    async def start(self, program: Program, revision: Revision) -> PlayedHandle:
        if self._seconds is not None:
            await asyncio.sleep(self._seconds(program))
        return PlayedHandle(program, revision, self._play)

    async def close(self) -> None:
        for model in self._models.values():
            await model.close()


class PlayedHandle:
    """A played program."""

    def __init__(self, program: Program, revision: Revision, play: Play):
        self._program = program
        self._revision = revision
        self._play = play
        self._unread = ""
        self._said = ""
        self._code: int | None = None
        self._over = asyncio.Event()
        self._next(program)

    def _next(self, program: Program) -> None:
        code, output = self._play(program, self._revision)
        self._unread += output
        self._said += output
        waits = program.stdin is None or program is not self._program
        self._code = None if waits and output.endswith("?") else code
        if self._code is not None:
            self._over.set()

    async def send(self, text: str) -> None:
        if self._code is not None:
            raise SandboxError("the program has ended")
        self._next(Program(self._program.command, text, self._program.limits))

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        output, self._unread = self._unread, ""
        return output, self._code is None

    async def stop(self) -> None:
        self._code = -9 if self._code is None else self._code
        self._over.set()

    async def wait(self) -> Execution:
        await self._over.wait()
        return Execution(self._code or 0, self._said, 0.0)

    async def harvest(self) -> Harvest:
        return Harvest({})

    async def close(self) -> None:
        await self.stop()
