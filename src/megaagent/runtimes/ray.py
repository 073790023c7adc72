"""The runtime of a cluster: model calls and programs are done by Ray workers, everything else stays here.

What is promised is what the local runtime promises. When a worker is lost, or the connection to the cluster:

- a model call that had not been handed to a worker is asked elsewhere; of one that had, nobody knows whether it was
  paid for, so it fails with `maybe_paid`, which the retry records and keeps reserved (promise P1), and is asked again;
- a program that its agent has neither heard nor spoken to is started again elsewhere, since a program has no effect
  outside its private copy; another one has ended, cut by "lost", with what was heard of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, Literal

import msgspec

from megaagent.clock import Clock
from megaagent.errors import ModelError, SandboxError
from megaagent.events import Revision
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.limits import Limits
from megaagent.runtimes.ray_link import Link, LostError
from megaagent.runtimes.ray_wire import Act, Begin, Complete, Heard, Order, Reply, Wanted, encode, raised
from megaagent.sandboxes.contract import Execution, Harvest, Program

TRIES: Final = 3  # a program that takes its worker down with it is not started for ever
GRACE: Final = 30.0  # seconds beyond an attempt's own deadline after which its worker is not waited for any more
_RESPONSE: Final = msgspec.msgpack.Decoder(ModelResponse)
_HEARD: Final = msgspec.msgpack.Decoder(Heard)
_EXECUTION: Final = msgspec.msgpack.Decoder(Execution)
_HARVEST: Final = msgspec.msgpack.Decoder(Harvest)

Verb = Literal["send", "read", "stop", "wait", "harvest", "close"]


class LostProgramError(Exception):
    """The worker in which a program ran is gone."""


class RayRuntime:
    """Model calls and programs on the workers of a Ray cluster; `open` makes one.

    Attributes:
        level: of the weakest walls around programs that are used in the cluster.
        notes: what a person should know of the cluster before the run begins.
    """

    def __init__(self, link: Link, level: str, notes: tuple[str, ...], clock: Clock):
        self._link = link
        self._clock = clock
        self.level = level
        self.notes = notes

    @classmethod
    async def open(
        cls, order: Order, learn: Callable[[str, Limits], None], environ: Mapping[str, str], clock: Clock
    ) -> RayRuntime:
        """Connect to the cluster, and look that its nodes can do the work.

        Args:
            learn: told what a provider says about its limits, by the name of the model.
            environ: of the process that connects, and so of a Ray that is begun here.

        Raises:
            ConfigurationError: it cannot be used, and what to do about it.
        """
        link = Link(order, learn, environ)
        ready = await link.open()
        return cls(link, ready.level, ready.notes, clock)

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        encoded = msgspec.Raw(encode(request))
        try:
            with self._clock.real_program():
                async with asyncio.timeout(request.deadline + GRACE):
                    reply = await self._link.ask(lambda id: Complete(id, provider, encoded))
        except LostError as error:
            raise unknown(f"{error}; whether an answer was paid for is not known") from None
        except TimeoutError:
            if self._link.trouble is not None:  # it was never handed over
                away = ModelError("connection", self._link.trouble)
                away.on_our_side = True
                raise away from None
            late = ModelError("timeout", "no worker of the cluster has answered in time")
            late.maybe_paid = True
            raise late from None
        if reply.failure is not None:
            raise unknown(reply.failure.detail) if reply.failure.kind == "lost" else raised(reply.failure)
        return _RESPONSE.decode(reply.value)

    async def start(self, program: Program, revision: Revision) -> RayHandle:
        if self.level == "refused":
            raise SandboxError("; ".join(self.notes))
        handle = RayHandle(self._link, program, revision, self._clock)
        await handle.begin()
        return handle

    async def close(self) -> None:
        await self._link.close()


class RayHandle:
    """A program under way on a worker."""

    def __init__(self, link: Link, program: Program, revision: Revision, clock: Clock):
        self._link = link
        self._program = program
        self._revision = revision
        self._clock = clock
        self._held = ExitStack()
        self._id = 0
        self._begun = 0
        self._touched = False  # its agent has heard it or spoken to it: another start would not be the same program
        self._stopped = False
        self._heard = ""
        self._execution: Execution | None = None  # once it is known
        self._harvest: Harvest | None = None
        self._lost = False
        self._mending = asyncio.Lock()

    async def begin(self) -> None:
        """Start it, here or there.

        Raises:
            SandboxError: it cannot be run as safely as configured.
        """
        self._held.enter_context(self._clock.real_program())
        try:
            while not await self._begin():
                if self._begun >= TRIES:
                    raise SandboxError(f"{TRIES} workers were lost while they started it")
        except BaseException:
            self._held.close()
            raise

    async def send(self, text: str) -> None:
        self._touched = True
        reply = await self._act("send", text=text)
        if reply is None:
            raise SandboxError("the program has ended: its worker was lost")

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        reply = await self._act("read", quiet=quiet, patience=patience)
        if reply is None:
            return "", False
        said = _HEARD.decode(reply.value)
        self._execution, self._harvest = said.execution, said.harvest
        self._touched = self._touched or bool(said.text) or said.execution is not None
        self._heard = (self._heard + said.text)[-self._program.limits.output :]
        return said.text, said.execution is None

    async def stop(self) -> None:
        self._stopped = True
        await self._act("stop")

    async def wait(self) -> Execution:
        if self._execution is not None:
            return self._execution
        reply = await self._act("wait")
        return Execution(-9, self._heard, 0.0, ("lost",)) if reply is None else _EXECUTION.decode(reply.value)

    async def harvest(self) -> Harvest:
        if self._harvest is not None:
            return self._harvest
        reply = await self._act("harvest")
        return Harvest({}) if reply is None else _HARVEST.decode(reply.value)

    async def close(self) -> None:
        self._stopped = True
        try:
            await self._act("close")
        finally:
            self._held.close()

    # -- within -------------------------------------------------------------------------------------------------

    async def _begin(self) -> bool:
        """Whether it runs; not, when the worker was lost meanwhile."""
        self._begun += 1
        ids: list[int] = []

        def wanted(id: int) -> Wanted:
            ids.append(id)
            return Begin(id, self._program, self._revision)

        try:
            reply = await self._link.ask(wanted)
        except LostError:
            return False
        if reply.failure is not None and reply.failure.kind == "lost":
            return False
        if reply.failure is not None:
            raise raised(reply.failure)
        self._id = ids[0]
        return True

    async def _act(self, verb: Verb, **arguments: Any) -> Reply | None:
        """What came of it; None when the program was lost and is not started again."""
        while not self._lost:
            id = self._id
            try:
                reply = await self._link.ask(lambda each, id=id: Act(each, id, verb, **arguments))
            except LostError:
                await self._mend(id)
                continue
            if reply.failure is None:
                return reply
            if reply.failure.kind != "lost":
                raise raised(reply.failure)
            await self._mend(id)
        return None

    async def _mend(self, lost: int) -> None:
        """Start the program again, if it was not done yet and may be; otherwise it has ended."""
        async with self._mending:
            if self._id != lost or self._lost:
                return
            while not (self._touched or self._stopped) and self._begun < TRIES:
                if await self._begin():
                    return
            self._lost = True


def unknown(detail: str) -> ModelError:
    """A call of which it is not known whether it was paid for; it says nothing about the provider."""
    error = ModelError("connection", detail)
    error.maybe_paid, error.on_our_side = True, True
    return error
