"""A cluster that comes and goes under a run: nodes are killed, drained and added, the head loses its connection."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from megaagent.errors import ModelError, SandboxError
from megaagent.models.contract import ModelResponse
from megaagent.runtimes.ray import RayRuntime

from .conftest import KEY, MODEL, NO_PROGRAMS, Nodes, World, a_world, ended, new_cluster, python, question, started

pytestmark = pytest.mark.xdist_group("ray")
THIRD = "sk-the-key-of-the-third-node-1234567890"
PATIENCE = 60.0


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.02)


async def asked_by(world: World, key: str, *, only: bool = False, prefix: str = "probe") -> None:
    """Ask until a call was made with a key; or until none of twenty in a row was made with another."""
    count = row = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            texts = [f"{prefix} {count + each}" for each in range(4)]
            count += 4
            await asyncio.gather(*(world.runtime.complete(MODEL, question(text)) for text in texts))
            keys = {world.provider.by[text] for text in texts}
            row = row + 4 if keys == {key} else 0
            if (row >= 20) if only else (key in keys):
                return


def outcome(results: list[ModelResponse | BaseException], names: list[str]) -> tuple[set[str], set[str]]:
    """Who was answered, and whose outcome is not known; anything else fails."""
    answered, unknown = set[str](), set[str]()
    for name, result in zip(names, results, strict=True):
        if isinstance(result, ModelResponse):
            assert result.text == f"heard {name}"
            answered.add(name)
        else:
            assert isinstance(result, ModelError), result
            assert (result.fault, result.maybe_paid, result.on_our_side) == ("connection", True, True)
            unknown.add(name)
    return answered, unknown


async def flight(world: World, count: int) -> tuple[list[str], list[asyncio.Task[ModelResponse]]]:
    """So many calls that the provider keeps waiting."""
    world.provider.go.clear()
    names = [f"slow {number}" for number in range(count)]
    calls = [asyncio.create_task(world.runtime.complete(MODEL, question(name))) for name in names]
    await until(lambda: world.provider.live >= count)
    return names, calls


def what_is_seen(cluster: Nodes) -> dict[str, Any]:
    """What `megaagent cluster` says."""
    command = [sys.executable, "-c", "from megaagent.cli import main; main()", "cluster"]
    told = subprocess.run(
        [*command, "--json", "--ray-address", cluster.address],
        env=cluster.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stderr == ""
    return json.loads(told.stdout)


async def test_a_node_is_added_and_killed_under_load(cluster: Nodes):
    room = {"runtime.calls": 70}
    async with a_world(cluster.environ, cluster.ray(**NO_PROGRAMS, **room)) as world:
        await asyncio.to_thread(cluster.add, "third", cpus=1, environ={"OPENAI_API_KEY": THIRD})
        await asked_by(world, THIRD)  # it takes its share
        names, calls = await flight(world, 200)
        # More than the three workers may have wait, and nobody is asked for them.
        more = [f"slow and late {number}" for number in range(40)]
        calls += [asyncio.create_task(world.runtime.complete(MODEL, question(name))) for name in more]
        names += more
        await until(lambda: world.provider.live >= 3 * 70)
        there = {name for name in names if world.provider.by.get(name) == THIRD}
        assert len(there) == 70
        seen = await asyncio.to_thread(what_is_seen, cluster)
        assert (seen["models"]["workers"], seen["models"]["live"]) == (3, 210)
        assert sorted(node["models"]["live"] for node in seen["nodes"])[0] == 0  # the head only leads
        assert len(there) in {node["models"]["live"] for node in seen["nodes"]}
        assert {run for node in seen["nodes"] for run in node["runs"]} == {"run"}
        await asyncio.to_thread(cluster.say, kill="third")
        await until(lambda: sum(call.done() for call in calls) >= len(there))
        world.provider.go.set()
        answered, unknown = outcome(await asyncio.gather(*calls, return_exceptions=True), names)
        # Nothing is lost: each was answered, or it is said that nobody knows. Nothing was asked twice behind our back.
        assert (unknown, answered) == (there, set(names) - there)
        assert all(world.provider.asked[name] == 1 for name in names)
        assert world.provider.most == 3 * 70
        # The rest of the cluster goes on.
        again = await asyncio.gather(*(world.runtime.complete(MODEL, question(name)) for name in sorted(unknown)))
        assert [answer.text for answer in again] == [f"heard {name}" for name in sorted(unknown)]
        assert {world.provider.by[name] for name in unknown} == {KEY}


async def test_programs_of_a_killed_node(cluster: Nodes):
    await asyncio.to_thread(cluster.add, "third", cpus=1, resources={"special": 2})
    async with a_world(
        cluster.environ, cluster.ray(**{"runtime.programs_on": "special", "runtime.models_on": "one"})
    ) as world:
        heard = await started(world, *python("print('ready'); input()"), stdin=None)
        assert await heard.read(0.05, 20) == ("ready\n", True)
        holder = await started(world, *python("input()"), stdin=None)
        waiting = asyncio.create_task(started(world, *python("print('third')")))  # both places are taken
        async with asyncio.timeout(PATIENCE):  # so a cluster that can grow is asked to
            while len((await asyncio.to_thread(cluster.say, asked=True))["asked"]) != 3:
                await asyncio.sleep(0.1)
        await asyncio.to_thread(cluster.add, "fourth", cpus=1, resources={"special": 2})
        assert (await ended(await waiting)).output == "third\n"
        await holder.close()
        unheard = await started(world, *python("import time; time.sleep(4); print('done'); open('made', 'w')"))
        reading = asyncio.create_task(unheard.read(3600, 3600))
        await asyncio.to_thread(cluster.say, kill="third")
        # What nobody had heard is done again, to the same end.
        assert await reading == ("done\n", False)
        assert (await unheard.wait()).exit_code == 0
        assert (await unheard.harvest()).written == {"made": b""}
        await unheard.close()
        # A dialogue cannot be: it has ended, with what was heard of it.
        assert await heard.read(0.05, 20) == ("", False)
        with pytest.raises(SandboxError, match="lost"):
            await heard.send("1\n")
        result = await ended(heard)
        assert (result.exit_code, result.output, result.cut) == (-9, "ready\n", ("lost",))
    await asyncio.to_thread(cluster.say, kill="fourth")


async def test_a_node_that_is_drained_ends_what_it_has_and_gets_nothing_new(cluster: Nodes):
    await asyncio.to_thread(cluster.add, "third", cpus=1, resources={"special": 1}, environ={"OPENAI_API_KEY": THIRD})
    async with a_world(cluster.environ, cluster.ray(**{"runtime.programs_on": "special"})) as world:
        await asked_by(world, THIRD)
        names, calls = await flight(world, 60)
        assert THIRD in {world.provider.by[name] for name in names}
        program = await started(world, *python("input(); print('done')"), stdin=None)
        answer = await asyncio.to_thread(cluster.say, drain="third", seconds=60)
        assert answer["taken"], answer["why"]
        await asked_by(world, KEY, only=True, prefix="drained")
        world.provider.go.set()
        answered, unknown = outcome(await asyncio.gather(*calls, return_exceptions=True), names)
        assert (answered, unknown) == (set(names), set())
        assert all(world.provider.asked[name] == 1 for name in names)
        await program.send("\n")
        assert (await ended(program)).output == "done\n"
    await asyncio.to_thread(cluster.say, kill="third")


async def test_the_connection_of_the_head_is_lost(cluster: Nodes):
    only_one = {"runtime.models_on": "one", "runtime.programs_on": "one"}
    async with a_world(cluster.environ, cluster.ray(**only_one)) as world:
        names, calls = await flight(world, 50)
        program = await started(world, *python("import time; time.sleep(1); print('done')"))
        dialogue = await started(world, *python("print('ready'); input()"), stdin=None)
        assert await dialogue.read(0.05, 20) == ("ready\n", True)
        process = cast(RayRuntime, world.runtime)._link._process  # pyright: ignore[reportPrivateUsage]
        os.kill(process.pid, signal.SIGKILL)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert outcome(results, names) == (set(), set(names))
        world.provider.go.set()
        # It connects again by itself.
        assert (await world.runtime.complete(MODEL, question("again"))).text == "heard again"
        assert all(world.provider.asked[name] == 1 for name in names)
        assert await program.read(3600, 3600) == ("done\n", False)
        assert (await ended(program)).exit_code == 0
        assert (await ended(dialogue)).cut == ("lost",)


async def test_the_whole_cluster_is_lost_and_the_engine_lives():
    for nodes in new_cluster():
        nodes.add("head", cpus=1)
        async with a_world(nodes.environ, nodes.ray(**NO_PROGRAMS)) as world:
            names, calls = await flight(world, 5)
            await asyncio.to_thread(nodes.say, lose_head=True)
            async with asyncio.timeout(PATIENCE):
                assert outcome(await asyncio.gather(*calls, return_exceptions=True), names) == (set(), set(names))
            # Nobody can be asked, so nobody is paid; and it is said why.
            waiting: Awaitable[ModelResponse] = world.runtime.complete(MODEL, question("nobody", deadline=-29.0))
            with pytest.raises(ModelError, match=r"Ray|cluster") as raised:
                await waiting
            assert (raised.value.fault, raised.value.maybe_paid, raised.value.on_our_side) == (
                "connection",
                False,
                True,
            )
            assert world.provider.asked["nobody"] == 0
