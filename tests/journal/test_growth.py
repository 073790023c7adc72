"""The file grows by what is new: the facts' own bytes, and each long text once, compressed."""

from __future__ import annotations

import random
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal, open_reader


def prose(chance: random.Random, words: int) -> str:
    """Words as people use them: few of them often, many of them seldom."""
    return " ".join(f"word{int(chance.paretovariate(0.8)) % 5000}" for _ in range(words))


async def test_growth(path: Path):
    chance = random.Random(1)
    agents = [f"boss/group{n % 9}/member{n}" for n in range(90)]
    journal = SQLiteJournal.create(path, WallClock(), durability="off")
    for step in range(1, 1500):
        agent = chance.choice(agents)
        call = f"{agent}#{step}"
        text, code = prose(chance, 40), prose(chance, chance.choice([20, 400, 900]))
        calls = (ev.ToolCall("call-1", "write_file", code), ev.ToolCall("call-2", "talk", text))
        message = ev.Message(f"{call}.1", agent, ("boss",), text)
        await journal.append([Fact(agent, step, ev.CallIntended(call, "step", "model", f"{step:064}", tokens=9000))])
        await journal.append([Fact(agent, step, ev.ModelAnswered(call, text, calls, usage=ev.Usage(8000, 300, 7000)))])
        await journal.append(
            [
                Fact(agent, step, ev.ToolReturned(0, "call-1", "write_file", prose(chance, 30))),
                Fact(agent, step, ev.MessageSent(message)),
                Fact(agent, step, ev.ToolReturned(1, "call-2", "talk", "Sent.")),
            ],
            [code.encode()],
        )
    await journal.close()
    with closing(open_reader(path)) as reader:
        facts = sum(len(msgspec.json.encode(record)) for record in reader.records(bodies=False))
    with closing(sqlite3.connect(path)) as connection:
        contents = [
            zlib.decompress(data) if packed else data
            for packed, data in connection.execute("SELECT packed, data FROM blob")
        ]
    new = facts + sum(min(len(data), len(zlib.compress(data))) for data in contents)
    ratio = path.stat().st_size / new
    assert ratio < 1.25
