"""Damaged runs: what is good is saved in a copy that goes on; the damaged run itself stays as it is."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pygit2
import pytest
from tests.test_fork import SAME, copy_as_it_is, fingerprint, played, records_of
from tests.test_launch import models

from megaagent import RunError, replay, resume, start
from megaagent import events as ev
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.repair import check, repair

FRAME = 24 + 8192  # bytes of a frame in SQLite's log: its header and a page
HEADER = 32


def at_row(kind: str, change: str) -> Callable[[RunFolder], None]:
    """A change of the second row of that kind."""

    def damage(folder: RunFolder) -> None:
        with closing(sqlite3.connect(folder.journal)) as database, database:
            query = "SELECT position FROM record WHERE kind = ? ORDER BY position LIMIT 1 OFFSET 1"
            [position] = database.execute(query, (kind,)).fetchone()
            database.execute(change, (position,))

    return damage


CHANGE = "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '{', '{ ') AS BLOB) WHERE position = ?"
GARBAGE = "UPDATE record SET body = x'00ff' WHERE position = ?"
REMOVE = "DELETE FROM record WHERE position = ?"
SWAP = "UPDATE record SET step = step + 1 WHERE position = ?"


def lose_content(folder: RunFolder) -> None:
    with closing(sqlite3.connect(folder.journal)) as database, database:
        query = "SELECT body FROM record WHERE kind = 'FileCommitted' ORDER BY position DESC LIMIT 1"
        [body] = database.execute(query).fetchone()
        digest = body.decode().partition('"digest":"')[2][:64]
        assert database.execute("DELETE FROM blob WHERE digest = ?", (digest,)).rowcount == 1


def rewind_the_branch(folder: RunFolder) -> None:
    repository = pygit2.Repository(str(folder.workspace))
    head = repository[repository.head.target].peel(pygit2.Commit)
    repository.references.get(repository.head.name).set_target(head.parents[0].id)
    repository.free()


DAMAGES: dict[str, Callable[[RunFolder], None]] = {
    **{f"{kind} changed": at_row(kind, CHANGE) for kind in ("ModelAnswered", "ToolReturned", "FileCommitted")},
    "garbage": at_row("CallIntended", GARBAGE),
    "gone": at_row("MessageSent", REMOVE),
    "step changed": at_row("ModelAnswered", SWAP),
    "content gone": lose_content,
    "branch rewound": rewind_the_branch,
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_what_is_good_is_saved_and_goes_on(tmp_path: Path, name: str):
    whole = await played(tmp_path)
    past, folder = records_of(whole.folder), RunFolder(whole.folder)
    DAMAGES[name](folder)
    before = fingerprint(folder.path)
    found = check(folder)
    assert found.problems
    saved = await repair(folder)
    assert fingerprint(folder.path) == before
    assert 4 <= saved.rows < len(past) and saved.lost == len(past) - saved.rows - (name == "gone")
    kept = records_of(saved.folder.path)
    assert kept[:-1] == past[: saved.rows]
    assert isinstance(kept[-1].event, ev.RunRepaired)
    assert kept[-1].event.parent == folder.id and kept[-1].event.problem == saved.problem
    assert_nothing_torn(past, saved.rows)
    assert check(saved.folder).problems == ()
    async with resume(saved.folder, models=models(SAME)) as live:
        result = await live.result()
    assert result.completed
    assert sorted(path.name for path in result.path.iterdir()) == ["own.txt", "part.txt"]
    assert replay(saved.folder).problems == ()


@pytest.mark.parametrize("cut", [False, True], ids=["garbage", "cut"])
async def test_a_damaged_file_gives_a_prefix_or_one_clear_error(tmp_path: Path, cut: bool):
    """Wherever the damage lies: in rows, in contents, in an index, in SQLite's own tables, or in unused space."""
    whole = await played(tmp_path / "whole")
    past, data = records_of(whole.folder), (whole.folder / "journal.db").read_bytes()
    saved_rows: list[int] = []
    for part in range(1, 20):
        folder = RunFolder(tmp_path / f"{part}" / whole.folder.name)
        copy_as_it_is(whole.folder, folder.path)
        place = len(data) * part // 20
        rest = b"" if cut else bytes(byte ^ 0xFF for byte in data[place : place + 512]) + data[place + 512 :]
        folder.journal.write_bytes(data[:place] + rest)
        before = fingerprint(folder.path)
        try:
            saved = await repair(folder)
        except RunError as error:
            assert not cut or "nothing is wrong" not in str(error)
            assert "nothing is wrong" not in str(error) or records_of(folder.path) == past
            assert [path.name for path in folder.path.parent.iterdir() if path.is_dir()] == [folder.id]
            assert str(folder.path) in str(error) or folder.id in str(error)
        else:
            assert records_of(saved.folder.path)[:-1] == past[: saved.rows]
            assert_nothing_torn(past, saved.rows)
            saved_rows.append(saved.rows)
        assert fingerprint(folder.path) == before
    assert cut or len(set(saved_rows)) > 1


