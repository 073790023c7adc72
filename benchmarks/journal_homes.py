"""The journal's two homes side by side, on one disk: `python -m benchmarks journal --postgres`.

    sqlite_events_per_s, postgres_events_per_s   durable facts per second of many appenders, as in the rate of `journal`
    postgres_ratio                               the second over the first
    sqlite_append_ms, postgres_append_ms         one appender alone: median from the call until its fact is durable

The server is one of its own on the loopback, of this machine, with fsync on, and shares its cores with the engine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from campaigns.postgres_server import PostgresServer

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import BOSS, Fact
from megaagent.journal import create_journal, open_reader
from megaagent.journal.homes import FOLDER, settle

ALONE = 200  # appends, one after the other

Work = Sequence[Sequence[Sequence[Fact]]]  # for each appender its transactions


def compare(folder: Path, work: Work, repeats: int) -> dict[str, float]:
    """Medians of both, measured in turn."""
    server = PostgresServer(fsync=True)
    os.environ.update(server.environment)
    try:
        figures: dict[str, list[float]] = {}
        for number in range(repeats):
            for name, address in (("sqlite", FOLDER), ("postgres", server.address)):
                place = folder / f"{name}-{number}"
                place.mkdir()
                path = settle(place, address, place.name)
                rate, alone = asyncio.run(_measured(path, work))
                figures.setdefault(f"{name}_events_per_s", []).append(rate)
                figures.setdefault(f"{name}_append_ms", []).append(alone)
    finally:
        server.close()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    return medians | {"postgres_ratio": medians["postgres_events_per_s"] / medians["sqlite_events_per_s"]}


async def _measured(path: Path, work: Work) -> tuple[float, float]:
    """Facts per second of all, and milliseconds of one alone."""
    journal = create_journal(path, WallClock())

    async def append(transactions: Sequence[Sequence[Fact]]) -> None:
        for facts in transactions:
            await journal.append(facts)

    began = time.perf_counter()
    await asyncio.gather(*map(append, work))
    seconds = time.perf_counter() - began
    times: list[float] = []
    for number in range(ALONE):
        began = time.perf_counter()
        await journal.append([Fact(BOSS, number, ev.NoteShared(f"note {number}"))])
        times.append(time.perf_counter() - began)
    await journal.close()
    count = sum(len(facts) for transactions in work for facts in transactions)
    with closing(open_reader(path)) as reader:
        assert reader.last() == count + ALONE
    return count / seconds, 1000 * statistics.median(times)
