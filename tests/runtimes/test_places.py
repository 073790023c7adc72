"""Programs of many agents on one machine: a limited number at once, and the others in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from megaagent.clock import VirtualClock
from megaagent.errors import SandboxError
from megaagent.runtimes.local import FEWEST_PLACES, LocalRuntime, places_of
from megaagent.sandboxes.contract import Execution, Level, Process, Program
from megaagent.workspace import Stamp, Workspace

SECONDS = 10.0


class Napping:
    """A program that does nothing for ten seconds."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self._end = asyncio.create_task(asyncio.sleep(SECONDS))

    async def send(self, text: str) -> None: ...

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        await self._end
        return "", False

    async def wait(self) -> Execution:
        await self._end
        return Execution(0, "", SECONDS)

    async def stop(self) -> None:
        if not self._end.done():
            self._end.cancel()
        if self in self._machine.live:
            self._machine.live.remove(self)


class Machine:
    """A sandbox that notes who starts when, and how many are live."""

    level = Level.NONE

    def __init__(self) -> None:
        self.started: list[str] = []
        self.live: list[Napping] = []
        self.most = 0

    async def start(self, program: Program, folder: Path) -> Process:
        name = program.command[0]
        if name == "broken":
            raise SandboxError("it does not start")
        self.started.append(name)
        process = Napping(self)
        self.live.append(process)
        self.most = max(self.most, len(self.live))
        return process


@pytest.fixture
def machine() -> Machine:
    return Machine()


Runner = Callable[[Callable[[LocalRuntime], Any], int], float]


@pytest.fixture
def play(tmp_path: Path, machine: Machine) -> Iterator[Runner]:
    """Run something with a runtime of so many places in virtual time; the seconds that it took."""
    workspace = Workspace.create(tmp_path / "workspace.git", stamp=Stamp("boss", "r", 0, 0, 1.0), durable=False)
    (tmp_path / "scratch").mkdir()

    def run(act: Callable[[LocalRuntime], Any], places: int) -> float:
        clock = VirtualClock()

        async def main() -> None:
            # Its programs are no real ones: the clock is not held while they run, it jumps over them.
            clock.real_program = VirtualClock().real_program
            await act(LocalRuntime({}, workspace, machine, tmp_path / "scratch", clock, programs=places))

        clock.run(main)
        return clock.elapsed()

    yield run
    workspace.close()


async def run_one(runtime: LocalRuntime, name: str) -> None:
    handle = await runtime.start(Program((name,)), runtime_head(runtime))
    try:
        await handle.wait()
    finally:
        await handle.close()


def runtime_head(runtime: LocalRuntime) -> str:
    return runtime._workspace.head()  # pyright: ignore[reportPrivateUsage]


def test_two_hundred_agents_take_turns(machine: Machine, play: Runner):
    """Eight places, three programs each: nobody has a second turn before everybody has had a first."""

    async def crowd(runtime: LocalRuntime) -> None:
        async def agent(number: int) -> None:
            for _ in range(3):
                await run_one(runtime, f"agent{number}")

        await asyncio.gather(*map(agent, range(200)))

    took = play(crowd, 8)
    assert machine.most == 8
    assert took == 600 / 8 * SECONDS  # no place was idle, none was used twice
    # Their private copies are made side by side, so those who have a place begin in any order: by eight at most.
    turns = Counter[str]()
    for count, name in enumerate(machine.started):
        turns[name] += 1
        assert count // 200 - 1 <= turns[name] - 1 <= (count + 8) // 200
    assert set(turns.values()) == {3}


def test_who_is_called_off_while_waiting_gives_up_its_turn(machine: Machine, play: Runner):
    async def act(runtime: LocalRuntime) -> None:
        first, second, third = (asyncio.create_task(run_one(runtime, name)) for name in ("one", "two", "three"))
        await asyncio.sleep(1.0)
        second.cancel()
        await asyncio.gather(first, third)

    assert play(act, 1) == 2 * SECONDS
    assert machine.started == ["one", "three"]


def test_one_that_cannot_be_started_frees_its_place(machine: Machine, play: Runner):
    async def act(runtime: LocalRuntime) -> None:
        for _ in range(3):
            with pytest.raises(SandboxError):
                await run_one(runtime, "broken")
        await run_one(runtime, "one")

    play(act, 1)
    assert machine.started == ["one"] and list(machine.live) == []


def test_one_that_is_called_off_while_it_runs_frees_its_place(machine: Machine, play: Runner):
    async def act(runtime: LocalRuntime) -> None:
        first, second = (asyncio.create_task(run_one(runtime, name)) for name in ("one", "two"))
        await asyncio.sleep(1.0)
        first.cancel()
        await second

    assert play(act, 1) == 1.0 + SECONDS
    assert machine.started == ["one", "two"]


def test_a_small_machine_has_places_for_programs_that_wait_for_input():
    assert places_of(0) >= FEWEST_PLACES
    assert places_of(2) == 2
