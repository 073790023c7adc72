"""What the tests of the command line play with: a small organization behind an HTTP server, and the program itself,
started as a person would, in a pipe or in a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, talk, wait, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel

PATIENCE = 40.0  # seconds, far beyond what any of this takes
EVIL = "\x1b[31mred\x1b[0m [bold]markup[/bold] \u202eesrever\u202c \x07bell"

PROMPT = (
    "You are helper. You write the file notes.txt, alone, and tell boss about it. "
    "You are done when notes.txt stands; then hand in with terminate."
)


def boss(me: Part) -> Playing:
    yield say(write_file("main.py", "print('hello')\n"), add_agent("helper", f"writes notes {EVIL}", PROMPT))
    while not me.reported("helper"):
        yield wait(["helper"], "need the notes")
    yield review(["helper"], "accept", "well done")
    return f"The program is main.py.\n{EVIL}"


def helper(me: Part) -> Playing:
    yield say(write_file("notes.txt", f"one\n{EVIL}\n"), talk("boss", f"notes are coming {EVIL}"))
    return "notes.txt stands"


def small() -> SimulatedModel:
    """The small organization: a boss, a helper, two files, one message, hostile text wherever an agent can put it."""
    return SimulatedModel(Script({"boss": boss, "helper": helper}), latency=AT_ONCE)


class Silent:
    """The small organization, which does not answer before it is told to speak."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_speak = asyncio.Event()
        self._small = small()

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.asked.set()
        await self.may_speak.wait()
        return await self._small.complete(request)

    async def close(self) -> None:
        pass


Opening = Callable[..., Awaitable["Terminal"]]
"""Starts a command in a pseudo-terminal: `open_terminal`, whose process ends with the test."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """A person's environment with nothing of ours in it."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "OPENAI_API_KEY": "k", **more}


PROGRAM = (sys.executable, "-c", "from megaagent.cli import main; main()")


@dataclass
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


async def piped(folder: Path, *arguments: str, given: str = "", environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command as in a script: its output goes into pipes."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        cwd=folder,
        env=environment(folder, **(environ or {})),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(given.encode())
    finally:
        await put_down(process)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@dataclass
class Terminal:
    """A command in a pseudo-terminal."""

    process: asyncio.subprocess.Process
    descriptor: int
    written: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        return self.written.decode(errors="replace")

    async def until(self, seen: Callable[[str], bool]) -> None:
        """Read on until that can be said of everything written so far."""
        async with asyncio.timeout(PATIENCE):
            while not seen(plain(self.text)):
                assert not self._closed.is_set(), f"it ended before: {plain(self.text)}"
                self._news.clear()
                await self._news.wait()

    def stall(self) -> None:
        """Read no more, until its end is waited for."""
        asyncio.get_running_loop().remove_reader(self.descriptor)

    async def end(self) -> int:
        """The exit code, when everything is read."""
        self.listen()
        async with asyncio.timeout(PATIENCE):
            await self._closed.wait()
            return await self.process.wait()

    def frames(self) -> list[list[str]]:
        """The pictures of the live view, each as its lines."""
        screens = self.text.partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0]
        return [plain(frame).splitlines() for frame in screens.split("\x1b[H")[1:] if frame.strip()]

    def after(self) -> str:
        """What stands below the live view when it is over."""
        return plain(self.text.partition("\x1b[?1049l")[2])

    def listen(self) -> None:
        """Take what is written from now on."""
        if not self._closed.is_set():
            asyncio.get_running_loop().add_reader(self.descriptor, self._read)

    def _read(self) -> None:
        data = b""
        with suppress(OSError):  # the last of those who had it open has closed it
            data = os.read(self.descriptor, 1 << 16)
        if not data:
            self.stall()
            os.close(self.descriptor)
            self._closed.set()
        self.written += data
        self._news.set()


async def put_down(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind, also when a test fails."""
    if process.returncode is None:
        process.kill()
        await process.wait()


async def open_terminal(
    folder: Path, *arguments: str, columns: int = 100, rows: int = 24, environ: Mapping[str, str] | None = None
) -> Terminal:
    """Start a command in a pseudo-terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        cwd=folder,
        env=environment(folder, **{"TERM": "xterm-256color", **(environ or {})}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    started = Terminal(process, ours)
    started.listen()
    return started


def shell(*command: str, folder: Path, given: bytes = b"", environ: Mapping[str, str] | None = None) -> str:
    """Run another program to its end; returns what it wrote, also as errors.

    Raises:
        CalledProcessError: it failed.
    """
    merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, input=given, cwd=folder, env=environ, check=True, **merged)
    return done.stdout.decode()


def plain(text: str) -> str:
    """What a terminal shows of a text: without our own escape codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
