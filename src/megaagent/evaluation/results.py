"""The results of an evaluation on disk: one line for each item that is done, so that none is bought twice."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from megaagent.errors import ConfigurationError, RunError
from megaagent.events import Struct

FILE = "results.jsonl"
PLAN = "evaluation.json"


class Row(Struct, frozen=True):
    """One item under one arm.

    Attributes:
        share: what the answer was worth, 0 to 1; 1 when it passed.
        run: the folder of its run, from the evaluation's.
        cost: US dollars, of simulated models simulated ones.
        budget: cap of tokens, where the arm has one.
        reserved: tokens that were reserved for its first call.
        panel: what asking a panel of judges about it cost, US dollars; not part of `cost`.
    """

    arm: str
    id: str
    sample: int
    passed: bool
    share: float
    why: str
    parts: dict[str, tuple[int, int]]
    status: str
    run: str
    prompt: int
    completion: int
    cached: int
    cost: float
    unpriced: int
    seconds: float
    agents: int
    steps: int
    stages: tuple[dict[str, Any], ...] = ()
    budget: int | None = None
    panel: float = 0.0
    reserved: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.arm, self.id, self.sample

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion


class Plan(Struct, frozen=True):
    """What an evaluation is; a folder belongs to one of them.

    Attributes:
        data: a digest of the items, so that others under the same names are noticed.
        settings: as JSON, without the caps.
    """

    evaluation: str
    model: str
    data: str
    settings: str
    version: str
    simulated: bool


class Results:
    """The lines of a folder; made by `opened`."""

    def __init__(self, folder: Path, rows: list[Row]):
        self.folder = folder
        self.rows = rows
        self.known = {row.key: row for row in rows}

    def add(self, row: Row) -> None:
        """Keep a line; it is on the disk when this returns.

        Raises:
            RunError: the disk does not take it; the next line stands where it would have stood.
        """
        add_line(self.folder / FILE, msgspec.json.encode(row))
        self.rows.append(row)
        self.known[row.key] = row


def add_line(path: Path, line: bytes) -> None:
    """Put a line at the end of a file: all of it, synced, or nothing; what a crash has cut stays a line of its own.

    Raises:
        RunError: the disk does not take it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            cut = before and os.pread(descriptor, 1, before - 1) != b"\n"
            try:
                left = b"\n" + line + b"\n" if cut else line + b"\n"
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error


@contextmanager
def opened(folder: Path, plan: Plan) -> Generator[Results]:
    """The results in a folder, which nobody else may use meanwhile.

    Raises:
        ConfigurationError: the folder belongs to another evaluation, is in use, or cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigurationError(f"--into {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"{folder}: another process is evaluating there") from error
        _same_plan(folder / PLAN, plan)
        yield Results(folder, list(_rows(folder / FILE)))
    finally:
        os.close(descriptor)


def read_results(folder: Path) -> tuple[Plan, list[Row]]:
    """What is in a folder of results.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{folder}: there is no evaluation in it: {error}") from error
    return plan, list(_rows(folder / FILE))


def _same_plan(path: Path, plan: Plan) -> None:
    if not path.exists():
        making = path.with_suffix(".making")
        try:
            making.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))
            making.replace(path)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        return
    try:
        there = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path}: it cannot be read: {error}") from error
    for field in ("evaluation", "model", "data", "settings"):
        if getattr(there, field) != getattr(plan, field):
            was, now = getattr(there, field), getattr(plan, field)
            if field == "settings":
                was, now = _difference(was, now)
            raise ConfigurationError(
                f"{path.parent} holds an evaluation with other {field}: {_short(was)} there, {_short(now)} now. "
                "Give another folder with --into"
            )


def _difference(was: str, now: str) -> tuple[str, str]:
    """What two trees of settings do not share, by dotted names."""
    one, other = (dict(_flat(json.loads(text), "")) for text in (was, now))
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return tuple(  # pyright: ignore[reportReturnType]
        ", ".join(f"{name}={tree.get(name, 'default')}" for name in sorted(names)) for tree in (one, other)
    )


def _flat(tree: Any, name: str) -> Generator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _flat(value, f"{name}.{key}" if name else str(key))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield name, tree


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rows(path: Path) -> Generator[Row]:
    """The lines; one that was cut by a crash is taken away, since its item is done again from its run."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    lines: Sequence[bytes] = whole.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line, type=Row)
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{path}, line {number}: {error}; take the line away to do its item again"
            ) from error
