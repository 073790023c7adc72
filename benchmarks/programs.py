"""Agents' programs in their sandbox: `python -m benchmarks programs`.

What a start costs: a program that does nothing (`python -c pass`) is run again and again, plainly by the same
interpreter and at each level that holds here, by turns. And 200 agents that all want to run programs at once, in the
pool of one machine.

    start_overhead_ms        from the order to the program's end, over that of a plain Python; the dearer of the levels
    start_overhead_LEVEL_ms  the same for one level
    plain_ms                 the plain start
    whole_LEVEL_ms           with the private copy of a workspace of 20 files, the harvest, and the removal
    wait_p50_ms, wait_p99_ms how long an agent's program waited for its place
    fairness                 Jain's index of the agents' mean waiting times: 1 when all wait alike, 1/200 when one does
    most_ahead               by how many programs the luckiest agent was ahead of the unluckiest, at any time
    live_most                programs that were live at once, of `places`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from megaagent.clock import WallClock
from megaagent.errors import SandboxError
from megaagent.runtimes.local import LocalRuntime, places_of
from megaagent.sandboxes import make
from megaagent.sandboxes.contract import Program, Sandbox
from megaagent.sandboxes.interpreter import find_interpreter
from megaagent.workspace import Stamp, Workspace

NOTHING = Program(("python", "-c", "pass"), stdin="")
WORK = Program(("python", "-c", "sum(range(200000))"), stdin="")
LEVELS = ("bubblewrap", "landlock")
FILES = 20
FIRST = Stamp("boss", "benchmark", 0, 0, 1_700_000_000.0)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks programs", description=__doc__)
    parser.add_argument("--starts", type=int, default=40, help="of each kind (default 40)")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--each", type=int, default=3, help="programs that each agent runs (default 3)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="megaagent-programs-") as place:
        figures = asyncio.run(_measure(Path(place), given.starts, given.agents, given.each))
    print(json.dumps({"benchmark": "programs", "agents": given.agents, "cores": os.cpu_count()} | figures))
    return 0


async def _measure(place: Path, starts: int, agents: int, each: int) -> dict[str, float]:
    place.chmod(0o711)  # programs run as another user when this one is root
    workspace = Workspace.create(place / "workspace.git", stamp=FIRST)
    workspace.write_many({f"part{n % 4}/file{n}.py": b"x = 1\n" * 50 for n in range(FILES)}, workspace.head(), FIRST)
    levels = {name: make(name) for name in LEVELS}
    runtimes = {name: _runtime(place, workspace, sandbox) for name, sandbox in levels.items()}
    for name in LEVELS:
        try:
            await _whole(runtimes[name], workspace.head())
        except SandboxError as error:
            print(f"{name} does not hold here: {error}", file=sys.stderr)
            del levels[name], runtimes[name]
    figures = await _starts(place, levels, runtimes, workspace.head(), starts)
    figures |= await _crowd(next(iter(runtimes.values())), workspace.head(), agents, each)
    for runtime in runtimes.values():
        await runtime.close()
    workspace.close()
    return {name: round(value, 3) for name, value in figures.items()}


def _runtime(place: Path, workspace: Workspace, sandbox: Sandbox) -> LocalRuntime:
    scratch = Path(tempfile.mkdtemp(dir=place))
    scratch.chmod(0o711)
    return LocalRuntime({}, workspace, sandbox, scratch, WallClock())


# -- one start --------------------------------------------------------------------------------------------------------


async def _starts(
    place: Path, levels: dict[str, Sandbox], runtimes: dict[str, LocalRuntime], revision: str, count: int
) -> dict[str, float]:
    executable = str(find_interpreter().executable)
    folders = {name: place / name for name in levels}
    for folder in folders.values():
        folder.mkdir()

    async def plain() -> None:
        child = await asyncio.create_subprocess_exec(executable, "-c", "pass", stdin=asyncio.subprocess.DEVNULL)
        await child.wait()

    async def confined(name: str) -> None:
        process = await levels[name].start(NOTHING, folders[name])
        assert (await process.wait()).exit_code == 0

    kinds: dict[str, Callable[[], Awaitable[None]]] = {"plain": plain}
    for name in levels:
        kinds[name] = lambda name=name: confined(name)
        kinds[f"whole {name}"] = lambda name=name: _whole(runtimes[name], revision)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(count):
        for name, run in kinds.items():
            began = time.perf_counter()
            await run()
            times[name].append(time.perf_counter() - began)
    ms = {name: 1000 * statistics.median(taken) for name, taken in times.items()}
    overheads = {f"start_overhead_{name}_ms": ms[name] - ms["plain"] for name in levels}
    wholes = {f"whole_{name}_ms": ms[f"whole {name}"] for name in levels}
    return {"start_overhead_ms": max(overheads.values()), **overheads, "plain_ms": ms["plain"], **wholes}


async def _whole(runtime: LocalRuntime, revision: str) -> None:
    handle = await runtime.start(NOTHING, revision)
    assert (await handle.wait()).exit_code == 0
    await handle.harvest()
    await handle.close()


# -- many agents ------------------------------------------------------------------------------------------------------


async def _crowd(runtime: LocalRuntime, revision: str, agents: int, each: int) -> dict[str, float]:
    waits: list[list[float]] = [[] for _ in range(agents)]
    done = [0] * agents
    live = most = ahead = 0

    async def agent(number: int) -> None:
        nonlocal live, most, ahead
        for _ in range(each):
            asked = time.perf_counter()
            handle = await runtime.start(WORK, revision)
            waits[number].append(time.perf_counter() - asked)
            live += 1
            most = max(most, live)
            assert (await handle.wait()).exit_code == 0
            live -= 1
            await handle.close()
            done[number] += 1
            ahead = max(ahead, max(done) - min(done))

    began = time.perf_counter()
    await asyncio.gather(*map(agent, range(agents)))
    took = time.perf_counter() - began
    means = [statistics.mean(times) for times in waits]
    every = sorted(wait for times in waits for wait in times)
    return {
        "places": places_of(0),
        "live_most": most,
        "wait_p50_ms": 1000 * statistics.median(every),
        "wait_p99_ms": 1000 * every[int(0.99 * len(every))],
        "fairness": sum(means) ** 2 / (len(means) * sum(mean**2 for mean in means)),
        "most_ahead": ahead,
        "programs_per_s": agents * each / took,
    }
