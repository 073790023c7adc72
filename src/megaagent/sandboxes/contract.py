"""What every sandbox is: a place where a program that an agent wrote can run and do no harm."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Protocol

from megaagent.events import Struct


class Level(IntEnum):
    """How strong the walls are; a run names the least that it accepts (design §9, promise P11)."""

    NONE = 0  # no walls: only when a person says so
    LANDLOCK = 1  # kernel file rules + seccomp + limits
    BUBBLEWRAP = 2  # own namespaces + seccomp + limits
    CONTAINER = 3
    MICROVM = 4


class Limits(Struct, frozen=True):
    """What one program may use."""

    seconds: float = 60.0  # wall time
    cpu_seconds: float = 60.0
    memory: int = 1 << 30  # bytes of address space or memory per process
    disk: int = 256 << 20  # bytes it may leave in its folder
    file_size: int = 64 << 20
    processes: int = 64
    output: int = 64 << 10  # bytes of output kept, head and tail


class Program(Struct, frozen=True):
    """One program to be run.

    Attributes:
        command: argv; the first word "python" stands for the interpreter that the sandbox offers.
        stdin: text for its standard input, which is then closed; None keeps it open for `send`.
        packages: importable packages beside the standard library that it may see.
    """

    command: tuple[str, ...]
    stdin: str | None = None
    limits: Limits = Limits()
    packages: tuple[str, ...] = ("pytest",)


class Execution(Struct, frozen=True):
    """How a program ended.

    Attributes:
        exit_code: negative for a signal.
        output: standard output and error as they came, cut in the middle when too long.
        cut: which limits ended or trimmed it: "time", "output", "memory", "disk", ...
    """

    exit_code: int
    output: str
    seconds: float
    cut: tuple[str, ...] = ()


class Harvest(Struct, frozen=True):
    """What a program left in its folder: regular files only, by path relative to the folder."""

    written: dict[str, bytes]
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()  # what was left out, each with the reason


class Process(Protocol):
    """A program under way."""

    async def send(self, text: str) -> None:
        """Write to its standard input.

        Raises:
            SandboxError: it has ended or has closed its input.
        """
        ...

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        """Output since the last read, and whether the program still runs.

        Returns when the program ends, when output came and then none for `quiet` seconds, or after `patience`
        seconds without any.
        """
        ...

    async def stop(self) -> None:
        """Kill it and everything that it started."""
        ...

    async def wait(self) -> Execution:
        """Wait for its end (its limits bound this)."""
        ...


class Sandbox(Protocol):
    """A way to run programs."""

    level: Level

    async def start(self, program: Program, folder: Path) -> Process:
        """Start `program` in `folder`, a private copy of the workspace that it may change.

        Raises:
            SandboxError: it cannot be started at this level.
        """
        ...
