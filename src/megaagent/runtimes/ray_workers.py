"""What runs on the nodes of a cluster: processes that ask models, and places in which programs run.

Both are actors of Ray. Keys are in the environment of these processes and nowhere else: they are neither sent there nor
sent back.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import shutil
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from megaagent.errors import ConfigurationError, SandboxError
from megaagent.models import endpoint_of, open_model
from megaagent.models.contract import Model, ModelRequest
from megaagent.models.limits import Limits
from megaagent.runtimes.ray_wire import Asked, Failure, Heard, Hello, Order, Reply, Versions, encode, failure_of
from megaagent.runtimes.scratch import scratch, sweep
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Level, Process, Program, Sandbox
from megaagent.sandboxes.harvest import discard, harvest, prepare

PACE: Final = 60.0  # seconds over which the pace of a worker is taken
HELD: Final = 256 << 20  # bytes of files that a place keeps at hand


class Pace:
    """How much a worker does: what is live, what is done, and how fast of late."""

    def __init__(self) -> None:
        self.live = self.done = 0
        self._began = time.monotonic()
        self._ends: deque[tuple[int, int]] = deque()  # per second: when, and how many ended

    def ended(self) -> None:
        self.done += 1
        now = int(time.monotonic())
        if self._ends and self._ends[-1][0] == now:
            self._ends[-1] = (now, self._ends[-1][1] + 1)
        else:
            self._ends.append((now, 1))
        while self._ends[0][0] < now - PACE:
            self._ends.popleft()

    def told(self) -> dict[str, Any]:
        now = time.monotonic()
        recent = sum(count for second, count in self._ends if second >= now - PACE)
        return {"live": self.live, "done": self.done, "per_s": recent / max(1.0, min(PACE, now - self._began))}


class Caller:
    """Asks models: hundreds of calls at once, on connections of its own.

    Calls come and answers go in batches: one message through Ray costs more than one call of a model.
    """

    def __init__(self, order: bytes):
        self._order = msgspec.msgpack.decode(order, type=Order)
        self._models: dict[str, Model] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._answers: list[tuple[int, Reply]] = []
        self._told: dict[str, Limits] = {}
        self._some = asyncio.Event()
        self._pace = Pace()

    async def open(self) -> bytes:
        """Open the models; what is wrong with this worker, if anything is."""
        hello = greeting(self._order)
        if not hello.problem:
            try:
                more_descriptors()
                for asked in self._order.models:
                    self._models[asked.name] = self._opened(asked)
            except ConfigurationError as error:
                hello = msgspec.structs.replace(hello, problem=str(error))
        return encode(hello)

    def _opened(self, asked: Asked) -> Model:
        name, order = asked.name, self._order
        endpoint = endpoint_of(name, environ=os.environ, base_url=asked.base_url)
        if endpoint != asked.endpoint:
            raise ConfigurationError(
                f"{name} would be asked at {endpoint} by the worker's environment and at {asked.endpoint} by the "
                "head's: give --base-url, or set the same *_BASE_URL on all nodes"
            )
        return open_model(
            name,
            environ=os.environ,
            base_url=asked.base_url,
            stream=order.stream,
            limits=lambda limits: self._told.__setitem__(name, limits),
            scripts=order.scripts,
            seed=order.seed,
            speed=order.speed or math.inf,
            network=order.network,
        )

    async def take(self, batch: bytes) -> None:
        """Begin calls, and call others off."""
        calls, off = msgspec.msgpack.decode(batch, type=tuple[list[tuple[int, str, msgspec.Raw]], list[int]])
        for id, model, request in calls:
            self._calls[id] = asyncio.create_task(self._call(id, model, bytes(request)))
        for id in off:
            if (task := self._calls.get(id)) is not None:
                task.cancel()

    async def give(self) -> bytes:
        """What has been answered since; waits until something has."""
        await self._some.wait()
        self._some.clear()
        answers, self._answers = self._answers, []
        return encode(answers)

    async def look(self) -> dict[str, Any]:
        return self._pace.told() | where() | {"kind": "models", "run": self._order.run}

    async def close(self) -> None:
        for task in self._calls.values():
            task.cancel()
        for model in self._models.values():
            await model.close()

    async def _call(self, id: int, name: str, request: bytes) -> None:
        self._pace.live += 1
        try:
            model = self._models[name]
            response = await model.complete(msgspec.msgpack.decode(request, type=ModelRequest))
            reply = Reply(msgspec.Raw(encode(response)))
        except asyncio.CancelledError:
            return
        except Exception as error:
            reply = Reply(failure=failure_of(error))
        finally:
            self._pace.live -= 1
            self._calls.pop(id, None)
        self._pace.ended()
        if self._told:
            reply = msgspec.structs.replace(reply, limits=tuple(self._told.items()))
            self._told.clear()
        self._answers.append((id, reply))
        self._some.set()


class Place:
    """Runs one program after the other, each in the walls of this machine, on a private copy of the workspace.

    Files are kept by the id of their content, file lists by that of their tree: what one program brought here is not
    sent again for the next.
    """

    def __init__(self, order: bytes):
        self._order = msgspec.msgpack.decode(order, type=Order)
        self._sandbox: Sandbox | None = None
        self._blobs: dict[str, bytes] = {}
        self._trees: dict[str, dict[str, str]] = {}
        self._process: Process | None = None
        self._program = Program(())
        self._folder = Path()
        self._before: dict[str, str] = {}
        self._pace = Pace()

    async def open(self) -> bytes:
        """Find the strongest walls that hold here."""
        hello = greeting(self._order)
        if hello.problem:
            return encode(hello)
        await asyncio.to_thread(sweep)
        found = await probe(Level[self._order.level.upper()])
        self._sandbox = found.sandbox
        self._scratch, self._lock = scratch()
        problem = "" if found.sandbox else "; ".join(found.notes)
        return encode(msgspec.structs.replace(hello, problem=problem, level=found.level.name.lower()))

    async def start(self, program: bytes, tree: str, files: bytes, blobs: bytes, fresh: bool) -> bytes:
        """Start a program.

        Args:
            files: contents' ids by path, of a tree that is new here; empty otherwise.
            blobs: contents that are new here, by id.
            fresh: forget first what was kept.
        """
        if fresh:
            self._blobs, self._trees = {}, {}
        if files:
            self._trees[tree] = msgspec.msgpack.decode(files, type=dict[str, str])
        self._blobs |= msgspec.msgpack.decode(blobs, type=dict[str, bytes])
        self._program = msgspec.msgpack.decode(program, type=Program)
        self._folder = self._scratch / f"{self._pace.done}"
        try:
            if self._sandbox is None:
                raise SandboxError("no sandbox of the configured level holds here")
            contents = {path: self._blobs[id] for path, id in self._trees[tree].items()}
            self._before = await asyncio.to_thread(prepare, self._folder, contents)
            self._process = await self._sandbox.start(self._program, self._folder)
        except Exception as error:
            await asyncio.to_thread(discard, self._folder)
            return encode(Reply(failure=failure_of(error)))
        self._pace.live = 1
        return encode(Reply())

    async def act(self, verb: str, text: str, quiet: float, patience: float) -> bytes:
        """Do something with the program that is live, or has just ended."""
        try:
            return encode(Reply(msgspec.Raw(encode(await self._done(verb, text, quiet, patience)))))
        except Exception as error:
            return encode(Reply(failure=failure_of(error)))

    async def _done(self, verb: str, text: str, quiet: float, patience: float) -> Any:
        process = self._process
        if process is None:
            raise SandboxError("the program has ended")
        match verb:
            case "send":
                return await process.send(text)
            case "read":
                return await self._heard(process, quiet, patience)
            case "stop":
                return await process.stop()
            case "wait":
                return await process.wait()
            case "harvest":
                return await asyncio.to_thread(harvest, self._folder, self._before, self._program.limits)
            case _:
                await process.stop()
                await asyncio.to_thread(discard, self._folder)
                self._process, self._pace.live = None, 0
                return self._pace.ended()

    async def _heard(self, process: Process, quiet: float, patience: float) -> Heard:
        """What it says; when it has ended, all else that its end brings goes along, lest it be lost on another way."""
        text, running = await process.read(quiet, patience)
        if running:
            return Heard(text)
        execution = await process.wait()
        try:
            left = await asyncio.to_thread(harvest, self._folder, self._before, self._program.limits)
        except OSError:
            left = None  # it is asked for again, by who knows how to wait for a disk
        return Heard(text, execution, left)

    async def look(self) -> dict[str, Any]:
        return self._pace.told() | where() | {"kind": "programs", "run": self._order.run}

    async def close(self) -> None:
        if self._process is not None:
            await self._process.stop()
        await asyncio.to_thread(shutil.rmtree, self._scratch, True)


# -- what both need ---------------------------------------------------------------------------------------------------


def greeting(order: Order) -> Hello:
    """Who this worker is, and whether it is of the head's kind."""
    ray: Any = sys.modules["ray"]
    versions = Versions.here(ray.__version__)
    differences = versions.differences(order.versions)
    problem = f"it has {differences}, as the head has: install the same on all nodes" if differences else ""
    place = where()
    return Hello(place["node"], place["host"], versions, problem)


def where() -> dict[str, str]:
    ray: Any = sys.modules["ray"]  # a worker of Ray has it
    context = ray.get_runtime_context()
    return {"node": context.get_node_id(), "host": ray.util.get_node_ip_address() or socket.gethostname()}


def more_descriptors() -> None:
    """As many connections as this system lets a process open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def lost(detail: str) -> Reply:
    """What came of a job whose worker is gone."""
    return Reply(failure=Failure("lost", detail))
