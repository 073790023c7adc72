"""The pool of places in a cluster where programs run: one program each, made when they are needed."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from megaagent.runtimes.ray_callers import OPENING, Patience, reason
from megaagent.runtimes.ray_cluster import NAMESPACE, Node, end, is_lost, on_node, want
from megaagent.runtimes.ray_wire import Act, Begin, Failure, Hello, Order, Reply, encode
from megaagent.runtimes.ray_workers import HELD, Place, lost
from megaagent.sandboxes.contract import Level
from megaagent.workspace import Workspace

_REPLY: Final = msgspec.msgpack.Decoder(Reply)
_HELLO: Final = msgspec.msgpack.Decoder(Hello)
MOST: Final = 1000  # places that an autoscaler is asked for, unless the settings say how many
_ENTRY: Final = 100  # bytes that a name in a list of files is reckoned with

Tell = Callable[[int, Reply], None]


class Store:
    """The head's workspace, read for places: what each has is not sent again."""

    def __init__(self, path: Path):
        self._workspace = Workspace.open(path)
        self._trees: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        self._workspace.close()

    def tree(self, revision: str) -> tuple[str, dict[str, str]]:
        """The tree of a revision, and the ids of its contents by path."""
        tree = self._workspace.tree(revision)
        if tree not in self._trees:
            if len(self._trees) > 64:
                self._trees.clear()
            self._trees[tree] = self._workspace.blobs(revision)
        return tree, self._trees[tree]

    def blob(self, id: str) -> bytes:
        return self._workspace.blob(id)


class Known:
    """What one place has been given."""

    def __init__(self) -> None:
        self._trees: set[str] = set()
        self._blobs: set[str] = set()
        self._size = 0

    def luggage(self, store: Store, revision: str) -> tuple[str, bytes, bytes, bool]:
        """What must go along with a program: the tree, its list and contents as far as they are new, and whether all
        that is there is to be forgotten first."""
        tree, files = store.tree(revision)
        fresh = self._size > HELD
        if fresh:
            self._trees, self._blobs, self._size = set(), set(), 0
        new = {id: store.blob(id) for id in set(files.values()) - self._blobs}
        listed = encode(files) if tree not in self._trees else b""
        self._trees.add(tree)
        self._blobs |= set(new)
        self._size += sum(map(len, new.values())) + (_ENTRY * len(files) if listed else 0)
        return tree, listed, encode(new), fresh


class Seat:
    """One place, and who has it."""

    def __init__(self, actor: Any, node: Node, level: str):
        self.actor = actor
        self.node = node
        self.level = level
        self.known = Known()
        self.program: int | None = None
        self.starting = False
        self.off = False  # nobody wants the program any more that is being started
        self.idle_since = asyncio.get_running_loop().time()


