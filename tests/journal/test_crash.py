"""The program dies at any instant: what was acknowledged is there, and every append is whole."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import create_journal, open_journal, open_reader

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import open_journal

async def appender(journal, name):
    number = 0
    while True:
        text = f"{number} " + "words " * (number % 5 * 100)
        await journal.append([Fact(f"boss/{name}", number, ev.NoteShared(f"{part} {text}")) for part in range(3)])
        os.write(1, f"{name} {number}\\n".encode())
        number += 1

async def main():
    journal = open_journal(Path(sys.argv[1]), WallClock())
    await asyncio.gather(*[appender(journal, name) for name in range(8)])

asyncio.run(main())
"""


def killed(path: Path, lines: int) -> dict[int, int]:
    """Let the program append until it has acknowledged so many, then kill it; the last number acknowledged to each."""
    acknowledged: dict[int, int] = {}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        told += child.stdout.read().splitlines()
    for line in told:
        name, number = map(int, line.split())
        acknowledged[name] = number
    return acknowledged


@pytest.mark.parametrize("seed", range(3))
async def test_killed_while_appending(place: Path, seed: int):
    await create_journal(place, WallClock()).close()
    acknowledged = killed(place, random.Random(seed).randrange(50, 800))
    with closing(open_reader(place)) as reader:
        found = reader.verify()
        assert found.problem == ""
        assert found.rows == reader.last() > 0
        records = list(reader.records())
    assert len(records) % 3 == 0
    written: dict[str, int] = {}
    for first in range(0, len(records), 3):
        whole = records[first : first + 3]
        agent, number = whole[0].agent, whole[0].step
        assert [(r.agent, r.step) for r in whole] == [(agent, number)] * 3
        assert [r.event.text[0] for r in whole if isinstance(r.event, ev.NoteShared)] == ["0", "1", "2"]
        assert number == written.get(agent, -1) + 1
        written[agent] = number
    for name, number in acknowledged.items():
        assert written[f"boss/{name}"] >= number

    journal = open_journal(place, WallClock())  # the lock died with its holder
    assert journal.epoch == 3
    [record] = await journal.append([Fact("boss", 0, ev.RunResumed("1"))])
    assert record.position == len(records) + 1
    await journal.close()
