"""Snapshots of the state, so that a run that is opened again folds only its newest facts.

A snapshot is a reading and never a truth. It says which fact it reads up to, by a hash of that fact and all before it,
and which folds made it; where either is not as it was, it is passed over and the facts are folded from the first.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import inspect
import itertools
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol

import msgspec

from megaagent import events
from megaagent.errors import RunError
from megaagent.events import AgentId, AssignmentId, CallId, Record, Struct
from megaagent.organization import folds, habits, members, state, weight
from megaagent.organization.habits import Habits
from megaagent.organization.members import Batch, Debt, Member, RunState, Tally, Waiters
from megaagent.organization.state import State

NAME = "organization"
EVERY = 25_000  # facts between two snapshots, and
PER_AGENT = 10  # facts for each agent, so that what snapshots write stays a small share of what facts do
CHUNK = 500  # entries encoded at once: nothing else runs meanwhile
SECTIONS: dict[str, Any] = {  # the mappings of a `State`
    "members": dict[AgentId, Member],
    "debts": dict[AssignmentId, Debt],
    "names": dict[str, AgentId],
    "waiters": dict[AgentId, Waiters],
    "calls": dict[CallId, tuple[int, float]],
    "flying": dict[AgentId, tuple[CallId, ...]],
    "batches": dict[str, Batch],
    "habits": dict[AgentId, Habits],
    "tallies": dict[AgentId, Tally],
}

log = logging.getLogger(__name__)


class Snapshot(Struct, frozen=True):
    """A state as it is kept.

    Attributes:
        mark: of the newest fact in it, as the journal's reader gives it.
        code: hash of the folds that made it.
        sections: of each mapping its entries, in chunks.
    """

    position: int
    mark: str
    code: str
    run: RunState
    sections: dict[str, list[msgspec.Raw]]
    bytes: int = 0


class Reader(Protocol):
    """The part of a journal's reader that snapshots need."""

    def records(self, after: int = 0) -> Iterator[Record]: ...
    def mark(self, position: int) -> str | None: ...
    def snapshot(self, name: str) -> tuple[int, bytes] | None: ...


class Writer(Protocol):
    """The part of a journal that snapshots need."""

    async def snapshot(self, name: str, position: int, data: bytes) -> None: ...


# -- reading ----------------------------------------------------------------------------------------------------------


def restored(reader: Reader) -> State | None:
    """The state of the newest snapshot; None when there is none that fits this journal and these folds."""
    found = reader.snapshot(NAME)
    if found is None:
        return None
    try:
        kept = msgspec.msgpack.decode(found[1], type=Snapshot)
        if (kept.position, kept.code) != (found[0], code()) or kept.mark != reader.mark(kept.position):
            return None
        with no_collection():
            mappings = {name: _entries(kept.sections[name], kind) for name, kind in SECTIONS.items()}
    except (msgspec.MsgspecError, LookupError) as error:
        log.warning("a snapshot cannot be read and is passed over: %s", error)
        return None
    again = State(run=kept.run)
    for name, mapping in mappings.items():
        setattr(again, name, mapping)
    again.paused.update(id for id, member in again.members.items() if member.paused is not None)
    again.bytes = kept.bytes
    again.position = kept.position
    again.dirty.update(again.members, again.debts)  # the next digest has none of them yet
    return again


def folded(reader: Reader, state: State | None = None) -> State:
    """The state that a journal tells now: that of a snapshot, or the one given, and all facts after it."""
    state = state or restored(reader) or State()
    with no_collection():
        for record in reader.records(state.position):
            state.apply(record)
    return state


@contextmanager
def no_collection() -> Generator[None]:
    """Nothing that a fold makes is garbage in a circle: looking for it again and again takes half of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _entries(chunks: Sequence[msgspec.Raw], kind: Any) -> dict[Any, Any]:
    decoder = msgspec.msgpack.Decoder(kind)
    entries: dict[Any, Any] = {}
    for chunk in chunks:
        entries.update(decoder.decode(chunk))
    return entries


# -- writing ----------------------------------------------------------------------------------------------------------


def encoded(state: State, mark: str) -> bytes:
    """A state as a snapshot; nobody changes it meanwhile."""
    return list(_pieces(state, mark))[-1] or b""


def _pieces(state: State, mark: str) -> Iterator[bytes | None]:
    """A state as a snapshot, at the end of pieces of work none of which is long."""
    encoder = msgspec.msgpack.Encoder()
    sections: dict[str, list[msgspec.Raw]] = {}
    for name in SECTIONS:
        chunks = sections[name] = []
        entries = iter(getattr(state, name).items())
        while chunk := dict(itertools.islice(entries, CHUNK)):
            chunks.append(msgspec.Raw(encoder.encode(chunk)))
            yield None
    yield encoder.encode(Snapshot(state.position, mark, code(), state.run, sections, state.bytes))


def code() -> str:
    """A hash of the program texts that a state depends on; what other folds made is of no use to these."""
    modules: Sequence[ModuleType] = (events, folds, habits, members, state, weight)
    texts = "\0".join(map(inspect.getsource, modules))
    return hashlib.blake2b(texts.encode(), digest_size=16).hexdigest()


class Keeper:
    """Keeps a snapshot of a living state now and then, beside the run and never in its way.

    Args:
        state: the live one, which has taken in every fact that the keeper is told of.
        reader: for this keeper alone.
        every: facts between two snapshots, at least.
    """

    def __init__(
        self,
        state: State,
        journal: Writer,
        reader: Reader,
        every: int = EVERY,
    ):
        self._state = state
        self._journal = journal
        self._reader = reader
        self._every = every
        found = reader.snapshot(NAME)
        self._kept = found[0] if found is not None else 0
        self._task: asyncio.Task[None] | None = None

    def take_in(self, records: Sequence[Record]) -> None:
        """Look whether it is time; a watcher of the journal, told after the state."""
        state = self._state
        if self._task is None and state.position - self._kept >= max(self._every, PER_AGENT * len(state.members)):
            self._kept = state.position
            self._task = asyncio.create_task(self._keep(self._copy()), name="snapshot")
            self._task.add_done_callback(self._done)

    async def settled(self) -> None:
        """Wait for the snapshot that is being made, if one is."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Give up the snapshot that is being made."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _copy(self) -> State:
        """The state as it is now: what it maps to is never changed, only replaced; but for many waiters."""
        copy = State(run=self._state.run)
        for name in SECTIONS:
            setattr(copy, name, dict(getattr(self._state, name)))
        copy.waiters |= {id: waiting.copy() for id, waiting in copy.waiters.items() if isinstance(waiting, dict)}
        copy.bytes = self._state.bytes
        copy.position = self._state.position
        return copy

    async def _keep(self, state: State) -> None:
        await self._journal.snapshot(NAME, state.position, await self._encoded(state))

    async def _encoded(self, state: State) -> bytes:
        mark = self._reader.mark(state.position)
        if mark is None:
            raise RunError(f"fact {state.position} is not in the journal")
        data = b""
        # Not on a thread: one that computes keeps the lock of Python from a loop that reads, for 5 ms at every row.
        for piece in _pieces(state, mark):
            data = piece or data
            await asyncio.sleep(0)
        return data

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("no snapshot could be kept: %s", error)  # the run needs none
