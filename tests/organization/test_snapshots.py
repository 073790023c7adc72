"""Snapshots shorten a folding and can never change what is folded."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.test_fork import SAME, played, records_of
from tests.test_launch import models

from megaagent import events as ev
from megaagent import replay, resume
from megaagent.clock import WallClock
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.organization.digest import StateDigest
from megaagent.organization.snapshots import NAME, Keeper, encoded, folded, restored
from megaagent.organization.state import State
from megaagent.past import read_past


def folded_up_to(records: list[Record]) -> State:
    state = State()
    for record in records:
        state.apply(record)
    return state


def fields(state: State) -> dict[str, Any]:
    """All of a state but what the scheduler and the digest still have to look at."""
    return {name: value for name, value in vars(state).items() if name not in ("touched", "dirty")}


async def keep(folder: RunFolder, state: State, mark: str | None = None) -> None:
    """Put a snapshot into a journal that nobody writes."""
    with closing(open_reader(folder.journal)) as reader:
        mark = mark or reader.mark(state.position)
    journal = SQLiteJournal.open(folder.journal, WallClock(), inline=True)
    await journal.snapshot(NAME, state.position, encoded(state, mark or ""))
    await journal.close()


@pytest.fixture
async def folder(tmp_path: Path) -> RunFolder:
    return RunFolder((await played(tmp_path)).folder)


async def test_from_every_fact_on_the_state_is_the_same_as_from_the_first(folder: RunFolder):
    records = records_of(folder.path)
    whole = folded_up_to(records)
    for position in range(4, len(records) + 1):
        await keep(folder, folded_up_to(records[:position]))
        with closing(open_reader(folder.journal)) as reader:
            kept = restored(reader)
            assert kept is not None and kept.position == position
            assert fields(kept) == fields(folded_up_to(records[:position]))
            again = folded(reader)
        assert fields(again) == fields(whole)
        assert StateDigest(again).value() == StateDigest(folded_up_to(records)).value()


async def test_what_is_opened_is_read_from_the_snapshot_and_proofs_are_not(folder: RunFolder):
    state = folded_up_to(records_of(folder.path))
    state.run = replace(state.run, goal="only the snapshot says so")
    await keep(folder, state)
    assert read_past(folder).state.run.goal == "only the snapshot says so"
    assert replay(folder).problems == ()


@pytest.mark.parametrize("wrong", ["mark", "code", "row", "bytes"])
async def test_a_snapshot_that_does_not_fit_is_passed_over(folder: RunFolder, wrong: str):
    state = folded_up_to(records_of(folder.path))
    state.run = replace(state.run, goal="a lie")
    if wrong == "mark":
        await keep(folder, state, "0" * 32)
    elif wrong == "bytes":
        journal = SQLiteJournal.open(folder.journal, WallClock(), inline=True)
        await journal.snapshot(NAME, state.position, b"\xc1 of another release")
        await journal.close()
    elif wrong == "code":
        with closing(open_reader(folder.journal)) as reader:
            data = msgspec.msgpack.decode(encoded(state, reader.mark(state.position) or ""))
        journal = SQLiteJournal.open(folder.journal, WallClock(), inline=True)
        await journal.snapshot(NAME, state.position, msgspec.msgpack.encode(data | {"code": "of older folds"}))
        await journal.close()
    else:
        await keep(folder, state)
        with closing(sqlite3.connect(folder.journal)) as connection:
            connection.execute("DELETE FROM record WHERE position = ?", (state.position,))
            connection.commit()
    assert read_past(folder).state.run.goal == "Two small files."


async def test_a_run_that_goes_on_from_a_snapshot_is_proven_from_the_first_fact(folder: RunFolder):
    records = records_of(folder.path)
    middle = next(r.position for r in records if isinstance(r.event, ev.WorkReported))
    await keep(folder, folded_up_to(records[:middle]))
    with closing(sqlite3.connect(folder.journal)) as connection:  # as if the engine had died there
        connection.execute("DELETE FROM record WHERE position > ?", (middle + 1,))
        connection.commit()
    async with resume(folder, models=models(SAME)) as live:
        result = await live.result()
    assert result.completed
    proof = replay(folder)
    assert proof.problems == () and proof.digests_checked > 0


async def test_the_keeper_keeps_one_now_and_then(folder: RunFolder, tmp_path: Path):
    records = records_of(folder.path)
    journal = SQLiteJournal.create(tmp_path / "copy.db", WallClock(), inline=True)
    state = State()
    keeper = Keeper(state, journal, journal.reader(), every=7)

    def take_in(found: Sequence[Record]) -> None:
        for record in found:
            state.apply(record)

    journal.listen(take_in)
    journal.listen(keeper.take_in, watcher=True)
    positions: set[int] = set()
    for record in records:
        await journal.append([ev.Fact(record.agent, record.step, record.event)])
        await keeper.settled()
        found = journal.reader().snapshot(NAME)
        if found is not None:
            positions.add(found[0])
    gaps = {b - a for a, b in zip([0, *sorted(positions)], sorted(positions), strict=False)}
    assert len(positions) > 1
    assert min(gaps) >= 10, "ten facts for each agent, at least"
    again = restored(journal.reader())
    assert again is not None and fields(again) == fields(
        folded_up_to(list(journal.reader().records())[: again.position])
    )
    await journal.close()


async def test_a_digest_in_pieces_is_that_of_the_moment_it_was_begun(folder: RunFolder):
    records = records_of(folder.path)
    half = len(records) // 2
    state = folded_up_to(records[:half])
    then = StateDigest(folded_up_to(records[:half])).value()
    digest = StateDigest(state)
    pieces = digest.pieces(1)
    assert next(pieces) is None
    for record in records[half:]:
        state.apply(record)
    assert list(pieces)[-1] == then
    assert digest.value() == StateDigest(folded_up_to(records)).value()


async def test_who_waits_for_whom_follows_from_the_waits(folder: RunFolder):
    state = State()
    named = 0
    for record in records_of(folder.path):
        state.apply(record)
        for target in state.members:
            waiting = [id for id, m in state.members.items() if m.waiting is not None and target in m.waiting.names]
            assert sorted(state.waiting_for(target)) == sorted(waiting)
            named += len(waiting)
    assert named
