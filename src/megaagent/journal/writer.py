"""The one writer of a journal, whatever keeps it: group commit by one thread, listeners, patience with the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from megaagent.clock import Clock
from megaagent.errors import RunError
from megaagent.events import Fact, Record
from megaagent.journal.codec import Codec, Row
from megaagent.journal.contract import DiskError, JournalReader, Listener
from megaagent.journal.drafts import Draft, Outcome, Snapshot
from megaagent.journal.listeners import Listeners
from megaagent.journal.lock import WriterLock
from megaagent.journal.room import Room

BATCH = 256  # facts in one commit; an append is never split
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0  # seconds until a disk that took nothing is tried again
WAITING = 1024  # appends that may wait for the disk; further appenders wait for room
TOLD, FEWEST = 64, 4  # appends that are told in one round of the event loop, to begin with and at least
SHORT, LONG = 0.004, 0.01  # seconds of such a round: shorter ones may grow, longer ones must shrink

Item = tuple[Draft, asyncio.Future[list[Record]]]


class Scribe(Protocol):
    """Writes batches to where a journal is kept; used by one thread at a time."""

    position: int
    epoch: int

    def settle(self, batch: Sequence[Draft]) -> list[Outcome]:
        """Commit a batch in one transaction; what became of each draft, in their order.

        A failure of the store is the failure of all, as a `DiskError` each when it may pass. A draft that cannot be
        written for a reason of its own does not take the others with it.
        """
        ...

    @property
    def held(self) -> bool:
        """Whether it is sure, without a look, that no other engine can have taken over."""
        ...

    def hold(self) -> None:
        """As `Journal.hold`; may block."""
        ...

    def close(self) -> None: ...


class JournalWriter:
    """`Journal` over a `Scribe`.

    While a batch is being committed everything that comes in gathers for the next one: a lone append is not kept
    waiting, and many at once share one sync to the disk.

    Args:
        path: the file in the run's folder that is the journal, or says where it is. The lock lies beside it under the
            ending `.lock`, and is held while `scribe` is called.
        scribe: opens the store for writing.
        reader: opens the store for reading.
        inline: commit in the caller, without a thread; for runs in virtual time.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        scribe: Callable[[Codec], Scribe],
        reader: Callable[[Codec], JournalReader],
        *,
        inline: bool,
    ):
        self._path = path
        self._clock = clock
        self._codec = Codec()
        self._listeners = Listeners()
        self._executor = None if inline else _thread()
        self._lock = WriterLock(path.with_suffix(".lock"), clock.now())
        try:
            self._ledger = scribe(self._codec)
        except BaseException:
            self._lock.release()
            raise
        self._position = self._ledger.position
        self._open_reader = reader
        self._readers: WeakSet[JournalReader] = WeakSet()
        self._closing: asyncio.Future[None] | None = None
        self._failure: Exception | None = None  # of a listener; after it nothing more is taken
        self._room = Room(WAITING)
        self._waiting: deque[Item] = deque()
        self._sending = False  # what waits is about to be sent
        self._job: asyncio.Future[list[Outcome]] | None = None  # the batch that is being committed
        self._told: deque[tuple[Item, Outcome]] = deque()  # settled, and its listeners and appender do not know it yet
        self._telling: asyncio.Handle | None = None
        self._share = TOLD
        self._on_trouble: Callable[[str | None], None] | None = None
        self._hide: Callable[[Fact], Fact] | None = None
        self._trouble: str | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE

    @property
    def position(self) -> int:
        return self._position

    @property
    def epoch(self) -> int:
        return self._ledger.epoch

    async def append(self, facts: Sequence[Fact], blobs: Sequence[bytes] = ()) -> Sequence[Record]:
        if self._hide is not None:
            facts = [self._hide(fact) for fact in facts]
        rows = tuple(self._codec.rows(facts))
        return await self._written(tuple(facts), rows, tuple(blobs))

    async def snapshot(self, name: str, position: int, data: bytes) -> None:
        if not 0 < position <= self._position:
            raise ValueError(f"no snapshot of position {position}: the journal is at {self._position}")
        if self._executor is None:
            kept = Snapshot.of(name, position, data)
        else:
            kept = await asyncio.to_thread(Snapshot.of, name, position, data)
        await self._written(snapshot=kept)

    async def hold(self) -> None:
        if self._ledger.held:
            return
        if self._executor is None:
            self._ledger.hold()
        else:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._ledger.hold)

    def listen(self, listener: Listener, *, watcher: bool = False) -> None:
        self._listeners.add(listener, watcher)

    def wait_for_disk(self, on_trouble: Callable[[str | None], None]) -> None:
        """From now on appends wait, in their order, as long as the disk is full, fails or cannot be written.

        What waits is bounded, as further appenders wait for room. Closing gives up what waits.

        Args:
            on_trouble: told the reason when such a time begins or its reason changes, and None when it is over.
        """
        self._on_trouble = on_trouble

    def hide(self, hide: Callable[[Fact], Fact]) -> None:
        """From now on facts are recorded as `hide` gives them, which takes secrets out of them."""
        self._hide = hide

    def reader(self) -> JournalReader:
        reader = self._open_reader(self._codec)
        self._readers.add(reader)
        return reader

    async def close(self) -> None:
        """Write what is waiting, close the store, release the lock.

        More than once does no harm, and who cancels the wait does not stop it. The readers that were handed out are
        closed too: as long as one is open SQLite leaves its log beside the file.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._executor is None:
            self._send()
            self._finish()
            return
        while self._waiting or self._job is not None or self._told:
            self._send()
            if self._job is not None:
                await asyncio.wait([self._job])
            else:
                await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._finish)
        self._executor.shutdown(wait=False)

    async def _written(
        self,
        facts: tuple[Fact, ...] = (),
        rows: tuple[Row, ...] = (),
        blobs: tuple[bytes, ...] = (),
        snapshot: Snapshot | None = None,
    ) -> list[Record]:
        """Have something written, and wait until it is durable and told."""
        if not self._room.enter_now():
            await self._room.enter()
        try:
            if self._closing is not None:
                raise RunError(f"the journal {self._path} is closed")
            if self._failure is not None:
                raise RunError(f"the journal {self._path} takes no more: {self._failure!r}") from self._failure
            done: asyncio.Future[list[Record]] = asyncio.get_running_loop().create_future()
            draft = Draft(self._clock.now(), facts, rows, blobs, snapshot)
            if self._executor is None:
                self._waiting.append((draft, done))
                self._send()
            else:
                self._waiting.append((draft, done))
                if not self._sending and self._job is None:
                    # Soon, not now: all that is appended in this round of the loop shares one commit.
                    self._sending = True
                    done.get_loop().call_soon(self._send)
            return await done
        finally:
            self._room.leave()

    def _send(self) -> None:
        """Give what waits to the thread, unless it is at work; it comes again when it has done."""
        self._sending = False
        if self._job is not None or self._retry is not None or not self._waiting:
            return
        batch: list[Item] = []
        size = 0
        while self._waiting and size < BATCH:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0].facts)
        if self._executor is None:
            self._settled(batch, self._ledger.settle([draft for draft, _ in batch]))
            return
        # By the loop and not on a thread of our own making: in virtual time the loop stands still for its executors.
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(self._executor, self._ledger.settle, [draft for draft, _ in batch])
        self._job.add_done_callback(partial(self._sent, batch))

    def _sent(self, batch: Sequence[Item], job: asyncio.Future[list[Outcome]]) -> None:
        self._job = None
        self._settled(batch, job.result())

    def _settled(self, batch: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Deliver what was settled; what the disk did not take waits, before all that came later."""
        if self._on_trouble is None or self._closing is not None:
            self._send()  # first, so that the disk is at work while the listeners are
            self._deliver(batch, outcomes)
            return
        left = [item for item, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, DiskError)]
        troubles = [outcome for outcome in outcomes if isinstance(outcome, DiskError)]
        done = [pair for pair in zip(batch, outcomes, strict=True) if not isinstance(pair[1], DiskError)]
        self._waiting.extendleft(reversed(left))
        if troubles:
            self._retry = asyncio.get_running_loop().call_later(self._pause, self._try_again)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self._pause = FIRST_PAUSE
        self._say(troubles[0].reason if troubles else None)
        self._send()
        self._deliver([item for item, _ in done], [outcome for _, outcome in done])

    def _try_again(self) -> None:
        self._retry = None
        self._send()

    def _say(self, trouble: str | None) -> None:
        changed, self._trouble = trouble != self._trouble, trouble
        if changed and self._on_trouble is not None:
            self._on_trouble(trouble)

    def _deliver(self, batch: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Tell the listeners, then let the appenders go on; of many some in a round of the event loop."""
        self._told.extend(zip(batch, outcomes, strict=True))
        if self._executor is None:
            self._tell_some(len(self._told))
        elif self._telling is None:
            self._go_on_telling()

    def _go_on_telling(self, began: float | None = None, told: int = 0) -> None:
        """Tell a share of what waits, and the rest in the next rounds.

        What appenders do when they go on takes many times as long as telling them. The share follows from how long the
        last round took (additive increase, multiplicative decrease), so that whatever that is, a round stays short.

        Args:
            began, told: when the round before began, and how many were told in it, if it was one of these.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if began is not None and now - began > LONG:
            self._share = max(FEWEST, told // 2)
        elif began is not None and now - began < SHORT and told == self._share:
            self._share += FEWEST
        self._telling = None
        if self._told:
            count = min(self._share, len(self._told))
            self._tell_some(count)
            self._telling = loop.call_soon(self._go_on_telling, now, count)  # also when all is told: to see how long

    def _tell_some(self, count: int) -> None:
        for _ in range(count):
            (_, done), outcome = self._told.popleft()
            told = self._tell(outcome) if isinstance(outcome, list) else outcome
            if done.done():
                continue  # its appender was cancelled; what it recorded stays recorded
            if isinstance(told, list):
                done.set_result(told)
            else:
                done.set_exception(told)

    def _tell(self, records: list[Record]) -> Outcome:
        if not records:
            return records
        if self._failure is not None:
            return RunError(f"recorded, but nobody was told: {self._failure!r}")
        self._position = records[-1].position
        try:
            self._listeners.tell(records)
        except Exception as error:
            self._failure = error
            return error
        return records

    def _finish(self) -> None:
        try:
            for reader in list(self._readers):
                reader.close()
            self._ledger.close()
        finally:
            self._lock.release()


def _thread() -> ThreadPoolExecutor:
    """One thread, started now: one that cannot be had must fail here, and not leave appenders waiting."""
    executor = ThreadPoolExecutor(1, "journal")
    executor.submit(int).result()
    return executor
