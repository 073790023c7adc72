"""Whole runs whose work is done by a cluster: the same journal as at home, and nothing bought twice when nodes go."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from megaagent import Settings, replay
from megaagent import events as ev
from megaagent.events import ENGINE, Record
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.launch import start
from megaagent.models.server import SimServer
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.running import Result, Run
from megaagent.scenarios import SCRIPTS
from megaagent.settings import changed

from .conftest import KEY, MODEL, Nodes, a_world, ended, python, question, ray_or_skip, started
from .society import SCRIPT

pytestmark = pytest.mark.xdist_group("ray")
ROOT = Path(__file__).parents[2]


async def lived(
    place: Path, changes: dict[str, Any], environ: dict[str, str], meanwhile: Callable[[Run], Any] | None = None
) -> Result:
    """A run of the society, from its goal to its end."""
    given = {"simulation.speed": 0.0, "checks": ["python check.py"], "model.stream": False}
    settings = changed(Settings(), given | changes, "the test")
    async with start("Three small files.", settings=settings, runs=place, environ=environ) as live:
        task = asyncio.create_task(meanwhile(live)) if meanwhile else None
        result = await live.result()
        if task:
            await task
    assert (result.status, result.reason) == ("completed", "the verifier confirmed the deliverable")
    assert replay(RunFolder(result.folder)).problems == ()
    return result


def records(result: Result) -> list[Record]:
    reader = open_reader(RunFolder(result.folder).journal)
    try:
        return list(reader.records())
    finally:
        reader.close()


# -- equality ---------------------------------------------------------------------------------------------------------

# What tells a time, or follows from one or from the order of independent facts: seconds, names of commits and of calls
# (made from them), numbers of the engine's letters.
TOLD_ANEW = (
    (re.compile(r"\b\d+\.\d+ ?s\b"), "SECONDS"),
    (re.compile(r"\b[0-9a-f]{40}\b|\brevision [0-9a-f]{7,12}\b"), "REVISION"),
    (re.compile(r"call_[0-9a-f]{24}"), "CALL"),
    (re.compile(r"#0\.\d+\.\d+"), "#LETTER"),
)
TIMES = {
    "seconds",
    "time",
    "until",
    "request",
    "settings",
    "run",
}  # `request` is the fingerprint of texts that hold times


def timeless(value: Any) -> Any:
    """Plain data without what tells a time."""
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name not in TIMES}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [timeless(each) for each in value]  # pyright: ignore
    if isinstance(value, str):
        for pattern, word in TOLD_ANEW:
            value = pattern.sub(word, value)
    return value


def by_agent(facts: Sequence[Record]) -> dict[str, list[str]]:
    """What each agent did, in its order; of the engine, what it did, whenever."""
    told: dict[str, list[str]] = {}
    for record in facts:
        if isinstance(record.event, ev.StateDigested):
            continue  # a digest of times too
        text = f"{record.step} {json.dumps(timeless(msgspec.to_builtins(record.event)), sort_keys=True, default=repr)}"
        told.setdefault(record.agent, []).append(text)
    told[ENGINE].sort()
    return told


async def test_the_same_seed_gives_the_same_journal(cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SCRIPTS, "society", "tests.runtimes.society:SCRIPT")
    simulated = {"model.name": "sim:society"}
    there = await asyncio.to_thread(cluster.add, "fourth", cpus=2, resources={"society": 2}, environ=path())
    assert there
    on_ray = cluster.ray(**{"runtime.models_on": "society", "runtime.programs_on": "society"})
    home = by_agent(records(await lived(tmp_path / "home", simulated, {})))
    away = by_agent(records(await lived(tmp_path / "away", simulated | on_ray, cluster.environ)))
    await asyncio.to_thread(cluster.say, kill="fourth")
    assert list(home) and set(home) == set(away)
    for agent, facts in home.items():
        assert away[agent] == facts
    assert sum(map(len, home.values())) > 150


def path() -> dict[str, str]:
    """Workers must find the script of these tests."""
    return {"PYTHONPATH": str(ROOT)}


# -- loss -------------------------------------------------------------------------------------------------------------


async def test_a_node_is_killed_under_a_run_and_nothing_is_bought_twice_unsaid(cluster: Nodes, tmp_path: Path):
    async with AsyncExitStack() as stack:
        latency = Latency(fixed=0.4, per_completion=0.0, per_prompt=0.0, sigma=0.0)
        model = SimulatedModel(SCRIPT, name="society", latency=latency)
        server = await stack.enter_async_context(SimServer({"society": model}))
        frail: dict[str, Any] = {"cpus": 2, "resources": {"frail": 3}}
        await asyncio.to_thread(cluster.add, "third", **frail)

        async def kill_it(live: Run) -> None:
            """When the first member's program has ended and its next call is on its way, and others' programs run."""
            reached = asyncio.Event()
            ended = False

            def look(facts: Sequence[Record]) -> None:
                nonlocal ended
                ended = ended or any(isinstance(fact.event, ev.ProgramEnded) for fact in facts)
                if ended and any(isinstance(fact.event, ev.CallIntended) for fact in facts):
                    reached.set()

            live.watch(look)
            await reached.wait()
            await asyncio.to_thread(cluster.say, kill="third")
            await asyncio.to_thread(cluster.add, "fourth", **frail)

        served = {"model.name": "openai:society", "model.base_url": server.url, "model.price": "1:1"}
        on_frail = cluster.ray(**{"runtime.models_on": "frail", "runtime.programs_on": "frail"})
        result = await lived(tmp_path, served | on_frail, cluster.environ, kill_it)
        await asyncio.to_thread(cluster.say, kill="fourth")
        facts = [record.event for record in records(result)]
    # The provider's books against the journal's: each request that it answered is an answer that the journal has, or
    # an attempt of which the journal says that it may have been paid for.
    answered = [fact for fact in facts if isinstance(fact, ev.ModelAnswered)]
    maybe = [fact for fact in facts if isinstance(fact, ev.CallRetried) and fact.tokens]
    assert len({fact.call for fact in answered}) == len(answered)
    assert len(maybe) >= 1  # it was in flight
    assert len(answered) <= len(server.bill) <= len(answered) + len(maybe)
    assert all("whether an answer was paid for is not known" in fact.detail for fact in maybe)
    # Each program was recorded once, and has one end, which is a program's own.
    begun = [fact.program for fact in facts if isinstance(fact, ev.ProgramStarted)]
    ended = [(fact.program, fact.exit_code, fact.cut) for fact in facts if isinstance(fact, ev.ProgramEnded)]
    assert sorted(ended) == sorted((id, 0, ()) for id in begun)
    assert len(begun) == 4
    assert KEY not in str(facts)


# -- one machine ------------------------------------------------------------------------------------------------------


async def test_a_ray_of_its_own_is_private_and_ends_with_the_run(tmp_path: Path):
    ray_or_skip()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environ |= {"HOME": str(tmp_path), "OPENAI_API_KEY": KEY, "RAY_USAGE_STATS_ENABLED": "0"}
    changes = {"runtime.kind": "ray", "runtime.address": "local"}
    async with a_world(environ, changes) as world:
        assert (await world.runtime.complete(MODEL, question("here?"))).text == "heard here?"
        [port] = [int(found[1]) for note in world.notes if (found := re.search(r"1 node at 127\.0\.0\.1:(\d+)", note))]
        socket.create_connection(("127.0.0.1", port), 5).close()
        with pytest.raises(OSError):  # as it would not be, were it to listen on all addresses
            socket.create_connection(("127.0.0.2", port), 5).close()
        assert world.runtime.level != "refused", world.notes
        assert (await ended(await started(world, *python("print('in its walls')")))).output == "in its walls\n"
        assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
