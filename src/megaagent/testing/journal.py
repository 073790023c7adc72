"""A journal in memory: the same promises, inline, with no thread and no disk."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from megaagent.clock import Clock
from megaagent.errors import RunError
from megaagent.events import AgentId, Event, Fact, Record
from megaagent.journal import Listener, Verification
from megaagent.journal.bodies import digest_of
from megaagent.journal.codec import Codec, kind_of
from megaagent.journal.listeners import Listeners
from megaagent.journal.recall import SHARED, passage, searchable, words_of


class _Index:
    """Where an agent's records are, and the words of each text that can be searched."""

    def __init__(self) -> None:
        self.of_agent: defaultdict[AgentId, list[int]] = defaultdict(list)  # indexes of records
        self.texts: list[tuple[Record, frozenset[str]]] = []

    def add(self, start: int, records: Sequence[Record]) -> None:
        for number, record in enumerate(records, start):
            self.of_agent[record.agent].append(number)
            text = searchable(record.event)
            if text:
                self.texts.append((record, frozenset(words_of(text.lower()))))


class MemoryJournal:
    """`Journal` that is gone with the process; it commits in the caller, and at once.

    Args:
        commit: virtual seconds that a commit takes. As in a real one, who waits for it may be called off and it is made
            all the same.
    """

    epoch = 1

    def __init__(self, clock: Clock, commit: float = 0.0):
        self._clock = clock
        self._commit_seconds = commit
        self._committing = asyncio.Lock()
        self._codec = Codec()
        self._records: list[Record] = []
        self._index = _Index()
        self._blobs: dict[str, bytes] = {}
        self._snapshots: dict[str, tuple[int, bytes]] = {}
        self._listeners = Listeners()
        self._closed = False
        self._failure: Exception | None = None

    @property
    def position(self) -> int:
        return len(self._records)

    async def append(self, facts: Sequence[Fact], blobs: Sequence[bytes] = ()) -> Sequence[Record]:
        if not self._commit_seconds:
            return self._commit(facts, blobs)
        return await asyncio.shield(self._commit_later(tuple(facts), tuple(blobs)))

    async def _commit_later(self, facts: Sequence[Fact], blobs: Sequence[bytes]) -> Sequence[Record]:
        async with self._committing:
            await asyncio.sleep(self._commit_seconds)
            return self._commit(facts, blobs)

    def _commit(self, facts: Sequence[Fact], blobs: Sequence[bytes]) -> Sequence[Record]:
        rows = self._codec.rows(facts)  # what could not be stored is refused here too
        self._check_open()
        now = self._clock.now()
        after = len(self._records)
        records = [Record(after + n, self.epoch, now, f.agent, f.step, f.event) for n, f in enumerate(facts, 1)]
        contents = {digest_of(data): data for data in blobs}
        for row in rows:
            contents |= row.contents
        self._blobs |= contents
        self._index.add(after, records)
        self._records += records
        if records:
            try:
                self._listeners.tell(records)
            except Exception as error:
                self._failure = error
                raise
        return records

    async def hold(self) -> None:
        """Nobody else can write it."""

    async def snapshot(self, name: str, position: int, data: bytes) -> None:
        if not 0 < position <= self.position:
            raise ValueError(f"no snapshot of position {position}: the journal is at {self.position}")
        self._check_open()
        kept = self._snapshots.get(name)
        if kept is None or kept[0] <= position:
            self._snapshots[name] = (position, data)

    def listen(self, listener: Listener, *, watcher: bool = False) -> None:
        self._listeners.add(listener, watcher)

    def reader(self) -> MemoryReader:
        return MemoryReader(self._records, self._index, self._blobs, self._snapshots)

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RunError("the journal is closed")
        if self._failure is not None:
            raise RunError(f"the journal takes no more: {self._failure!r}") from self._failure


class MemoryReader:
    """Reads what a `MemoryJournal` holds; bodies are always whole, there is nothing to be saved."""

    def __init__(
        self,
        records: list[Record],
        index: _Index,
        blobs: dict[str, bytes],
        snapshots: dict[str, tuple[int, bytes]],
    ):
        self._records = records
        self._index = index
        self._blobs = blobs
        self._snapshots = snapshots

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        left = len(self._records) if limit is None else limit
        there: Sequence[int] = range(after, len(self._records))
        if agent is not None:
            own = self._index.of_agent[agent]
            there = own[bisect_left(own, after) :]
        for n in there:
            if left <= 0:
                return
            record = self._records[n]
            if kinds is None or type(record.event) in kinds:
                left -= 1
                yield record

    def record(self, position: int) -> Record | None:
        return self._records[position - 1] if 0 < position <= len(self._records) else None

    def mark(self, position: int) -> str | None:
        if not 0 < position <= len(self._records):
            return None
        return hashlib.blake2b(repr(self._records[:position]).encode(), digest_size=16).hexdigest()

    def last(self) -> int:
        return len(self._records)

    def blob(self, digest: str) -> bytes | None:
        return self._blobs.get(digest)

    def snapshot(self, name: str) -> tuple[int, bytes] | None:
        return self._snapshots.get(name)

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> list[tuple[Record, str]]:
        words = words_of(query)
        sought = [word.lower() for word in words]
        fitting: list[tuple[int, int, Record]] = []
        for record, said in self._index.texts:
            count = sum(word in said for word in sought)
            if count and (kind_of(type(record.event)) in SHARED or record.agent == agent):
                fitting.append((count, record.position, record))
        best = sorted(fitting, key=lambda entry: entry[:2], reverse=True)[:limit]
        return [(record, passage(searchable(record.event), words)) for _, _, record in best]

    def verify(self) -> Verification:
        return Verification(len(self._records))

    def close(self) -> None: ...
