"""Writes lines to a stream that may be slow, blocked or gone, without ever making the run wait."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import IO


class Printer:
    """A thread of its own writes the lines, in their order; when nobody reads any more the rest is dropped."""

    def __init__(self, stream: IO[str]):
        self._stream = stream
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="printer", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        """Write a line as soon as the stream takes it."""
        self._lines.put(line)

    async def close(self) -> None:
        """Return when everything is written."""
        self._lines.put(None)
        await asyncio.to_thread(self._thread.join)

    def _write(self) -> None:
        gone = False
        while (line := self._lines.get()) is not None:
            if gone:
                continue
            try:
                self._stream.write(line + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except OSError:
                gone = True
                discard(self._stream)


def say_now(text: str) -> None:
    """Print before or after a run; that nobody reads it must not change how the run goes or ends."""
    try:
        print(text, flush=True)
    except OSError:
        discard(sys.stdout)


def target(stream: IO[str]) -> tuple[int, int]:
    """Which file a stream writes into: another one than before, when what read it has gone."""
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino


def write_at_once(descriptor: int, data: bytes, patience: float = 0.5) -> None:
    """Write what a stream takes within `patience` seconds and drop the rest: for a process that is about to leave."""
    until = time.monotonic() + patience
    with suppress(OSError):
        os.set_blocking(descriptor, False)
        try:
            while data and select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
                data = data[os.write(descriptor, data) :]
        finally:
            os.set_blocking(descriptor, True)  # the terminal is also the shell's


def discard(stream: IO[str]) -> None:
    """Let a stream that nobody reads take everything from now on, so that no later flush fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
