"""What every runtime promises, asked of each member of the table: this process, and a Ray cluster of three nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from megaagent.errors import ModelError, SandboxError
from megaagent.runtimes import RUNTIMES
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Level, Program

from .conftest import KEY, MODEL, STAMP, World, a_world, ended, python, question, started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("ray")]
COUNTER = "import sys\nprint('ready')\nfor line in sys.stdin: print(int(line) * 2, flush=True)"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=RUNTIMES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if (await probe(Level.LANDLOCK)).sandbox is None:
        pytest.skip("no sandbox holds here")
    environ, changes = {"OPENAI_API_KEY": KEY}, dict[str, Any]()
    if request.param == "ray":
        nodes = request.getfixturevalue("cluster")
        environ, changes = nodes.environ, nodes.ray()
    async with a_world(environ, changes) as world:
        yield world


# -- model calls ------------------------------------------------------------------------------------------------------


async def test_a_model_answers(world: World):
    answer = await world.runtime.complete(MODEL, question("good day, ä\ud800".encode("utf-8", "replace").decode()))
    assert answer.text.startswith("heard good day, ä")
    assert (answer.usage.prompt, answer.usage.completion, answer.model) == (10, 2, "echo")


async def test_a_fault_comes_back_with_all_that_the_retry_needs(world: World):
    with pytest.raises(ModelError) as raised:
        await world.runtime.complete(MODEL, question("busy"))
    error = raised.value
    assert (error.fault, error.status, error.retry_after, error.maybe_paid) == ("rate_limit", 429, 7.0, False)
    assert not error.on_our_side


async def test_one_attempt_is_one_request(world: World):
    with pytest.raises(ModelError):
        await world.runtime.complete(MODEL, question("busy once"))
    assert world.provider.asked["busy once"] == 1


async def test_what_a_provider_tells_of_its_limits_reaches_the_gate(world: World):
    place = world.gate.place()
    assert world.gate.enter_now(place)
    world.gate.leave(place)
    await world.runtime.complete(MODEL, question("limits"))
    assert not world.gate.enter_now(world.gate.place())  # none is left in this minute


async def test_the_deadline_is_kept(world: World):
    world.provider.go.clear()
    with pytest.raises(ModelError) as raised:
        await world.runtime.complete(MODEL, question("slow and late", deadline=0.3))
    assert (raised.value.fault, raised.value.maybe_paid) == ("timeout", True)


async def test_who_is_called_off_hangs_up(world: World):
    world.provider.go.clear()
    call = asyncio.create_task(world.runtime.complete(MODEL, question("slow and called off")))
    while not world.provider.asked["slow and called off"]:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(10):
        while "slow and called off" not in world.provider.gone:
            await asyncio.sleep(0.01)


async def test_hundreds_are_in_flight_at_once_and_each_has_its_own_answer(world: World):
    world.provider.go.clear()
    world.provider.most = 0
    names = [f"slow {number}" for number in range(300)]
    calls = [asyncio.create_task(world.runtime.complete(MODEL, question(name))) for name in names]
    async with asyncio.timeout(30):
        while world.provider.live < 300:
            await asyncio.sleep(0.01)
    world.provider.go.set()
    assert [answer.text for answer in await asyncio.gather(*calls)] == [f"heard {name}" for name in names]
    assert all(world.provider.asked[name] == 1 for name in names)


async def test_a_long_prompt_goes_through(world: World):
    text = "x" * 3_000_000
    assert (await world.runtime.complete(MODEL, question(text))).text == f"heard {text}"


async def test_the_key_is_sent_to_the_provider(world: World):
    await world.runtime.complete(MODEL, question("who am I?"))
    assert world.provider.by["who am I?"] == KEY


# -- programs ---------------------------------------------------------------------------------------------------------


async def test_a_program_runs_in_a_private_copy_of_the_revision(world: World):
    first = world.workspace.head()
    world.workspace.write("hello.py", b"print('good day')\n", first, STAMP)
    assert (await ended(await started(world, "python", "hello.py", revision=first))).output == "hello\n"
    result = await ended(await started(world, "python", "hello.py"))
    assert (result.exit_code, result.output, result.cut) == (0, "good day\n", ())
    assert world.workspace.read("data/old.txt").text == "old"


async def test_what_it_leaves_is_harvested(world: World):
    code = "import os; open('new.bin', 'wb').write(bytes(range(256))); os.remove('data/old.txt'); os.symlink('/', 'l')"
    handle = await started(world, *python(code))
    assert (await handle.wait()).exit_code == 0
    harvest = await handle.harvest()
    await handle.close()
    assert harvest.written == {"new.bin": bytes(range(256))}
    assert harvest.removed == ("data/old.txt",)
    assert "symbolic link" in harvest.refused[0]
    # The next one sees nothing of it.
    result = await ended(await started(world, *python("import os; print(sorted(os.listdir('.')))")))
    assert result.output == "['data', 'hello.py']\n"


async def test_a_dialogue_is_live(world: World):
    handle = await started(world, *python(COUNTER), stdin=None)
    text = ""
    while "ready" not in text:
        came, running = await handle.read(quiet=0.05, patience=10)
        text += came
        assert running
    for number in (1, 21):
        await handle.send(f"{number}\n")
        assert await handle.read(quiet=0.05, patience=10) == (f"{2 * number}\n", True)
    await handle.stop()
    assert (await handle.wait()).exit_code == -9
    with pytest.raises(SandboxError):
        await handle.send("1\n")
    await handle.close()


async def test_output_comes_while_the_program_runs(world: World):
    handle = await started(world, *python("import time\nprint('begun', flush=True)\ntime.sleep(50)"))
    assert await handle.read(quiet=0.05, patience=10) == ("begun\n", True)
    await handle.close()


async def test_its_end_is_told_with_all_of_its_output(world: World):
    handle = await started(world, *python("print('one'); import sys; print('two'); sys.exit(7)"))
    assert await handle.read(quiet=20, patience=20) == ("one\ntwo\n", False)
    result = await ended(handle)
    assert (result.exit_code, result.output) == (7, "one\ntwo\n")
    assert 0 < result.seconds < 20


async def test_its_limits_hold(world: World):
    limits = Program(()).limits
    program = Program(python("while True: pass"), "", type(limits)(seconds=0.5))
    result = await ended(await world.runtime.start(program, world.workspace.head()))
    assert (result.exit_code, result.cut) == (-9, ("time",))


async def test_more_than_there_are_places_take_turns(world: World):
    async def one(number: int) -> str:
        return (await ended(await started(world, *python(f"print({number})")))).output

    assert await asyncio.gather(*map(one, range(12))) == [f"{number}\n" for number in range(12)]


async def test_who_is_called_off_while_waiting_for_a_place_gives_up_its_turn(world: World):
    held = [await started(world, *python("input()"), stdin=None) for _ in range(2)]
    more = [asyncio.create_task(started(world, *python("print(1)"))) for _ in range(3)]
    await asyncio.sleep(0.1)
    for task in more:
        task.cancel()
    results = await asyncio.gather(*more, return_exceptions=True)
    for handle in [*held, *(each for each in results if not isinstance(each, BaseException))]:
        await handle.close()
    assert (await ended(await started(world, *python("print(2)")))).output == "2\n"


async def test_what_cannot_be_started_is_told_and_frees_its_place(world: World):
    for _ in range(4):
        with pytest.raises(SandboxError, match="no-such-package"):
            program = Program(("true",), "", packages=("no-such-package",))
            await world.runtime.start(program, world.workspace.head())
    assert (await ended(await started(world, "true"))).exit_code == 0


async def test_nothing_of_the_head_is_in_its_environment(world: World):
    result = await ended(await started(world, *python("import os; print(sorted(os.environ.items()))")))
    assert KEY not in result.output and "RAY" not in result.output


async def test_the_level_of_its_walls_is_told(world: World):
    assert world.runtime.level in ("landlock", "bubblewrap")
