"""The national policy scenario: `python -m benchmarks policy --latency 0|1|law`.

590 agents (or `--agents N`) with a simulated model: no model is asked. With 0 answers come at once and with 1 after one
second; the engine is real, with its journal and workspace on disk. With `law` answers take as long as the law that was
fitted to a real model says, in virtual time, so that the figures are exact and the same on every machine.

    wall_s           from the start of the run to its end, the report not included
    critical_path_s  model and program time along the longest chain of steps that wait for each other
    ratio            wall_s (with `law`: virtual_s) over critical_path_s
    cached_share     of prompt tokens, by the rule of OpenAI's guide "Prompt caching"; whole messages only
    dollars          at the list prices of real models, for these tokens
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
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from megaagent import events as ev
from megaagent.events import Record
from megaagent.journal import open_reader
from megaagent.models.prices import cost_of
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.readings.critical import critical_path
from megaagent.scenarios.contract import Check, Start
from megaagent.scenarios.policy.check import judged
from megaagent.scenarios.policy.nation import AGENTS, nation
from megaagent.scenarios.policy.scenario import Policy
from megaagent.scenarios.policy.script import script
from megaagent.settings import Settings, changed

LATENCIES = {"0": AT_ONCE, "1": Latency(1.0, 0.0, 0.0, 0.0), "law": Latency()}
PRICED = ("openai:gpt-4.1", "deepseek:deepseek-chat")
WATCHED = 0.05  # seconds between two looks at the number of threads


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks policy", description=__doc__)
    parser.add_argument("--latency", choices=tuple(LATENCIES), default="0")
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--repeats", type=int, default=None, help="runs, of which the medians are printed (3, 1, 1)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        print(json.dumps(asyncio.run(real(given.agents, LATENCIES[given.latency]))))
        return 0
    repeats = given.repeats or (3 if given.latency == "0" else 1)
    measured = [_measured(given.latency, given.agents) for _ in range(repeats)]
    figures = {name: _median([each[name] for each in measured]) for name in measured[0]}
    told = {"benchmark": "policy", "simulated": True, "latency": given.latency, "repeats": repeats}
    print(json.dumps(told | figures))
    return 0 if all(each["status"] == "completed" for each in measured) else 1


def _median(values: Sequence[Any]) -> Any:
    if not all(isinstance(value, int | float) for value in values):
        return values[0]
    middle = statistics.median(values)
    return round(middle, 4) if isinstance(middle, float) else middle


def _measured(latency: str, agents: int) -> dict[str, Any]:
    if latency == "law":
        return virtual(agents, LATENCIES[latency])
    # In a process of its own, so that memory and threads are the run's.
    command = [sys.executable, "-m", "benchmarks", "policy", "--child", "--latency", latency, "--agents", str(agents)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Sized(Policy):
    """The scenario for a nation of any size; only a whole one can pass the check."""

    def __init__(self, agents: int):
        self.whole = len(nation(agents).names) == len(nation().names)
        self.check_seconds = 0.0

    async def check(self, start: Start) -> list[Check]:
        began = time.perf_counter()
        checks = await super().check(start) if self.whole else []
        self.check_seconds += time.perf_counter() - began
        return checks


def chosen(agents: int, **changes: Any) -> Settings:
    """Settings under which all agents may call at once: the provider has no limits here."""
    many = {"gate.start": agents, "gate.most": max(2000, agents), "limits.agents": max(1000, agents + 1)}
    return changed(
        Settings(), {**Policy.settings, **many, "budget.cost": 60.0 * max(1, agents / AGENTS), **changes}, ""
    )


def virtual(agents: int, latency: Latency, **changes: Any) -> dict[str, Any]:
    """A rehearsal: nothing outside this process, in virtual time."""
    from megaagent.testing import rehearse

    scenario, began = Sized(agents), time.perf_counter()
    model = SimulatedModel(script(agents), name="sim:policy", latency=latency)
    run = rehearse(model, scenario.goal, settings=chosen(agents, **changes))
    wall = time.perf_counter() - began
    failed = [check.name for check in judged(run.files) if not check.passed] if scenario.whole else []
    path = critical_path(run.records)
    return {
        "status": run.ending.status if not failed else f"failed checks: {', '.join(failed)}",
        **counted(run.records),
        "wall_s": wall,
        "virtual_s": run.seconds,
        "critical_path_s": path.seconds,
        "critical_path_calls": path.calls,
        "ratio": run.seconds / path.seconds if path.seconds else 0.0,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": threading.active_count(),
    }


async def real(agents: int, latency: Latency) -> dict[str, Any]:
    """A run as a user starts it, but for the model."""
    from megaagent.launch import start

    scenario = Sized(agents)
    model = SimulatedModel(script(agents), name="sim:policy", latency=latency)
    with tempfile.TemporaryDirectory(prefix="megaagent-policy-") as place:
        began, cpu = time.perf_counter(), time.process_time()
        async with start(
            scenario=scenario,
            settings=chosen(agents),
            runs=place,
            models={"sim:policy": model},
            environ={},
        ) as live:
            over = asyncio.Event()
            live.watch(lambda news: over.set() if isinstance(news[-1].event, ev.RunEnded) else None)
            most = 0
            while not over.is_set():
                most = max(most, threading.active_count())
                try:
                    await asyncio.wait_for(over.wait(), WATCHED)
                except TimeoutError:
                    continue
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            result = await live.result()
            total = time.perf_counter() - began
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        journal = Path(result.folder) / "journal.db"
        records = list(open_reader(journal).records())
        path = critical_path(records, seconds=lambda answer: latency.fixed)
        length = path.seconds + scenario.check_seconds
        return {
            "status": result.status,
            **counted(records),
            "wall_s": wall,
            "cpu_s": cpu,
            "with_report_s": total,
            "virtual_s": None,
            "critical_path_s": length,
            "critical_path_calls": path.calls,
            "check_s": scenario.check_seconds,
            "ratio": wall / length if latency.fixed else None,
            "rss_mb": rss,
            "threads": most,
            "journal_mb": journal.stat().st_size / 1e6,
        }


def counted(records: Sequence[Record]) -> dict[str, Any]:
    """What the journal says about size, tokens and money."""
    usage, steps = ev.Usage(), 0
    for record in records:
        if isinstance(record.event, ev.ModelAnswered):
            usage, steps = usage + record.event.usage, steps + 1
    return {
        "agents": sum(isinstance(record.event, ev.AgentRecruited) for record in records),
        "steps": steps,
        "facts": len(records),
        "commits": sum(isinstance(record.event, ev.FileCommitted) for record in records),
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "cached_share": usage.cached / usage.prompt,
        "dollars": {name: round(cost_of(usage, name) or 0.0, 2) for name in PRICED},
    }
