"""A disk that fills up during a run: the run waits with a named reason, keeps what it has paid for, and goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pygit2
import pytest
from msgspec.structs import replace
from tests.evaluation.test_evaluate import wish
from tests.journal.test_sqlite import files_no_longer_than
from tests.test_fork import SAME, records_of
from tests.test_launch import models

from megaagent import RunError, replay, start
from megaagent import events as ev
from megaagent.clock import VirtualClock, WallClock
from megaagent.disk import Disk
from megaagent.evaluation.arms import chosen_arms
from megaagent.evaluation.experiment import evaluate
from megaagent.evaluation.played import played_models
from megaagent.events import Fact, Record
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.journal.database import PASSING
from megaagent.models.contract import Model, ModelRequest, ModelResponse

FULL = "the disk of the run's folder is full"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leave not one free block."""
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")


@pytest.mark.parametrize("at", range(4, 44, 2))
async def test_a_disk_that_fills_up_at_any_fact_is_waited_for(small_disk: Path, at: int):
    told: list[str | None] = []
    troubled = asyncio.Event()
    filled = False

    def fill_at(records: Sequence[Record]) -> None:
        nonlocal filled
        if not filled and records[-1].position >= at:
            filled = True
            fill(small_disk)

    def hear(reason: str | None) -> None:
        told.append(reason)
        if reason is not None:
            troubled.set()

    async with start("Two small files.", model="sim:test", models=models(SAME), runs=small_disk / "runs") as live:
        live.watch_disk(hear)
        live.watch(fill_at)
        async with asyncio.timeout(30):
            await troubled.wait()
        assert live.state.run.ending is None
        (small_disk / "filler").unlink()
        result = await live.result()
    assert result.completed
    assert told == [FULL, None]
    records = records_of(result.folder)
    calls = [record.event.call for record in records if isinstance(record.event, ev.ModelAnswered)]
    assert len(calls) == len(set(calls))
    intents = [record.event.call for record in records if isinstance(record.event, ev.CallIntended)]
    assert sorted(intents) == sorted(calls), "every call that was paid for was answered, and none was made again"
    paused = [record.event.reason for record in records if isinstance(record.event, ev.RunPaused)]
    assert paused == [FULL]
    assert sorted(path.name for path in result.path.iterdir()) == ["own.txt", "part.txt"]
    assert replay(RunFolder(result.folder)).problems == ()


@pytest.mark.parametrize("inline", [False, True])
async def test_what_waits_is_written_in_order_when_the_disk_takes_it(tmp_path: Path, inline: bool):
    journal = SQLiteJournal.create(tmp_path / "journal.db", WallClock(), inline=inline)
    told: list[str | None] = []
    troubled, over = asyncio.Event(), asyncio.Event()

    def hear(reason: str | None) -> None:
        told.append(reason)
        (over if reason is None else troubled).set()

    journal.wait_for_disk(hear)
    facts = [Fact("boss", 0, ev.NoteShared(f"note {number}")) for number in range(4)]
    with files_no_longer_than(400_000):
        first = asyncio.ensure_future(journal.append([facts[0]], [os.urandom(600_000)]))
        await troubled.wait()
        later = [asyncio.ensure_future(journal.append([fact])) for fact in facts[1:]]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *later))
    records = [record for task in (first, *later) for record in await task]
    await over.wait()
    assert [record.event for record in records] == [fact.event for fact in facts]
    assert [record.position for record in records] == [1, 2, 3, 4]
    assert told[-1] is None and set(told[:-1]) <= set(PASSING.values())
    await journal.close()


@pytest.mark.parametrize("inline", [False, True])
async def test_closing_gives_up_what_waits(tmp_path: Path, inline: bool):
    journal = SQLiteJournal.create(tmp_path / "journal.db", WallClock(), inline=inline)
    troubled = asyncio.Event()
    journal.wait_for_disk(lambda reason: troubled.set())
    await journal.append([Fact("boss", 0, ev.NoteShared("fits"))])
    with files_no_longer_than(400_000):
        waiting = asyncio.ensure_future(
            journal.append([Fact("boss", 0, ev.NoteShared("does not"))], [os.urandom(600_000)])
        )
        await troubled.wait()
        async with asyncio.timeout(20):
            await journal.close()
        with pytest.raises(RunError, match="the disk"):
            await waiting
    with closing(open_reader(tmp_path / "journal.db")) as reader:
        assert reader.last() == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (OSError(errno.EROFS, "Read-only file system"), "the run's folder cannot be written"),
        (OSError(errno.EIO, "Input/output error"), "the disk of the run's folder reports errors"),
        (OSError("failed to write out file: No space left on device"), FULL),
        (pygit2.GitError("could not write: Input/output error"), "the disk of the run's folder reports errors"),
    ],
)
def test_a_write_is_tried_until_the_disk_takes_it(error: OSError, reason: str):
    told: list[str | None] = []
    clock = VirtualClock()

    async def main() -> str:
        left = [error] * 6

        def write(word: str) -> str:
            if left:
                raise left.pop()
            return word

        async def at_once(function: Callable[..., str], *arguments: str) -> str:
            return function(*arguments)

        disk = Disk(at_once)
        disk.watch(told.append)
        return await disk.patiently(write, "written")

    began = clock.now()
    assert clock.run(main) == "written"
    assert told == [reason, None]
    assert 10 < clock.now() - began < 60


async def test_another_failure_is_not_waited_for():
    def fails() -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    with pytest.raises(PermissionError):
        await Disk().patiently(fails)


class Filling:
    """A model during whose first call the disk fills up."""

    def __init__(self, disk: Path, inner: Model):
        self._disk: Path | None = disk
        self._inner = inner

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self._disk is not None:
            fill(self._disk)
            self._disk = None
        return await self._inner.complete(request)

    async def close(self) -> None: ...


async def test_an_evaluation_tells_once_that_its_runs_wait_for_the_disk(small_disk: Path, tmp_path: Path):
    whole = wish(tmp_path, "gsm8k", into=small_disk / "results", arms=chosen_arms(["single"]))
    asked = replace(whole, items=whole.items[:1], arms=whole.arms[:1])
    told: list[str | None] = []

    def hear(reason: str | None) -> None:
        told.append(reason)
        (small_disk / "filler").unlink(missing_ok=True)

    model = Filling(small_disk, played_models(asked.benchmark, whole.items, asked.settings)["sim:answers"])
    async with asyncio.timeout(60):
        outcome = await evaluate(asked, environ={}, waits=hear, models={"sim:answers": model})
    assert told == [FULL, None]
    assert len(outcome.rows) == 1 and outcome.rows[0].passed and not outcome.failed