class Places:
    """All of them; programs wait here in the order in which they came.

    Args:
        tell: told what came of each order.
    """

    def __init__(self, ray: Any, order: Order, tell: Tell):
        self._ray = ray
        self._order = order
        self._tell = tell
        self._store = Store(Path(order.workspace))
        self._seats: list[Seat] = []
        self._opening: dict[str, int] = {}
        self._waiting: deque[Begin] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._nodes: list[Node] = []
        self._taken = Counter[str]()  # by node: places made since its free cores were counted
        self._patience = Patience()
        self._asked = 0  # of an autoscaler
        self._required = order.level
        self.problems: dict[str, str] = {}  # by node: why no programs run there

    # -- orders -------------------------------------------------------------------------------------------------

    def begin(self, begin: Begin) -> None:
        self._waiting.append(begin)
        self._go_on()

    def act(self, act: Act) -> None:
        seat = next((seat for seat in self._seats if seat.program == act.program), None)
        if seat is None:
            self._tell(act.id, lost("the place in which the program ran is gone"))
        else:
            self._run(self._act(seat, act))

    def call_off(self, id: int) -> None:
        """Whoever wanted a program to start does so no more."""
        self._waiting = deque(begin for begin in self._waiting if begin.id != id)
        seat = next((seat for seat in self._seats if seat.program == id), None)
        if seat is not None and seat.starting:
            seat.off = True
        elif seat is not None:
            self._run(self._act(seat, Act(0, id, "close")))

    # -- the pool -----------------------------------------------------------------------------------------------

    async def survey(self, nodes: list[Node]) -> str:
        """Open a place on each node to see what walls hold there; the weakest level that will be used.

        From then on no place with weaker walls is taken.
        """
        self._see(nodes)
        await asyncio.gather(*(self._open(node) for node in nodes if self._fits(node) and self._free(node)))
        if not self._seats:
            return "refused" if self.problems else self._order.level
        weakest = min(self._seats, key=lambda seat: Level[seat.level.upper()])
        self._required = weakest.level
        return weakest.level

    def follow(self, nodes: list[Node]) -> None:
        """Make places where programs wait for some, and give back those that nobody needs."""
        self._see(nodes)
        there = {node.id: node for node in nodes}
        self.problems = {id: problem for id, problem in self.problems.items() if id in there}
        now = asyncio.get_running_loop().time()
        for seat in list(self._seats):
            node = there.get(seat.node.id)
            stays = node is not None and not node.leaving and now - seat.idle_since < self._order.runtime.idle
            if seat.program is None and not stays:
                self._run(self._leave(seat))
        self._grow()
        self._ask_for_more()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*map(self._leave, list(self._seats)), return_exceptions=True)
        self._store.close()

    # -- within -------------------------------------------------------------------------------------------------

    def _see(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._taken = Counter(self._opening)

    def _fits(self, node: Node) -> bool:
        return node.has(self._order.runtime.programs_on) and not node.leaving and node.id not in self.problems

    def _free(self, node: Node) -> int:
        """How many more places a node has room for."""
        resource = self._order.runtime.programs_on or "CPU"
        return int(node.free.get(resource, 0)) - self._taken[node.id]

    def _grow(self) -> None:
        """Open a place for each program that waits, while there is room."""
        opening = sum(self._opening.values())
        wanted = len(self._waiting) - opening - sum(seat.program is None for seat in self._seats)
        if self._order.runtime.places:
            wanted = min(wanted, self._order.runtime.places - len(self._seats) - opening)
        for _ in range(wanted):
            room = [
                node for node in self._nodes if self._fits(node) and self._patience.may(node) and self._free(node) > 0
            ]
            if not room:
                break
            self._run(self._open(max(room, key=self._free)))
        if self._waiting and not self._seats and not self._opening and self._nodes and self._nobody():
            words = "; ".join(self.problems.values()) or "no node of the cluster may run programs"
            while self._waiting:
                self._tell(self._waiting.popleft().id, Reply(failure=Failure("sandbox", f"no sandbox holds: {words}")))

    def _nobody(self) -> bool:
        return not any(self._fits(node) for node in self._nodes)

    def _ask_for_more(self) -> None:
        """Let an autoscaler know of the programs that found no room, for as long as there are some."""
        runtime = self._order.runtime
        live = sum(seat.program is not None for seat in self._seats)
        wanted = min(live + len(self._waiting), runtime.places or MOST) if self._waiting else 0
        if wanted or self._asked:
            self._asked = wanted
            self._run(asyncio.to_thread(want, runtime.programs_on, wanted))

    async def _open(self, node: Node) -> None:
        self._opening[node.id] = self._opening.get(node.id, 0) + 1
        self._taken[node.id] += 1
        resource = self._order.runtime.programs_on
        order = msgspec.structs.replace(self._order, level=self._required)
        actor = (
            self._ray.remote(Place)
            .options(
                name=f"{self._order.run}/programs/{uuid4().hex[:8]}",
                namespace=NAMESPACE,
                num_cpus=0 if resource else 1,
                resources={resource: 1} if resource else {},
                max_concurrency=16,
                scheduling_strategy=on_node(node),
            )
            .remote(encode(order))
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
            if not (is_lost(error) or isinstance(error, TimeoutError)):  # another job may have taken its core
                self.problems[node.id] = f"{node.host}: {reason(error)}"
            return
        finally:
            self._opening[node.id] -= 1
        if hello.problem:
            end(self._ray, actor)
            self.problems[node.id] = f"{node.host}: {hello.problem}"
            return
        self._patience.succeeded(node)
        self._seats.append(Seat(actor, node, hello.level))
        self._go_on()

    def _go_on(self) -> None:
        leaving = {node.id for node in self._nodes if node.leaving}
        for seat in self._seats:
            if seat.program is None and seat.node.id not in leaving and self._waiting:
                begin = self._waiting.popleft()
                seat.program = begin.id
                self._run(self._begin(seat, begin))
        if self._waiting:
            self._grow()

    async def _begin(self, seat: Seat, begin: Begin) -> None:
        seat.starting, seat.off = True, False
        try:
            luggage = await asyncio.to_thread(seat.known.luggage, self._store, begin.revision)
            reply = _REPLY.decode(await seat.actor.start.remote(encode(begin.program), *luggage))
        except Exception as error:
            self._tell(begin.id, self._lost(seat, error))
            return
        seat.starting = False
        if reply.failure is not None:
            self._vacate(seat)
        elif seat.off:
            await self._act(seat, Act(0, begin.id, "close"))
        self._tell(begin.id, reply)

    async def _act(self, seat: Seat, act: Act) -> None:
        try:
            reply = _REPLY.decode(await seat.actor.act.remote(act.verb, act.text, act.quiet, act.patience))
        except Exception as error:
            self._tell(act.id, self._lost(seat, error))
            return
        if act.verb == "close" and seat.program == act.program:
            self._vacate(seat)
        self._tell(act.id, reply)

    def _vacate(self, seat: Seat) -> None:
        seat.program, seat.idle_since = None, asyncio.get_running_loop().time()
        self._go_on()

    def _lost(self, seat: Seat, error: Exception) -> Reply:
        if seat in self._seats:
            self._seats.remove(seat)
            end(self._ray, seat.actor)  # it may only be out of reach: what runs there must end
        why = "was lost" if is_lost(error) else f"failed ({type(error).__name__}: {error})"
        self._go_on()
        return lost(f"the place on {seat.node.host} in which the program ran {why}")

    async def _leave(self, seat: Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
        try:
            async with asyncio.timeout(5):
                await seat.actor.close.remote()
        except Exception:  # gone already, or it will be
            pass
        end(self._ray, seat.actor)

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
