"""A provider on this machine that fails as it is told to, and judges each request that it gets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from random import Random
from types import TracebackType
from typing import Any, Final

from campaigns.fault_list import FAULTS, Fault
from campaigns.wire import Exchange, Gone, Reply, problems, request_of
from campaigns.wire_messages import PATH, MessagesExchange, MessagesReply, messages_problems, messages_request
from megaagent.errors import ModelError
from megaagent.events import Struct
from megaagent.models.contract import ModelRequest
from megaagent.models.script import Script
from megaagent.models.simulated import AT_ONCE, SimulatedModel

KEY: Final = "local-key-of-a-simulated-provider"
IN_FLIGHT: Final = 6  # turns of 10 ms in which a call may still come that was made before a refusal was heard
ALWAYS: Final = 1 << 30  # times
_WHO: Final = re.compile(r"You are (\w+) \(")


class Planned(Struct, frozen=True):
    """A fault, from the request with that number on, whenever it fits; `model`: only when that one is asked."""

    fault: str
    at: int
    times: int = 1
    model: str | None = None


class FaultyServer:
    """One simulated provider of one case.

    Args:
        attempt_seconds: after which the client gives an attempt up.

    Attributes:
        invalid: requests against the rules, each with what is wrong.
        early: calls before the end of a wait that was asked for.
        played: how often each fault was.
        answered: answers that were sent whole.
        lifted: faults that last are over.
    """

    def __init__(self, script: Script, plan: list[Planned], *, seed: int, attempt_seconds: float):
        self.attempt_seconds = attempt_seconds
        self.invalid: list[str] = []
        self.early = 0
        self.played: Counter[str] = Counter()
        self.requests = 0
        self.answered = 0
        self.lifted = False
        self._model = SimulatedModel(script, latency=AT_ONCE)
        self._waiting = [(each, each.times) for each in plan]
        self._random = Random(f"faulty {seed}")
        self._closed: list[tuple[float, float]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._socket = socket.socket()
        self._fillers: list[socket.socket] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, protocol: str) -> str:
        """The base URL for clients of this protocol."""
        return self.root if protocol == "anthropic" else f"{self.root}/v1"

    @property
    def pending(self) -> list[str]:
        """Faults that are still to be played."""
        left = ((each, left) for each, left in self._waiting if left > 0 and each.times < ALWAYS)
        return [each.fault for each, _ in left if not (FAULTS[each.fault].lasts and self.played[each.fault])]

    # -- the socket ---------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Have an address without listening: whoever connects is refused."""
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))

    def stuff(self) -> None:
        """Listen without accepting, with a full queue: whoever connects waits."""
        self._socket.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    async def open(self) -> None:
        """Serve."""
        for filler in self._fillers:
            filler.close()
        self._server = await asyncio.start_server(self._connection, sock=self._socket, limit=1 << 20, backlog=200)

    async def __aenter__(self) -> FaultyServer:
        self.bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for each in (self._socket, *self._fillers):
            each.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (exchange := await Exchange.read(reader, writer, {PATH: MessagesExchange})) is not None:
                await self._serve(exchange)
                if not exchange.keep:
                    break
        except (Gone, OSError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    # -- one request --------------------------------------------------------------------------------------------

    def close_for(self, seconds: float) -> None:
        """No call may come before so many seconds are over."""
        end = asyncio.get_running_loop().time() + seconds - 0.01

        async def close() -> None:
            for _ in range(IN_FLIGHT):  # turns, because this process may be held up
                await asyncio.sleep(0.01)
            self._closed.append((asyncio.get_running_loop().time(), end))

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _serve(self, exchange: Exchange) -> None:
        now = asyncio.get_running_loop().time()
        self.requests += 1
        self.early += any(begin < now < end for begin, end in self._closed)
        messages = isinstance(exchange, MessagesExchange)
        judge = messages_problems if messages else problems
        wrong = list(judge(exchange.head, exchange.body, KEY))
        if wrong:
            self.invalid.append("; ".join(wrong)[:300])
            await exchange.error(400, "invalid request: " + wrong[0][:200])
            return
        document: dict[str, Any] = json.loads(exchange.body)
        request = messages_request(exchange.body) if messages else request_of(document)
        kind = MessagesReply if messages else Reply
        try:
            reply = kind(await self._model.complete(request), request.model)
        except ModelError as error:  # what an agent carries on with may have become too long
            await exchange.error(400, error.detail, "context_length_exceeded")
            return
        if "response_format" in document or "format" in document.get("output_config", {}):
            reply.bind()
        fault = self._next(request, reply)
        if fault is None:
            self.answered += 1
            await exchange.send(reply)
        elif fault.way is not None:
            await fault.way(self, exchange, reply)
        elif fault.spoil is not None:
            fault.spoil(reply, self._random)
            await exchange.send(reply)

    def _next(self, request: ModelRequest, reply: Reply) -> Fault | None:
        """The fault that this request meets."""
        role = next((found[1] for m in request.messages[:2] if (found := _WHO.search(m.text))), "")
        for index, (planned, left) in enumerate(self._waiting):
            fault = FAULTS[planned.fault]
            fits = role not in ("boss", "verifier") if fault.agents else True
            fits = fits and planned.model in (None, request.model)
            fits = fits and (fault.way is not None or bool(reply.calls))
            if self.requests < planned.at or left <= 0 or not fits or (fault.lasts and self.lifted):
                continue
            if fault.agents and not request.tools:
                continue  # a summary
            if not fault.lasts:
                self._waiting[index] = (planned, left - 1)
            self.played[planned.fault] += 1
            return fault
        return None

    def lift(self) -> None:
        """Faults that last are over."""
        self.lifted = True
        self._waiting = [(each, 0 if FAULTS[each.fault].lasts else left) for each, left in self._waiting]
