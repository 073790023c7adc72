"""A hundred thousand agents in one run, nearly all at rest: `python -m benchmarks rest [--agents N]`.

The boss and five levels below it recruit ten each, in process and with a model that answers at once (simulated: no
model is asked), over a durable journal. Everybody takes a turn and rests; then some are woken, one after another.

    agents           recruited, the boss included
    recruited_per_s  until the last was recruited
    rss_mb           resident memory of the process when all rest; peak_mb is its highest
    bytes_per_agent  growth of resident memory per agent
    wake_ms_p50      from a person's mail to a resting agent until the agent's next call begins
    lag_ms_p99       by which the event loop was late, all the time
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.lag import Lag, quiet, resident_mb
from megaagent import events as ev
from megaagent.events import Record, ToolCall, Usage
from megaagent.launch import start
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.settings import Settings, changed

WIDTH = 10
ACTIVE = 1_000
WOKEN = 200
MOST = 1_000_000
MODEL = "sim:crowd"
DUTY = (
    "You are {name} at level {level}. Your job is your section of the survey, which you keep in section_{name}.txt. "
    "Your superior is {above} and your colleagues have sections of their own. You are done when your section is "
    "complete; then hand it in. name={name}; level={level};"
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks rest", description=__doc__)
    parser.add_argument("--agents", type=int, default=100_000)
    given = parser.parse_args(arguments)
    if not 2 <= given.agents <= MOST:
        parser.error(f"--agents can be 2 to {MOST:,}, not {given.agents:,}")
    print(json.dumps({"benchmark": "rest", "transport": "in process"} | asyncio.run(measure(given.agents))))
    return 0


class Crowd:
    """Plays everybody (simulated): who is high enough recruits ten, all others hand in; nobody reviews."""

    def __init__(self, agents: int):
        self._left = agents - 1
        self._depth = 1
        while sum(WIDTH**level for level in range(self._depth + 1)) < agents:
            self._depth += 1

    async def complete(self, request: ModelRequest) -> ModelResponse:
        role = request.messages[1].text
        level = int(role.rpartition("level=")[2].partition(";")[0]) if "level=" in role else 0
        begun = any(message.role == "assistant" for message in request.messages)
        calls: list[tuple[str, dict[str, object]]] = []
        if level < self._depth and not begun:
            calls = self._recruits(role, level)
        leads = bool(calls) or any(call.name == "add_agent" for message in request.messages for call in message.calls)
        if leads:
            calls.append(("wait", {"names": ["group"], "reason": "their sections", "minutes": 1000}))
        else:
            calls.append(("terminate", {"report": "The section is complete."}))
        made = tuple(
            ToolCall(f"call_{number}", name, msgspec.json.encode(arguments).decode())
            for number, (name, arguments) in enumerate(calls)
        )
        return ModelResponse("", made, Usage(1500, 40 * len(made)), "tool_calls", "simulated")

    def _recruits(self, role: str, level: int) -> list[tuple[str, dict[str, object]]]:
        above = role.rpartition("name=")[2].partition(";")[0] if level else "boss"
        count = min(WIDTH, self._left)
        self._left -= count
        names = [f"{above if level else 'a'}x{number}" for number in range(count)]
        return [
            (
                "add_agent",
                {
                    "name": name,
                    "description": "writes a section",
                    "prompt": DUTY.format(name=name, level=level + 1, above=above),
                },
            )
            for name in names
        ]

    async def close(self) -> None: ...


async def measure(agents: int) -> dict[str, object]:
    settings = changed(
        Settings(),
        {
            "limits.agents": agents + 1,
            "limits.depth": 12,
            "limits.active": ACTIVE,
            "gate.start": ACTIVE,
            "gate.most": ACTIVE,
            "model.price": "0:0",
        },
        "the benchmark",
    )
    recruited, resting = 1, 0
    last = 0.0
    begun: dict[str, float] = {}
    all_rest = asyncio.Event()

    def watch(records: Sequence[Record]) -> None:
        nonlocal recruited, resting, last
        for record in records:
            match record.event:
                case ev.AgentRecruited():
                    recruited, last = recruited + 1, time.perf_counter()
                case ev.TurnEnded():
                    resting += 1
                    if resting >= agents:
                        all_rest.set()
                case ev.CallIntended():
                    begun[record.agent] = time.perf_counter()
                case _:
                    pass

    with tempfile.TemporaryDirectory(prefix="megaagent-rest-") as place:
        before, began, cpu = resident_mb(), time.perf_counter(), time.process_time()
        async with start(
            "A survey.", model=MODEL, models={MODEL: Crowd(agents)}, settings=settings, runs=Path(place)
        ) as live:
            async with Lag() as lag:
                live.watch(watch)
                await all_rest.wait()
                everybody, cpu = time.perf_counter() - began, time.process_time() - cpu
                await quiet(live.state)
                at_rest = resident_mb()
                leaves = [id for id, member in live.state.members.items() if not member.group]
                waits: list[float] = []
                for agent in random.Random(0).sample(leaves, min(WOKEN, len(leaves))):
                    begun.clear()
                    sent = time.perf_counter()
                    await live.control.send(ev.name_of(agent), "Is your section still up to date?")
                    while agent not in begun:  # noqa: ASYNC110  (seen as soon as it can be)
                        await asyncio.sleep(0)
                    waits.append(1000 * (begun[agent] - sent))
                    while live.state.members[agent].acting:  # noqa: ASYNC110  (looked at from outside)
                        await asyncio.sleep(0.01)
            await live.control.stop("measured")
            journal = live.folder.journal.stat().st_size
    return {
        "agents": recruited,
        "depth": max(id.count("/") for id in live.state.members) + 1,
        "recruited_per_s": round(recruited / (last - began)),
        "all_rest_s": round(everybody, 1),
        "all_rest_cpu_s": round(cpu, 2),
        "rss_mb": round(at_rest),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "bytes_per_agent": round((at_rest - before) * 2**20 / recruited),
        "wake_ms_p50": round(statistics.median(waits), 2),
        "wake_ms_p99": round(sorted(waits)[int(0.99 * (len(waits) - 1))], 2),
        "lag_ms_p99": lag.p99_ms(),
        "journal_mb": round(journal / 2**20, 1),
    }
