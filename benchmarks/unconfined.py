"""Programs run as this user, without walls: for what we ship ourselves, or what a person asks us to measure.

Speaks the sandbox contract, so that the code that plays a game need not know where the game runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from megaagent.errors import SandboxError
from megaagent.sandboxes.contract import Execution, Process, Program

MOST_OUTPUT = 16 << 20  # bytes after which a program is ended


class UnconfinedProcess:
    """A child of this process in a session of its own, so that all that it starts ends with it."""

    def __init__(self, child: asyncio.subprocess.Process, folder: Path, seconds: float):
        self._child = child
        self._folder = folder
        self._started = time.monotonic()
        self._output = bytearray()
        self._read = 0
        self._news = asyncio.Event()
        self._pump = asyncio.create_task(self._collect())
        self._limit = asyncio.get_running_loop().call_later(seconds, self._kill)

    async def _collect(self) -> None:
        assert self._child.stdout is not None
        while chunk := await self._child.stdout.read(1 << 16):
            self._output += chunk
            if len(self._output) > MOST_OUTPUT:
                self._kill()
            self._news.set()
        await self._child.wait()
        self._limit.cancel()
        self._news.set()

    async def send(self, text: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(text.encode())
            await self._child.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise SandboxError("the program has ended or closed its input") from error

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        wait = patience
        while not self._pump.done():
            self._news.clear()
            if len(self._output) > self._read:
                wait = quiet
            seen = len(self._output)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
            if len(self._output) == seen:
                break
        text = self._output[self._read :].decode(errors="replace")
        self._read = len(self._output)
        return text, not self._pump.done()

    async def stop(self) -> None:
        self._kill()
        await self._pump
        assert self._child.stdin is not None
        self._child.stdin.close()
        with suppress(ConnectionError):
            await self._child.stdin.wait_closed()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def wait(self) -> Execution:
        await asyncio.shield(self._pump)
        assert self._child.returncode is not None
        output = self._output.decode(errors="replace")
        return Execution(self._child.returncode, output, time.monotonic() - self._started)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


async def start_copy(program: Program, folder: Path) -> Process:
    """Start a program on a private copy of a folder; the copy is removed by `stop`."""
    copy = Path(tempfile.mkdtemp(prefix="gobang-")) / "game"
    shutil.copytree(folder, copy)
    command = [sys.executable if program.command[0] == "python" else program.command[0], *program.command[1:]]
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=copy,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    if program.stdin is not None and child.stdin is not None:
        with suppress(ConnectionError):
            child.stdin.write(program.stdin.encode())
            await child.stdin.drain()
        child.stdin.close()
    return UnconfinedProcess(child, copy.parent, program.limits.seconds)
