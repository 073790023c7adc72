"""Runs of a few agents, written down as a journal in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.dashboard.made import Hand

from megaagent.events import Fact, Record
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal


def kept(path: Path, records: Sequence[Record]) -> RunFolder:
    """The records as the journal of a run's folder, with their times; facts of one moment in one transaction."""
    return asyncio.run(_kept(path, records))


async def _kept(path: Path, records: Sequence[Record]) -> RunFolder:
    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    clock = Hand()
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")
    try:
        together: list[Record] = []
        for record in [*records, None]:
            if together and (record is None or record.time != together[0].time):
                clock.time = together[0].time
                await journal.append([Fact(each.agent, each.step, each.event) for each in together])
                together = []
            if record is not None:
                together.append(record)
    finally:
        await journal.close()
    return folder
