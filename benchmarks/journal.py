"""What the journal takes, how it grows, and how long opening a run takes: `python -m benchmarks journal`.

    events_per_s   durable facts per second: encoded, checked, chained, in group commits with full sync
    growth         bytes of the file over new bytes: canonical facts, and contents as compressed
    open_s         until a run of 10,000 agents with 50 facts each, all of them in the tail, goes on: from the call of
                   `resume` until its first new step is in the journal; with the run's own snapshot: open_snapshot_s.
                   The same in seconds of CPU: open_cpu_s, open_snapshot_cpu_s

The floors are measured in the same round: the same rows put by SQLite alone, with the same index and full sync
(floor_per_s), and the same bytes appended to a file that is synced as often (file_per_s).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from megaagent import events as ev
from megaagent.assembly import first_facts
from megaagent.clock import WallClock
from megaagent.events import BOSS, Fact, Record, superior_of
from megaagent.folder import RunFolder, new_folder
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.launch import resume
from megaagent.organization.snapshots import NAME, encoded, folded
from megaagent.settings import Settings, changed
from megaagent.workspace import Stamp, Workspace

MODEL = "openai:minimal"
APPENDERS = 500
GROUP = 25
AT_WORK = 100  # one agent in so many is in the middle of a turn
COMMIT = 256  # facts, for the floors


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks journal", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="for the rate (default 100,000)")
    parser.add_argument("--agents", type=int, default=10_000, help="of the run that is opened (default 10,000)")
    parser.add_argument("--facts", type=int, default=50, help="of each of them (default 50)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--postgres", action="store_true", help="only the rate, in SQLite and in PostgreSQL")
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.opened:
        print(json.dumps(asyncio.run(opened(RunFolder(given.opened)))))
        return 0
    with tempfile.TemporaryDirectory(prefix="megaagent-journal-") as place:
        folder = Path(place)
        if given.postgres:
            from benchmarks.journal_homes import compare

            figures = compare(folder, list(_work(given.events)), given.repeats)
            print(json.dumps({"benchmark": "journal"} | {name: round(value, 3) for name, value in figures.items()}))
            return 0
        rounds = [asyncio.run(rate(folder, given.events)) for _ in range(given.repeats)]
        figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        figures |= asyncio.run(growth(folder))
        run = asyncio.run(long_run(folder, given.agents, given.facts))
        figures |= _median_opening(run, given.repeats, "open")
        figures["snapshot_mb"] = asyncio.run(keep_snapshot(run)) / 1e6
        figures |= _median_opening(run, given.repeats, "open_snapshot")
    print(json.dumps({"benchmark": "journal"} | {name: round(value, 3) for name, value in figures.items()}))
    return 0


# -- the rate ---------------------------------------------------------------------------------------------------------


async def rate(folder: Path, events: int) -> dict[str, float]:
    """Many appenders, each with one short transaction after the other, as steps make them."""
    path = folder / "rate.db"
    work = list(_work(events))
    facts = [fact for transactions in work for facts in transactions for fact in facts]
    journal = SQLiteJournal.create(path, WallClock())

    async def append(transactions: Sequence[Sequence[Fact]]) -> None:
        for facts in transactions:
            await journal.append(facts)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(append, work))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await journal.close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM record ORDER BY position").fetchall()
    path.unlink()
    bare = _bare_sqlite(folder / "bare.db", rows)
    return {
        "events_per_s": len(facts) / wall,
        "cpu_us_per_event": 1e6 * cpu / len(facts),
        "bytes_per_event": sum(len(row[6]) for row in rows) / len(rows),
        "floor_per_s": len(rows) / bare,
        "floor_ratio": wall / bare,
        "file_per_s": len(rows) / _bare_file(folder / "bare.log", rows),
    }


def _work(events: int) -> Iterator[list[list[Fact]]]:
    """For each appender its transactions: intents, answers, and what followed, each fact of 500 bytes or more."""
    chance = random.Random(1)
    for number in range(APPENDERS):
        agent = f"{BOSS}/group{number // GROUP}/member{number}"
        transactions: list[list[Fact]] = []
        for step in range(1, events // (5 * APPENDERS) + 1):
            call = f"{agent}#{step}"
            mail = tuple(f"{BOSS}/group{number // GROUP}/member{n}#{step}.0.0" for n in range(14))
            said = prose(chance, 40)
            calls = (ev.ToolCall("call-1", "talk", json.dumps({"to": ["boss"], "message": prose(chance, 40)})),)
            answer = ev.ModelAnswered(call, said, calls, usage=ev.Usage(8000, 300, 7000))
            transactions += [
                [Fact(agent, step, ev.CallIntended(call, "step", MODEL, f"{step:064}", mail, 9000, 0.01))],
                [Fact(agent, step, answer)],
                [
                    Fact(agent, step, ev.ToolReturned(0, "call-1", "read_file", prose(chance, 70))),
                    Fact(agent, step, ev.MessageSent(ev.Message(f"{call}.0.0", agent, (BOSS,), prose(chance, 65)))),
                    Fact(agent, step, ev.ToolReturned(1, "call-2", "search_files", prose(chance, 70))),
                ],
            ]
        yield transactions


def prose(chance: random.Random, words: int) -> str:
    """Words as people use them: few of them often, many of them seldom."""
    return " ".join(f"word{int(chance.paretovariate(0.8)) % 5000}" for _ in range(words))


def _bare_sqlite(path: Path, rows: Sequence[Any]) -> float:
    began = time.perf_counter()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = full"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE record (position INTEGER PRIMARY KEY, e, t, agent TEXT, s, k, body, chain)")
        connection.execute("CREATE INDEX record_agent ON record (agent)")
        for first in range(0, len(rows), COMMIT):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows[first : first + COMMIT])
            connection.execute("COMMIT")
        seconds = time.perf_counter() - began
    path.unlink()
    return seconds


def _bare_file(path: Path, rows: Sequence[Any]) -> float:
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for first in range(0, len(rows), COMMIT):
            file.write(b"".join(row[6] for row in rows[first : first + COMMIT]))
            os.fdatasync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds


# -- growth -----------------------------------------------------------------------------------------------------------


async def growth(folder: Path) -> dict[str, float]:
    """A run's facts with files of all sizes: some stay in their rows, others are contents of their own."""
    path, chance = folder / "growth.db", random.Random(2)
    journal = SQLiteJournal.create(path, WallClock(), durability="off")
    empty = path.stat().st_size
    for step in range(1, 4000):
        agent = f"{BOSS}/group{step % 9}/member{step % 90}"
        call, said = f"{agent}#{step}", prose(chance, 60)
        code = prose(chance, chance.choice([60, 400, 900]))
        calls = (ev.ToolCall("call-1", "write_file", code), ev.ToolCall("call-2", "talk", said))
        mail = tuple(f"{BOSS}/group{step % 9}/member{n}#{step}.0.0" for n in range(14))
        await journal.append([Fact(agent, step, ev.CallIntended(call, "step", MODEL, f"{step:064}", mail, 9000, 0.01))])
        await journal.append([Fact(agent, step, ev.ModelAnswered(call, said, calls, usage=ev.Usage(8000, 300, 7000)))])
        told = [
            Fact(agent, step, ev.ToolReturned(0, "call-1", "read_file", prose(chance, 80))),
            Fact(agent, step, ev.MessageSent(ev.Message(f"{call}.1", agent, (BOSS,), said))),
        ]
        await journal.append(told, [code.encode()])
    await journal.close()
    with closing(open_reader(path)) as reader:
        facts = sum(len(msgspec.json.encode(record)) for record in reader.records(bodies=False))
    with closing(sqlite3.connect(path)) as connection:
        kept = [
            zlib.decompress(data) if packed else data
            for packed, data in connection.execute("SELECT packed, data FROM blob")
        ]
    new = facts + sum(min(len(data), len(zlib.compress(data))) for data in kept)
    ratio = (path.stat().st_size - empty) / new
    path.unlink()
    return {"growth": ratio}


