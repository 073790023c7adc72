"""Engines that are begun from the page: processes of their own, which outlive this server."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Final

from megaagent.errors import RunError

PROGRAM: Final = "from megaagent.cli import main; main()"
TAIL: Final = 2_000  # bytes of what it said that are looked at


class Engine:
    """One process; what it writes on standard error is kept in a file without a name.

    A pipe would break when this server ends, and the engine with it.

    Args:
        arguments: of `megaagent`; no shell reads them.
    """

    def __init__(self, arguments: Sequence[str]):
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the engine has ended
        nothing = os.devnull
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", PROGRAM, *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, nothing, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, nothing, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, self._said.fileno(), 2),
            ],
            setsid=True,
        )
        self._code: int | None = None

    def code(self) -> int | None:
        """Its exit code; None while it lives."""
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def last_words(self) -> str:
        """The last line that it wrote on standard error."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - TAIL))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("megaagent: error: ") if lines else ""

    def close(self) -> None:
        """Forget it; it goes on."""
        self._said.close()


class Engines:
    """Those that were begun by this server."""

    def __init__(self) -> None:
        self._engines: list[Engine] = []

    async def begin(self, arguments: Sequence[str]) -> Engine:
        """Start one; those that have ended meanwhile are let go.

        Raises:
            RunError: the arguments are such that no process can have them, for instance a goal of a megabyte.
        """
        for engine in [engine for engine in self._engines if engine.code() is not None]:
            engine.close()
            self._engines.remove(engine)
        try:
            engine = await asyncio.to_thread(Engine, arguments)
        except (OSError, ValueError) as error:
            raise RunError(f"the run cannot be begun with this: {getattr(error, 'strerror', None) or error}") from error
        self._engines.append(engine)
        return engine

    def close(self) -> None:
        for engine in self._engines:
            engine.close()
