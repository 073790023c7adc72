"""The pool of processes in a cluster that ask models."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import msgspec

from megaagent.runtimes.ray_cluster import NAMESPACE, Node, end, is_lost, on_node
from megaagent.runtimes.ray_wire import Complete, Hello, Order, Reply, encode
from megaagent.runtimes.ray_workers import Caller, lost

BATCH: Final = 64  # calls that are handed over in one message: the others go to the next, while this one is read
OPENING: Final = 60.0  # seconds after which a worker that has not begun is given up
_ANSWERS: Final = msgspec.msgpack.Decoder(list[tuple[int, Reply]])
_HELLO: Final = msgspec.msgpack.Decoder(Hello)

Tell = Callable[[int, Reply], None]


class Line:
    """The line to one such process."""

    def __init__(self, actor: Any, node: Node, tell: Callable[[Line, int, Reply], None]):
        self.actor = actor
        self.node = node
        self.load = 0  # calls that are not answered
        self.closing = False
        self._tell = tell
        self._waiting: list[Complete] = []  # not handed over yet: nobody has been asked
        self._off: list[int] = []
        self._given: set[int] = set()
        self._some = asyncio.Event()
        self._tasks = [asyncio.create_task(self._hand_over()), asyncio.create_task(self._receive())]
        self.gone: asyncio.Future[list[Complete]] = asyncio.get_running_loop().create_future()

    def add(self, call: Complete) -> None:
        self.load += 1
        self._waiting.append(call)
        self._some.set()

    def call_off(self, id: int) -> bool:
        """Whether the call was on this line."""
        if id in self._given:
            self._given.discard(id)
            self._off.append(id)
            self._some.set()
        elif any(call.id == id for call in self._waiting):
            self._waiting = [call for call in self._waiting if call.id != id]
        else:
            return False
        self.load -= 1
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hand_over(self) -> None:
        try:
            while True:
                await self._some.wait()
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                off, self._off = self._off, []
                if not self._waiting:
                    self._some.clear()
                self._given.update(call.id for call in batch)
                await self.actor.take.remote(encode(([(call.id, call.model, call.request) for call in batch], off)))
        except Exception as error:
            self._break(error)

    async def _receive(self) -> None:
        try:
            while True:
                for id, reply in _ANSWERS.decode(await self.actor.give.remote()):
                    if id in self._given:
                        self._given.discard(id)
                        self.load -= 1
                        self._tell(self, id, reply)
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """It is gone: who was asked for what was handed over, nobody knows; the others are asked elsewhere."""
        if self.gone.done():
            return
        self.closing = True
        self.gone.set_result(self._waiting)
        why = "was lost" if is_lost(error) else f"failed ({type(error).__name__}: {error})"
        reply = lost(f"the process on {self.node.host} that asked {why}; whether an answer was paid for is not known")
        for id in list(self._given):
            self._tell(self, id, reply)
        self._given.clear()
        self.load = 0


class Patience:
    """Nodes on which workers did not begin are tried again later and later."""

    def __init__(self) -> None:
        self._failures = Counter[str]()
        self._until: dict[str, float] = {}

    def may(self, node: Node) -> bool:
        return asyncio.get_running_loop().time() >= self._until.get(node.id, 0.0)

    def failed(self, node: Node) -> None:
        self._failures[node.id] += 1
        self._until[node.id] = asyncio.get_running_loop().time() + min(60.0, 2.0 ** self._failures[node.id])

    def succeeded(self, node: Node) -> None:
        self._failures.pop(node.id, None)


class Callers:
    """All of them; calls wait here in the order in which they came while each has as many as it may.

    Args:
        tell: told what came of each call.
    """

    def __init__(self, ray: Any, order: Order, tell: Tell):
        self._ray = ray
        self._order = order
        self._told = encode(order)
        self._tell = tell
        self._lines: list[Line] = []
        self._opening: dict[str, int] = {}  # by node
        self._waiting: deque[Complete] = deque()
        self.problems: dict[str, str] = {}  # by node: why it is not used
        self._patience = Patience()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def usable(self) -> bool:
        return any(not line.closing for line in self._lines)

    def call(self, call: Complete) -> None:
        line = self._line_for(call)
        if line is None:
            self._waiting.append(call)
        else:
            line.add(call)

    def call_off(self, id: int) -> None:
        if not any(line.call_off(id) for line in self._lines):
            self._waiting = deque(call for call in self._waiting if call.id != id)
        self._go_on()

    async def survey(self, nodes: list[Node]) -> None:
        """Begin on every node that may be used; returns when all have begun, or it is known why not."""
        await self.follow(nodes)
        await asyncio.gather(*self._tasks)

    async def follow(self, nodes: list[Node]) -> None:
        """Have so many processes on every node that may have some, and leave those that are to go."""
        there = {node.id: node for node in nodes if node.has(self._order.runtime.models_on)}
        self.problems = {id: problem for id, problem in self.problems.items() if id in there}
        for line in self._lines:
            line.closing = line.closing or line.node.id not in there or there[line.node.id].leaving
        for node in there.values():
            if not node.leaving and node.id not in self.problems and self._patience.may(node):
                for _ in range(self._order.runtime.callers - self._on(node)):
                    self._opening[node.id] = self._opening.get(node.id, 0) + 1
                    task = asyncio.create_task(self._open(node))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        for line in [each for each in self._lines if each.closing and not each.load]:
            await self._leave(line)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for line in list(self._lines):
            await self._leave(line)

    # -- within -------------------------------------------------------------------------------------------------

    def _on(self, node: Node) -> int:
        open_there = sum(line.node.id == node.id and not line.closing for line in self._lines)
        return open_there + self._opening.get(node.id, 0)

    async def _open(self, node: Node) -> None:
        resources = {self._order.runtime.models_on: 0.001} if self._order.runtime.models_on else {}
        actor = (
            self._ray.remote(Caller)
            .options(
                name=f"{self._order.run}/models/{uuid4().hex[:8]}",
                namespace=NAMESPACE,
                num_cpus=0,
                resources=resources,
                max_concurrency=16,
                scheduling_strategy=on_node(node),
            )
            .remote(self._told)
        )
        try:
            async with asyncio.timeout(OPENING):
                hello = _HELLO.decode(await actor.open.remote())
        except asyncio.CancelledError:
            end(self._ray, actor)
            raise
        except Exception as error:
            end(self._ray, actor)
            self._patience.failed(node)
            if not (is_lost(error) or isinstance(error, TimeoutError)):
                self.problems[node.id] = f"{node.host}: {reason(error)}"
            return
        finally:
            self._opening[node.id] -= 1
        if hello.problem:
            end(self._ray, actor)
            self.problems[node.id] = f"{node.host}: {hello.problem}"
            return
        self._patience.succeeded(node)
        line = Line(actor, node, self._ended)
        line.gone.add_done_callback(lambda gone: self._lost(line, gone.result()))
        self._lines.append(line)
        self._go_on()

    async def _leave(self, line: Line) -> None:
        if line in self._lines:
            self._lines.remove(line)
        await line.close()
        end(self._ray, line.actor)

    def _lost(self, line: Line, unasked: list[Complete]) -> None:
        if line in self._lines:
            self._lines.remove(line)
        end(self._ray, line.actor)  # it may only be out of reach: it must not go on asking
        self._waiting.extendleft(reversed(unasked))
        self._go_on()

    def _line_for(self, call: Complete) -> Line | None:
        lines = [line for line in self._lines if not line.closing]
        if call.model.startswith("sim:"):
            return lines[0] if lines else None  # it plays one provider, whose cache is one
        free = [line for line in lines if line.load < self._order.runtime.calls]
        return min(free, key=lambda line: line.load, default=None)

    def _ended(self, line: Line, id: int, reply: Reply) -> None:
        self._tell(id, reply)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and (line := self._line_for(self._waiting[0])) is not None:
            line.add(self._waiting.popleft())


def reason(error: Exception) -> str:
    """Why a worker did not begin, in a line."""
    told = str(error)
    if "No module named 'megaagent" in told:
        return "MegaAgent is not installed there: pip install 'megaagent[ray]' of the same version"
    return " ".join(told.split())[-300:]
