"""A journal that has lost its newest facts: what they did to the shared files is found again, and told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.test_fork import SAME, played, records_of
from tests.test_launch import models

from megaagent import events as ev
from megaagent import replay, resume
from megaagent.events import BOSS
from megaagent.folder import RunFolder


def cut_after(journal: Path, position: int) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("DELETE FROM record WHERE position > ?", (position,))
        connection.execute("DELETE FROM snapshot WHERE position > ?", (position,))
        connection.commit()


@pytest.mark.parametrize("kind", [ev.MessageSent, ev.CallIntended, ev.ModelAnswered])
async def test_commits_of_lost_steps_are_facts_again_and_the_boss_is_told(tmp_path: Path, kind: type[ev.Event]):
    folder = RunFolder((await played(tmp_path)).folder)
    before = records_of(folder.path)
    last = next(record.position for record in before if isinstance(record.event, kind))
    cut_after(folder.journal, last)
    answered = {(r.agent, r.step) for r in before[:last] if isinstance(r.event, ev.ModelAnswered)}
    lost = {
        (record.agent, record.event.revision): None
        for record in before[last:]
        if isinstance(record.event, ev.FileCommitted) and (record.agent, record.step) not in answered
    }
    assert lost
    async with resume(folder, models=models(SAME)) as live:
        result = await live.result()
    after = records_of(folder.path)
    [resumed] = [record.event for record in after if isinstance(record.event, ev.RunResumed)]
    assert resumed.adopted == tuple(revision for _, revision in lost)
    writes = {(r.agent, r.event.revision) for r in after if isinstance(r.event, ev.FileCommitted)}
    assert writes >= lost.keys()
    notices = [r.event.message for r in after if isinstance(r.event, ev.MessageSent) and r.agent == BOSS]
    assert any("record was lost" in message.text and message.kind == "notice" for message in notices)
    assert result.completed
    assert replay(folder).problems == ()


async def test_a_journal_that_has_lost_nothing_adopts_nothing(tmp_path: Path):
    folder = RunFolder((await played(tmp_path)).folder)
    before = records_of(folder.path)
    last = next(r.position for r in reversed(before) if isinstance(r.event, ev.FileCommitted))
    cut_after(folder.journal, last)  # its step is carried on
    async with resume(folder, models=models(SAME)) as live:
        assert (await live.result()).completed
    [resumed] = [record.event for record in records_of(folder.path) if isinstance(record.event, ev.RunResumed)]
    assert resumed.adopted == ()