# -- opening ----------------------------------------------------------------------------------------------------------


async def long_run(place: Path, agents: int, facts: int) -> RunFolder:
    """A run whose agents have all taken steps, and whose engine has died; it has no snapshot.

    One agent in a hundred is in the middle of its turn, the others rest in mid-work.
    """
    clock, chance = WallClock(), random.Random(3)
    chosen = {"model.name": MODEL, "model.price": "0:0", "budget.cost": 1.0, "limits.agents": agents + 1}
    settings = changed(Settings(), {**chosen, "sandbox.level": "none"}, "the benchmark")
    folder = new_folder(place, "long", clock.now())
    workspace = Workspace.create(folder.workspace, stamp=Stamp(BOSS, folder.id, 0, 0, clock.now()))
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")
    await journal.append(first_facts(folder.id, "A handbook.", MODEL, True, settings, workspace.head()))
    ids = list(_tree(agents))
    for id in ids:
        superior = superior_of(id) or BOSS
        message = ev.Message(f"{id}#0.0.1", superior, (id,), "Begin.", "assignment")
        recruited = ev.AgentRecruited(id, "writes a section", f"You write a section. {prose(chance, 60)}")
        opened = ev.AssignmentOpened(f"{superior}#1.{id}", id, superior, "a section")
        await journal.append(
            [Fact(superior, 1, recruited), Fact(superior, 1, opened), Fact(id, 0, ev.MessageSent(message))]
        )
    texts = [prose(chance, 40) for _ in range(200)]
    done = 3
    step = 0
    while done < facts - 1:
        step += 1
        appends = [journal.append(_step(id, step, chance.choice(texts))) for id in ids]
        for first in range(0, len(appends), APPENDERS):
            await asyncio.gather(*appends[first : first + APPENDERS])
        done += 5
    waits = ev.TurnEnded("wait", (), "the day after tomorrow", clock.now() + 200_000, timed=True)
    rests = [Fact(id, step, waits) for number, id in enumerate(ids) if number % AT_WORK]
    for first in range(0, len(rests), APPENDERS):
        await journal.append(rests[first : first + APPENDERS])
    await journal.close()
    workspace.close()
    return folder


