"""One engine per run: a lock file that says who holds it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from megaagent.errors import RunError
from megaagent.events import Struct


class Holder(Struct, frozen=True):
    """Who writes a journal; `started` is of the run's clock, seconds since 1970."""

    pid: int
    host: str
    started: float


class HeldError(RunError):
    """An engine is at work on the journal; the text names it."""


class WriterLock:
    """Held from its making until `release`; the kernel releases it when the process dies.

    Raises:
        RunError: another engine holds it, which is named (`HeldError`); or the folder cannot be written.
    """

    def __init__(self, path: Path, now: float):
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunError(f"{path.parent} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            told = os.pread(self._file, 4096, 0)
            os.close(self._file)
            raise HeldError(f"the run in {path.parent} is going on: {_named(told)}") from error
        except OSError as error:
            os.close(self._file)
            raise RunError(f"{path} cannot be locked: {error.strerror}; use a file system that has locks") from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(Holder(os.getpid(), socket.gethostname(), now)), 0)

    def release(self) -> None:
        os.close(self._file)


@contextmanager
def kept_still(path: Path) -> Generator[None]:
    """Nobody begins to write meanwhile: to be held while a journal's files are copied. Nothing is written.

    Args:
        path: the lock file, which may be absent: then no engine has ever worked beside these files.

    Raises:
        HeldError: an engine is at work.
    """
    if not path.is_file():
        yield
        return
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            told = os.pread(file, 4096, 0)
            raise HeldError(f"the run in {path.parent} is going on: {_named(told)}") from error
        yield
    finally:
        os.close(file)


def _named(told: bytes) -> str:
    try:
        holder = msgspec.json.decode(told, type=Holder)
    except msgspec.DecodeError:
        return "another process holds its lock"
    started = datetime.fromtimestamp(holder.started, UTC).strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {holder.pid} on {holder.host} is its engine, started {started} UTC"
    return f"{who}; one that was stopped ends within seconds"
