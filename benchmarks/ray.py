"""What a Ray cluster costs and carries: `python -m benchmarks ray`.

The same model calls and programs by the local runtime and by a Ray that is begun on this machine, without an
organization around them. The model is a minimal server in a process of its own (simulated: no model is asked). All
share this machine's cores, so what speaks of other machines is the CPU time of each process, not the wall.

    calls_per_s, calls_per_s_local         with so many in flight as `--flight`, the provider answering at once
    engine_ms, driver_ms, callers_ms       CPU of a call then: in the engine's process, in the one beside it that is
                                           connected to Ray, and in the processes that ask (all threads of each)
    engine_ms_local                        CPU of a call in the engine's process by the local runtime
    head_calls_per_s                       1000 over the larger of the first two: what one head can hand out
    alone_ms, alone_ms_local               one call at a time, the provider answering at once
    overhead_ratio                         wall of a call, Ray's over local's, when the provider takes `--latency`
    program_ms, program_ms_local           one program at a time that does nothing, private copy of 20 files included
    program_overhead_ratio                 the one over the other
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.minimal_server import serving
from megaagent.choice import open_models
from megaagent.clock import WallClock
from megaagent.models.contract import ChatMessage, ModelRequest
from megaagent.placement import placing
from megaagent.runtimes.contract import Runtime
from megaagent.sandboxes.contract import Program
from megaagent.settings import Settings, changed
from megaagent.workspace import Stamp, Workspace

MODEL = "openai:minimal"
NOTHING = Program(("python", "-c", "pass"), stdin="")
FIRST = Stamp("boss", "benchmark", 0, 0, 1_700_000_000.0)
FILES = 20
TICK = os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ray", description=__doc__)
    parser.add_argument("--calls", type=int, default=4000, help="of each kind (default 4000)")
    parser.add_argument("--flight", type=int, default=400, help="calls at once (default 400)")
    parser.add_argument("--callers", type=int, default=1, help="processes that ask models (default 1)")
    parser.add_argument("--size", type=int, default=12_000, help="bytes of a prompt (default 12000)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds that a slow provider takes (default 1)")
    parser.add_argument("--programs", type=int, default=30, help="of each kind (default 30)")
    given = parser.parse_args(arguments)
    figures = asyncio.run(_measure(given))
    shown = {name: round(value, 3) for name, value in figures.items()}
    head = {"benchmark": "ray", "cores": os.cpu_count(), "callers": given.callers, "flight": given.flight}
    print(json.dumps(head | {"prompt_bytes": given.size, "latency_s": given.latency} | shown))
    return 0


async def _measure(given: argparse.Namespace) -> dict[str, float]:
    kinds: dict[str, dict[str, Any]] = {
        "_local": {},
        "": {"runtime.kind": "ray", "runtime.address": "local", "runtime.callers": given.callers},
    }
    figures: dict[str, float] = {}
    for suffix, changes in kinds.items():
        with serving(2, 0.0) as quick, serving(2, given.latency) as slow:
            async with _runtime(quick, changes) as there:
                told = await _many(there.runtime, given) | await _alone(there.runtime, given.size)
                told |= await _programs(there, given.programs)
            async with _runtime(slow, changes) as there:
                told["slow_ms"] = await _slow(there.runtime, given)
        figures |= {name + suffix: value for name, value in told.items()}
    figures["head_calls_per_s"] = 1000 / max(figures["engine_ms"], figures["driver_ms"])
    figures["overhead_ratio"] = figures["slow_ms"] / figures["slow_ms_local"]
    figures["program_overhead_ratio"] = figures["program_ms"] / figures["program_ms_local"]
    return figures


class There(NamedTuple):
    runtime: Runtime
    revision: str


@asynccontextmanager
async def _runtime(url: str, changes: dict[str, Any]) -> AsyncGenerator[There]:
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="megaagent-ray-")))
        place.chmod(0o711)
        workspace = Workspace.create(place / "workspace.git", stamp=FIRST, durable=False)
        stack.callback(workspace.close)
        workspace.write_many({f"file{n}.py": b"x = 1\n" * 50 for n in range(FILES)}, workspace.head(), FIRST)
        given = {"model.name": MODEL, "model.base_url": url, "model.stream": False}
        settings = changed(Settings(), given | changes, "the benchmark")
        models = open_models(settings, {}, {})
        environ = dict(os.environ)
        placed = await placing(stack, "benchmark", settings, models, workspace, WallClock(), environ)
        yield There(placed.runtime, workspace.head())


def _question(size: int) -> ModelRequest:
    return ModelRequest("minimal", (ChatMessage("system", "r" * size), ChatMessage("user", "go on")))


# -- calls ------------------------------------------------------------------------------------------------------------


async def _many(runtime: Runtime, given: argparse.Namespace) -> dict[str, float]:
    """Many in flight, the provider answering at once."""
    question = _question(given.size)
    await _flight(runtime, question, given.flight, given.flight)  # connections are made
    before, began = _cpu(), time.perf_counter()
    await _flight(runtime, question, given.calls, given.flight)
    wall, after = time.perf_counter() - began, _cpu()
    spent = {f"{name}_ms": 1000 * (after[name] - before[name]) / given.calls for name in after}
    return {"calls_per_s": given.calls / wall} | spent


async def _flight(runtime: Runtime, question: ModelRequest, calls: int, flight: int) -> None:
    left = iter(range(calls))

    async def asker() -> None:
        for _ in left:
            await runtime.complete(MODEL, question)

    await asyncio.gather(*(asker() for _ in range(flight)))


async def _alone(runtime: Runtime, size: int) -> dict[str, float]:
    """One at a time."""
    question, times = _question(size), list[float]()
    for _ in range(200):
        began = time.perf_counter()
        await runtime.complete(MODEL, question)
        times.append(time.perf_counter() - began)
    return {"alone_ms": 1000 * statistics.median(times)}


async def _slow(runtime: Runtime, given: argparse.Namespace) -> float:
    """Milliseconds of a call in the median, with a provider that takes its time, many in flight."""
    question, times = _question(given.size), list[float]()

    async def asker() -> None:
        for _ in range(3):
            began = time.perf_counter()
            await runtime.complete(MODEL, question)
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(asker() for _ in range(given.flight)))
    return 1000 * statistics.median(times)


def _cpu() -> dict[str, float]:
    """CPU seconds so far: of this process, of the one that is connected to Ray, and of those that ask models."""
    spent = {"engine": time.process_time(), "driver": 0.0, "callers": 0.0}
    parents: dict[int, int] = {}
    found: list[tuple[int, str, float]] = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            command, words = (each / "cmdline").read_bytes(), (each / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(each.name)] = int(words[1])
        seconds = sum(map(int, words[11:13])) / TICK
        if b"megaagent.runtimes.ray_driver" in command:
            found.append((int(each.name), "driver", seconds))
        elif command.startswith(b"ray::Caller"):
            found.append((int(each.name), "callers", seconds))
    for process, name, seconds in found:
        while process in parents and process != os.getpid():
            process = parents[process]
        if process == os.getpid():  # and not of somebody else's run
            spent[name] += seconds
    return spent


# -- programs ---------------------------------------------------------------------------------------------------------


async def _programs(there: There, count: int) -> dict[str, float]:
    times: list[float] = []
    for _ in range(count + 2):
        began = time.perf_counter()
        handle = await there.runtime.start(NOTHING, there.revision)
        await handle.read(60.0, 60.0)  # to its end, as an agent's tool does
        assert (await handle.wait()).exit_code == 0
        await handle.harvest()
        await handle.close()
        times.append(time.perf_counter() - began)
    return {"program_ms": 1000 * statistics.median(times[2:])}
