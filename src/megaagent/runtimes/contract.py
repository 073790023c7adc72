"""What every runtime is: it does the two heavy jobs that need no agent state, wherever they are done."""

from __future__ import annotations

from typing import Protocol

from megaagent.events import Revision
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.sandboxes.contract import Execution, Harvest, Program


class Handle(Protocol):
    """A program under way in its private copy of the workspace."""

    async def send(self, text: str) -> None: ...

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]: ...

    async def stop(self) -> None: ...

    async def wait(self) -> Execution: ...

    async def harvest(self) -> Harvest:
        """What it left behind; only after its end."""
        ...

    async def close(self) -> None:
        """Kill it if it still runs, and remove its private copy."""
        ...


class Runtime(Protocol):
    """Where model calls and programs are executed. Gate, retry, budget and record stay with the organization."""

    level: str  # of the walls around programs, as facts name it; "refused" when none may be run

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        """One attempt by the bare adapter of `provider`.

        Raises:
            ModelError: the attempt failed.
        """
        ...

    async def start(self, program: Program, revision: Revision) -> Handle:
        """Start a program on a private copy of the workspace at `revision`.

        Raises:
            SandboxError: it cannot be run as safely as configured.
        """
        ...

    async def close(self) -> None: ...