def _tree(agents: int) -> Iterator[str]:
    leader = BOSS
    for number in range(agents):
        leads = number % (GROUP + 1) == 0
        id = f"{BOSS if leads else leader}/agent{number}"
        leader = id if leads else leader
        yield id


def _step(id: str, step: int, text: str) -> list[Fact]:
    call = f"{id}#{step}"
    calls = (
        ev.ToolCall("call-1", "change_task_status", json.dumps({"todo": [f"part {step}"]})),
        ev.ToolCall("call-2", "search_files", json.dumps({"query": text})),
    )
    mail = (f"{id}#0.0.1",) if step == 1 else ()
    return [
        Fact(id, step, ev.CallIntended(call, "step", MODEL, f"{step:064}", mail, 9000, 0.01)),
        Fact(id, step, ev.ModelAnswered(call, text, calls, model=MODEL, usage=ev.Usage(8000, 300, 7000), cost=0.0)),
        Fact(id, step, ev.ChecklistChanged((ev.ChecklistItem(f"part {step}"),))),
        Fact(id, step, ev.ToolReturned(0, "call-1", "change_task_status", "Checklist: 0 done, 1 to do.")),
        Fact(id, step, ev.ToolReturned(1, "call-2", "search_files", text)),
    ]


async def keep_snapshot(folder: RunFolder) -> int:
    """Give the run the snapshot that its engine would have kept; its size in the file."""
    journal = SQLiteJournal.open(folder.journal, WallClock())
    reader = journal.reader()
    state = folded(reader)
    await journal.snapshot(NAME, state.position, encoded(state, reader.mark(state.position) or ""))
    await journal.close()
    with closing(sqlite3.connect(folder.journal)) as connection:
        return connection.execute("SELECT length(data) FROM snapshot").fetchone()[0]


def _median_opening(folder: RunFolder, repeats: int, name: str) -> dict[str, float]:
    rounds: list[dict[str, float]] = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks", "journal", "--opened", str(folder.path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    return {f"{name}_{unit}": statistics.median(each[unit] for each in rounds) for unit in rounds[0]}


class Silent:
    """A simulated model that never answers."""

    async def complete(self, request: object) -> Any:
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""


async def opened(folder: RunFolder) -> dict[str, float]:
    """Seconds, and seconds of CPU, until the run goes on; its journal gets a few facts by this, and no snapshot."""
    goes_on = asyncio.Event()

    def watch(records: Sequence[Record]) -> None:
        if any(isinstance(record.event, ev.CallIntended) for record in records):
            goes_on.set()

    began, cpu = time.perf_counter(), time.process_time()
    async with resume(folder, models={MODEL: Silent()}, environ={}) as live:
        live.watch(watch)
        await goes_on.wait()
        return {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
