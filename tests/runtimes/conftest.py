"""What tests of runtimes need: a provider that notes what it is asked, and a Ray cluster of several nodes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from megaagent.choice import open_models
from megaagent.clock import WallClock
from megaagent.models.contract import ChatMessage, ModelRequest
from megaagent.models.gate import Gate
from megaagent.placement import placing
from megaagent.runtimes.contract import Handle, Runtime
from megaagent.sandboxes.contract import Execution, Program
from megaagent.settings import Settings, changed
from megaagent.workspace import Stamp, Workspace

KEY = "sk-the-key-of-the-provider-1234567890"
MODEL = "openai:echo"
STAMP = Stamp("boss", "run", 0, 0, 1_700_000_000.0)
NO_PROGRAMS = {"runtime.programs_on": "nowhere"}  # nobody looks for walls, which takes a process on each node
SMALL = NO_PROGRAMS | {"runtime.models_on": "one"}
TOKEN = "the-token-of-the-cluster-0123456789abcdef"


class Provider:
    """An OpenAI-compatible server on the loopback: answers with what it was asked, and notes that it was.

    Words in the question make it behave: "limits" sends headers, "busy" answers 429, "slow" waits until `go` is set.
    """

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.by: dict[str, str] = {}  # with which key each was asked last
        self.gone: list[str] = []
        self.live = self.most = 0
        self.go = asyncio.Event()
        self.seconds = 0.0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["messages"][-1]["content"]
        self.asked[text] += 1
        self.by[text] = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            if "slow" in text:
                await self.go.wait()
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.gone.append(text)
            raise
        finally:
            self.live -= 1
        if "busy" in text:
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "7"})
        headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "0"}
        return web.json_response(
            {
                "model": "echo",
                "choices": [{"message": {"role": "assistant", "content": f"heard {text}"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
            },
            headers=headers if "limits" in text else {},
        )

    async def begin(self) -> Callable[[], Any]:
        """Listen; what is returned ends it."""
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

        async def end() -> None:
            self.go.set()
            await runner.cleanup()

        return end


def question(text: str, deadline: float = 60.0) -> ModelRequest:
    return ModelRequest("echo", (ChatMessage("user", text),), deadline=deadline)


class World(NamedTuple):
    """A runtime with what it works for."""

    runtime: Runtime
    provider: Provider
    workspace: Workspace
    gate: Gate
    notes: tuple[str, ...]


@asynccontextmanager
async def a_world(environ: dict[str, str], changes: dict[str, Any]) -> AsyncGenerator[World]:
    """A runtime by settings, a provider, and a workspace of two files."""
    async with AsyncExitStack() as stack:
        provider = Provider()
        stack.push_async_callback(await provider.begin())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workspace = Workspace.create(Path(folder, "workspace.git"), stamp=STAMP, durable=False)
        stack.callback(workspace.close)
        workspace.write_many({"hello.py": b"print('hello')\n", "data/old.txt": b"old"}, workspace.head(), STAMP)
        given = {"model.name": MODEL, "model.base_url": provider.url, "model.stream": False, "sandbox.programs": 2}
        settings = changed(Settings(), given | changes, "the test")
        models = open_models(settings, environ, {})
        placed = await placing(stack, "run", settings, models, workspace, WallClock(), environ)
        gate = models.gates[settings.model.name or ""]
        yield World(placed.runtime, provider, workspace, gate, placed.notes)


async def started(world: World, *command: str, stdin: str | None = "", revision: str | None = None) -> Handle:
    return await world.runtime.start(Program(command, stdin), revision or world.workspace.head())


async def ended(handle: Handle) -> Execution:
    try:
        return await handle.wait()
    finally:
        await handle.close()


def python(code: str) -> tuple[str, ...]:
    return ("python", "-c", code)


class Nodes:
    """A cluster of Ray, in processes that end with this object."""

    def __init__(self, folder: Path):
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
            "RAY_health_check_period_ms": "500",
            "OPENAI_API_KEY": KEY,
        }
        with (folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("nodes.py")), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self.environ,
                start_new_session=True,
            )
        self.folder = folder
        self.address = ""

    def say(self, **order: Any) -> dict[str, Any]:
        """Give an order; see nodes.py."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, (self.folder / "stderr").read_text()[-2000:]
        return json.loads(answer)

    def add(self, name: str, **more: Any) -> str:
        """Add a node; its id."""
        answer = self.say(add=name, **more)
        self.address = answer["address"]
        return answer["node"]

    def ray(self, **changes: Any) -> dict[str, Any]:
        """Settings of a run that uses it."""
        return {"runtime.kind": "ray", "runtime.address": self.address} | changes

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        # What is left of it, should it have been killed itself: everything of this cluster names its folder.
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.folder).encode() in (each / "cmdline").read_bytes() and int(each.name) != os.getpid():
                    os.kill(int(each.name), signal.SIGKILL)
            except (OSError, ValueError):
                continue


def ray_or_skip() -> None:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'megaagent[ray]'")
    if sys.platform != "linux":
        pytest.skip("the cluster of the tests needs Linux")


def new_cluster() -> Iterator[Nodes]:
    ray_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="ma-ray-", dir="/tmp"))  # short: Ray's sockets are below it
    nodes = Nodes(folder)
    try:
        yield nodes
    finally:
        nodes.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    """Three nodes: one that only leads, and two that work."""
    for nodes in new_cluster():
        nodes.add("head", cpus=0)
        nodes.add("one", cpus=2, resources={"one": 10})
        nodes.add("two", cpus=1)
        yield nodes