async def test_a_log_cut_at_every_frame_leaves_a_prefix_that_goes_on(tmp_path: Path):
    """As after a power cut that kept the file but only a part of its log."""
    async with start("Two small files.", model="sim:test", models=models(SAME), runs=tmp_path / "live") as live:
        result = await live.result()
        crashed = tmp_path / "crashed" / live.folder.id
        await asyncio.to_thread(copy_as_it_is, live.folder.path, crashed)
    assert result.completed
    past = records_of(result.folder)
    log = (crashed / "journal.db-wal").read_bytes()
    frames = frames_of(log)
    assert frames > 20
    lengths: list[int] = []
    resumed: set[int] = set()
    for number in range(frames + 1):
        folder = RunFolder(tmp_path / "cut" / f"{number:03}" / crashed.name)
        copy_as_it_is(crashed, folder.path)
        (folder.path / "journal.db-wal").write_bytes(log[: HEADER + number * FRAME])
        before = fingerprint(folder.path)
        try:
            saved = await repair(folder)
        except RunError as error:
            rows = survivors(folder, str(error))
        else:
            assert fingerprint(folder.path) == before
            rows = saved.rows
            assert len(saved.adopted) + len(saved.dropped) <= 2
        lengths.append(rows)
        assert_nothing_torn(past, rows)
        if rows >= 4 and rows not in resumed and rows < len(past):
            resumed.add(rows)
            await goes_on(folder, past[:rows])
    assert lengths == sorted(lengths) and lengths[-1] == len(past)
    assert len(resumed) > 5


def survivors(folder: RunFolder, error: str) -> int:
    """How many rows are there when there is nothing to repair: all that a cut log holds, or none."""
    if "nothing is wrong" in error:
        return check(folder).rows
    assert "can be saved" in error or "is not a journal" in error or "is not a database" in error, error
    return 0


async def goes_on(folder: RunFolder, past: list[Record]) -> None:
    """A crashed run is resumed as it is: its rows are whole, and commits that they do not speak of are taken over."""
    assert records_of(folder.path) == past
    async with resume(folder, models=models(SAME)) as live:
        result = await live.result()
    assert result.completed
    assert records_of(folder.path)[: len(past)] == past
    assert replay(folder).problems == ()


def assert_nothing_torn(past: list[Record], rows: int) -> None:
    """The facts of one append have one time: the first that was lost has another than the last that was saved."""
    assert not 0 < rows < len(past) or past[rows - 1].time != past[rows].time


def frames_of(log: bytes) -> int:
    """Frames of the newest generation of the log; those of an older one have other salts."""
    salts = log[16:24]
    count = 0
    while log[HEADER + count * FRAME + 8 : HEADER + count * FRAME + 16] == salts:
        count += 1
    assert struct.unpack(">I", log[8:12]) == (8192,)
    return count


async def test_a_run_that_is_whole_or_going_on_is_not_repaired(tmp_path: Path):
    async with start("Two small files.", model="sim:test", models=models(SAME), runs=tmp_path) as live:
        with pytest.raises(RunError, match="going on: process"):
            await repair(live.folder)
        result = await live.result()
    there = sorted(tmp_path.iterdir())
    with pytest.raises(RunError, match="nothing is wrong"):
        await repair(RunFolder(result.folder))
    assert sorted(tmp_path.iterdir()) == there


async def test_a_commit_of_an_answered_step_is_kept_for_it(tmp_path: Path):
    """The row of a write is bad, but the answer that asked for it is good: the write is not made twice."""
    whole = await played(tmp_path)
    past = records_of(whole.folder)
    at_row("FileCommitted", CHANGE)(RunFolder(whole.folder))
    saved = await repair(RunFolder(whole.folder))
    [write] = [r.event for r in past[saved.rows :] if isinstance(r.event, ev.FileCommitted)]
    assert saved.adopted == (write.revision,) and saved.dropped == ()
    async with resume(saved.folder, models=models(SAME)) as live:
        await live.result()
    writes = [r.event.revision for r in records_of(saved.folder.path) if isinstance(r.event, ev.FileCommitted)]
    assert len(writes) == 2 and writes[1] == write.revision
