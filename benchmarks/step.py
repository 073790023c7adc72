"""What a step costs, end to end over HTTP: `python -m benchmarks step --agents N [--latency S]`.

N agents take ten turns each at the same time, with a role of 1.5 kB, all tools, and a history that grows. The whole
engine is on: durable journal on disk, budget, gate, supervisor, workspace. The model is a minimal server in a process
of its own (simulated: no model is asked), so the figures are the client's. The floor is aiohttp with msgspec in a bare
loop that sends bodies of the same sizes to the same server.

    cpu_ms_per_step  CPU time of the engine's process, all threads, per step
    floor_ratio      the same over that of the bare loop
    wall_over_ideal  wall time over turns x latency
    kb_per_agent     growth of resident memory per agent, in mid-conversation
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.minimal_server import ADMIN, serving

TURNS = 10
GROUP = 25
MOST = 20_000  # agents, each with a connection
HISTORY = 560  # bytes by which a conversation grows from step to step, for the floor; as the engine's does


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks step", description=__doc__)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds until an answer (default 0.2)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=("engine", "floor"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not 1 <= given.agents <= MOST or given.latency < 0:
        parser.error(f"--agents can be 1 to {MOST:,}, and --latency 0 or more")
    if given.child:
        measure = engine if given.child == "engine" else floor
        print(json.dumps(asyncio.run(measure(given.url, given.agents, given.latency))))
        return 0
    rounds: list[dict[str, float]] = []
    for _ in range(given.repeats):
        with serving(TURNS, given.latency) as url:
            bare = _child("floor", url, given.agents, given.latency)
            full = _child("engine", url, given.agents, given.latency)
        rounds.append(full | {"floor_ratio": full["cpu_ms_per_step"] / bare["cpu_ms_per_step"]})
        rounds[-1] |= {"floor_ms": bare["cpu_ms_per_step"], "floor_wall_over_ideal": bare["wall_over_ideal"]}
    figures = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    print(
        json.dumps(
            {"benchmark": "step", "agents": given.agents, "latency_s": given.latency, "transport": "http"} | figures
        )
    )
    return 0


def _child(what: str, url: str, agents: int, latency: float) -> dict[str, float]:
    """Measured in a process of its own, so that nothing of one measurement is in the next."""
    command = [sys.executable, "-m", "benchmarks", "step", "--child", what, "--url", url]
    command += ["--agents", str(agents), "--latency", str(latency)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- the floor --------------------------------------------------------------------------------------------------------


async def floor(url: str, agents: int, latency: float) -> dict[str, float]:
    """The bare loop: the same number of calls with as many bytes, each answer decoded."""
    bodies = [msgspec.json.encode(_body(turn)) for turn in range(TURNS)]
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def converse() -> None:
            for body in bodies:
                async with session.post(f"{url}/chat/completions", data=body, headers=headers) as reply:
                    msgspec.json.decode(await reply.read())

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(converse() for _ in range(agents)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "cpu_ms_per_step": 1000 * cpu / (agents * TURNS),
        "wall_over_ideal": wall / (TURNS * latency) if latency else 0.0,
    }


def _body(turn: int) -> dict[str, object]:
    from megaagent.agent.prompts import Prompts
    from megaagent.tools import toolbox

    tools = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
        for t in toolbox(()).specs
    ]
    rules = Prompts(None).text("rules")
    said: list[dict[str, str]] = [{"role": "assistant", "content": "x" * HISTORY}] * turn
    return {
        "model": "minimal",
        "messages": [{"role": "system", "content": rules}, {"role": "system", "content": "r" * 1500}, *said],
        "tools": tools,
    }


# -- the engine -------------------------------------------------------------------------------------------------------


async def engine(url: str, agents: int, latency: float) -> dict[str, float]:
    """A run whose organization is there already: it is resumed, and left when all have taken their turns."""
    from benchmarks.crowd import crowd
    from megaagent import events as ev
    from megaagent.launch import resume

    with tempfile.TemporaryDirectory(prefix="megaagent-step-") as place:
        folder = await crowd(Path(place), agents, GROUP, url, ADMIN.decode())
        answered, needed = 0, agents * TURNS
        done = asyncio.Event()
        middle = 0

        def count(records: object) -> None:
            nonlocal answered, middle
            answered += sum(isinstance(record.event, ev.ModelAnswered) for record in records)  # pyright: ignore
            if not middle and answered >= needed // 2:
                middle = _resident()
            if answered >= needed:
                done.set()

        async with resume(folder, environ={"OPENAI_API_KEY": "simulated"}) as live:
            before = _resident()
            live.watch(count)
            cpu, wall = time.process_time(), time.perf_counter()
            await done.wait()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            await live.control.stop("measured")
            await live.result()
    return {
        "cpu_ms_per_step": 1000 * cpu / answered,
        "wall_over_ideal": wall / (TURNS * latency) if latency else 0.0,
        "kb_per_agent": (middle - before) / agents,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps_per_s": answered / wall,
    }


def _resident() -> int:
    """Resident memory in kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
