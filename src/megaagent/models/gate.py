"""Who may call a provider now.

One gate stands before each provider, model and key. It learns how many calls the provider bears at once, keeps to its
limits of requests and tokens, and hands out places by priority and, within a priority, in turn among the subtrees.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Final

from megaagent.errors import ModelError
from megaagent.events import Struct, Usage
from megaagent.models.limits import Allowance, Limits


class GateSettings(Struct, frozen=True):
    """How a gate begins and how far it goes.

    Attributes:
        start: calls at once before anything is known.
        most: calls at once that are never passed.
        cut: what a rate limit leaves of the concurrency.
        cool: seconds of the first cool-down when the provider names none; doubles while refusals follow each other.
        coolest: the longest cool-down that is reckoned here; a provider may ask for longer.
        requests, tokens: allowed per minute; None to learn them from the provider, where it tells.
    """

    start: int = 8
    most: int = 2000
    cut: float = 0.5
    cool: float = 1.0
    coolest: float = 60.0
    requests: float | None = None
    tokens: float | None = None


Priority = int | Callable[[], int]

_NARROWEST: Final = 0.05  # seconds of a limit that are given out at once, at least
_MEASURED: Final = 20.0  # seconds over which the pace of answers is taken
_SLOWER: Final = 0.9  # of the measured pace, after a refusal by a provider that tells no limits
_ENOUGH: Final = 8  # answers from which a pace can be taken
_FASTER: Final = 0.02  # of the pace, per second while it holds calls back
_CAREFUL: Final = 0.96  # of a known limit is used, at least, by a gate that was refused within it


class _Bucket:
    """A limit per time: fills at `rate` per second up to `size`."""

    def __init__(self, size: float, rate: float, now: float):
        self.size, self.rate = size, rate
        self._level, self._at = size, now

    def narrow(self, seconds: float, now: float) -> None:
        """Give out no more at once than comes back in so many seconds."""
        self.size = min(self.size, max(1.0, self.rate * seconds))
        self._level = min(self.level(now), self.size)

    def level(self, now: float) -> float:
        self._level = min(self.size, self._level + (now - self._at) * self.rate)
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = self.level(now) - amount

    def put_right(self, told: Allowance, under_way: float, share: float, seconds: float, now: float) -> None:
        """Follow what the provider told, less what it has not yet counted: a share, of so many seconds at once."""
        level = self.level(now)
        self.rate = told.rate * share
        self.size = min(told.limit, max(1.0, self.rate * seconds))
        self._level = min(level, self.size, told.left - under_way)

    def when(self, amount: float, now: float) -> float:
        """The time at which `amount` is there; more than the whole bucket waits for a full one only."""
        lacking = min(amount, self.size) - self.level(now)
        return now if lacking <= 1e-9 else now + lacking / self.rate


class Place:
    """A place at the gate: entered when the call may be made, left when it is over.

    Attributes:
        patience: seconds of a cool-down that are waited for; whoever waits when a provider asks for longer is told so.
    """

    def __init__(self, gate: Gate, priority: Priority, share: str, tokens: int):
        self._gate = gate
        self._priority = priority
        self.patience: float | None = None
        self.share, self.tokens = share, tokens
        self.round = 0  # which round of calls it belongs to, told when it is entered
        self.held = False
        self.given: asyncio.Future[None] | None = None  # while it is waited for

    @property
    def priority(self) -> int:
        if not isinstance(self._priority, int):
            self._priority = self._priority()
        return self._priority

    @priority.setter
    def priority(self, priority: int) -> None:
        self._priority = priority

    async def __aenter__(self) -> Place:
        if not self.held:
            await self._gate.enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.held:
            self._gate.leave(self)

    def prefer(self, priority: int) -> None:
        """Take another priority, also while it is waited for."""
        self._gate.prefer(self, priority)


class Gate:
    """Adaptive concurrency, limits, priorities and fair shares before one provider, model and key.

        async with gate.place(priority=2, share="boss/engine", tokens=9_000) as place:
            response = await model.complete(request)
            gate.answered(response.usage, place)

    Time is the running loop's, so that it works in virtual time too.

    Concurrency follows TCP's congestion control (RFC 5681) with calls for segments: it grows by one per answer until
    the first refusal, later by one per round of answers, and only while it is the thing that holds calls back; a
    refusal cuts it once per round.

    A limit per minute is often kept in shorter windows, so each refusal also narrows how much of a known limit is given
    out at once. Where the provider tells no limits the pace is learned instead: after a refusal a little below that of
    the latest answers, then slowly faster until the next. A known pace guards the provider, so the concurrency comes
    back quickly to where it was.
    """

    def __init__(self, settings: GateSettings | None = None):
        self._settings = settings = settings or GateSettings()
        self.limit = float(settings.start)
        self.in_flight = 0
        self.waiting = 0
        self.cooled_at = 0.0  # the loop's time before which no call begins
        self._threshold = float(settings.most)
        self._round = 0
        self._refusals = 0
        self._requests: _Bucket | None = None
        self._tokens: _Bucket | None = None
        self._pace: _Bucket | None = None
        self._answers: deque[float] = deque()
        self._grown = 0.0  # when the pace last became faster
        self._share = 1.0  # of a known limit that is used
        self._window = 60.0  # seconds of a known limit that are given out at once
        self._under_way = 0
        self._queues: dict[int, OrderedDict[str, deque[tuple[Place, asyncio.Future[None]]]]] = {}
        self._priorities: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def place(self, *, priority: Priority = 0, share: str = "", tokens: int = 0) -> Place:
        """A place for one call, to be entered with `async with`.

        Args:
            priority: lower goes first; calls of one priority and share go in the order of asking. What gives it is
                only asked when the call has to wait.
            share: whose call it is; shares of one priority take turns.
            tokens: what the call may use, prompt and answer.
        """
        return Place(self, priority, share, tokens)

    def prefer(self, place: Place, priority: int) -> None:
        """Give a place that is waited for another priority; among those of the new one it comes last."""
        future = place.given
        if place.priority == priority:
            return
        if future is None or future.done():
            place.priority = priority  # for the next time that it waits
            return
        self._queues[place.priority][place.share].remove((place, future))
        self.waiting -= 1
        place.priority = priority
        self._queue(place, future, first=False)

    def answered(self, usage: Usage, place: Place | None = None) -> None:
        """A call was answered; to be told before its place is left."""
        now = _now()
        self._refusals = 0
        self._answers.append(now)
        while self._answers[0] < now - _MEASURED:
            self._answers.popleft()
        self._hurry(now)
        if self.in_flight >= int(self.limit) or self.waiting:
            growth = 1.0 if self.limit < self._threshold else 1.0 / self.limit
            self.limit = min(float(self._settings.most), self.limit + growth)
        if place is not None and self._tokens is not None:
            self._tokens.take(usage.prompt + usage.completion - place.tokens, now)
        self._admit()

    def refused(self, retry_after: float | None = None, place: Place | None = None) -> None:
        """A call met a rate limit: begin fewer at once, and none before `retry_after` seconds are over."""
        now = _now()
        same_round = place.round < self._round if place is not None else now < self.cooled_at
        if not same_round:
            self._round += 1
            self._refusals += 1
            before = self.limit
            self.limit = max(1.0, self.limit * self._settings.cut)
            cool = min(self._settings.coolest, self._settings.cool * 2 ** min(self._refusals - 1, 30))
            if not self._keep_pace(now):
                self._threshold = self.limit
            elif self._threshold == self._settings.most or self._threshold < before:
                self._threshold = before
            if self._requests is not None and self._tokens is not None:
                cool /= 4  # within known limits only a short window was full
            self.cooled_at = max(self.cooled_at, now + cool)
        self.cooled_at = max(self.cooled_at, now + (retry_after or 0.0))
        if place is not None:
            place.round = self._round  # if its call is made again, that is a new one
        self._turn_away(self.cooled_at - now)

    def _turn_away(self, cool: float) -> None:
        """Tell those who wait that it is for longer than they can."""
        for shares in self._queues.values():
            for queue in shares.values():
                for place, future in queue:
                    if place.patience is not None and cool > place.patience and not future.done():
                        future.set_exception(too_long(cool))

    def _keep_pace(self, now: float) -> bool:
        """After a refusal: go more evenly about known limits, or more slowly; whether a pace is known from now on."""
        self._window = max(_NARROWEST, self._window / 4)
        known = [bucket for bucket in (self._requests, self._tokens) if bucket is not None]
        before, self._share = self._share, max(_CAREFUL, self._share - 0.02) if known else self._share
        for bucket in known:
            bucket.rate *= self._share / before
            bucket.narrow(self._window, now)
        if self._requests is not None and self._tokens is not None:
            return True
        if self._pace is not None:
            rate = self._pace.rate * _SLOWER
        elif len(self._answers) < _ENOUGH or now - self._answers[0] < 1.0:
            return False
        else:
            rate = _SLOWER * len(self._answers) / (now - self._answers[0])
        self._pace = _Bucket(max(1.0, rate * _NARROWEST), rate, now)
        self._grown = now
        return True

    def _hurry(self, now: float) -> None:
        """While the learned pace holds calls back it becomes faster."""
        if self._pace is not None and self.waiting:
            self._pace.rate *= 1 + _FASTER * min(1.0, now - self._grown)
            self._pace.size = max(1.0, self._pace.rate * _NARROWEST)
        self._grown = now

    def learn(self, limits: Limits) -> None:
        """Follow the limits that the provider told with an answer."""
        now = _now()
        self._open_buckets(now)
        if limits.requests is not None:
            self._requests = self._requests or _Bucket(limits.requests.limit, limits.requests.rate, now)
            self._requests.put_right(limits.requests, max(0, self.in_flight - 1), self._share, self._window, now)
        if limits.tokens is not None:
            self._tokens = self._tokens or _Bucket(limits.tokens.limit, limits.tokens.rate, now)
            self._tokens.put_right(limits.tokens, self._under_way, self._share, self._window, now)
        self._admit()

    def enter_now(self, place: Place) -> bool:
        """Take the place if it can be given without waiting."""
        now = _now()
        self._open_buckets(now)
        if self.waiting or self.in_flight >= int(self.limit) or self._when(place, now) > now:
            return False
        self._give(place, now)
        return True

    async def enter(self, place: Place) -> None:
        """Wait until the place is given.

        Raises:
            ModelError: meanwhile the provider has asked to be left alone for longer than the place's patience.
        """
        self._open_buckets(_now())
        again = False
        while True:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            place.given = future
            self._queue(place, future, first=again)
            self._admit()
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and future.exception() is None:  # given in the same moment
                    self.leave(place)
                else:
                    self.waiting -= 1
                    self._admit()
                raise
            except ModelError:
                self.waiting -= 1
                raise
            if _now() >= self.cooled_at:
                return
            again = True  # a refusal came between the giving and this moment
            self._take_back(place)

    def leave(self, place: Place) -> None:
        """Give the place back."""
        place.held = False
        self.in_flight -= 1
        self._under_way -= place.tokens
        self._admit()

    def _open_buckets(self, now: float) -> None:
        if self._requests is None and self._settings.requests:
            self._requests = _Bucket(self._settings.requests, self._settings.requests / 60, now)
        if self._tokens is None and self._settings.tokens:
            self._tokens = _Bucket(self._settings.tokens, self._settings.tokens / 60, now)

    def _queue(self, place: Place, future: asyncio.Future[None], *, first: bool) -> None:
        shares = self._queues.get(place.priority)
        if shares is None:
            shares = self._queues[place.priority] = OrderedDict()
            heapq.heappush(self._priorities, place.priority)
        queue = shares.setdefault(place.share, deque())
        if first:
            queue.appendleft((place, future))
        else:
            queue.append((place, future))
        self.waiting += 1

    def _next(self) -> tuple[Place, asyncio.Future[None]] | None:
        """The head of the queue, left in it; those called off are dropped on the way."""
        while self._priorities:
            priority = self._priorities[0]
            shares = self._queues[priority]
            while shares:
                share, queue = next(iter(shares.items()))
                while queue and queue[0][1].done():
                    queue.popleft()
                if queue:
                    return queue[0]
                del shares[share]
            del self._queues[priority]
            heapq.heappop(self._priorities)
        return None

    def _pop(self, place: Place) -> None:
        """Take the head out and send its share to the end of the turn."""
        shares = self._queues[place.priority]
        shares[place.share].popleft()
        shares.move_to_end(place.share)
        self.waiting -= 1

    def _admit(self) -> None:
        """Give out every place that may be given now, and wake up when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.in_flight < int(self.limit) and (head := self._next()) is not None:
            place, future = head
            now = _now()
            ready = self._when(place, now)
            if ready > now:
                self._timer = asyncio.get_running_loop().call_at(ready, self._admit)
                return
            self._pop(place)
            self._give(place, now)
            future.set_result(None)

    def _when(self, place: Place, now: float) -> float:
        ready = max(now, self.cooled_at)
        if self._requests is not None:
            ready = max(ready, self._requests.when(1, now))
        if self._tokens is not None:
            ready = max(ready, self._tokens.when(place.tokens, now))
        if self._pace is not None:
            ready = max(ready, self._pace.when(1, now))
        return ready

    def _give(self, place: Place, now: float) -> None:
        self.in_flight += 1
        self._under_way += place.tokens
        place.round = self._round
        place.held = True
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(place.tokens, now)
        if self._pace is not None:
            self._pace.take(1, now)

    def _take_back(self, place: Place) -> None:
        """Undo the giving of a place whose call has not begun."""
        now = _now()
        place.held = False
        self.in_flight -= 1
        self._under_way -= place.tokens
        if self._requests is not None:
            self._requests.take(-1, now)
        if self._tokens is not None:
            self._tokens.take(-place.tokens, now)
        if self._pace is not None:
            self._pace.take(-1, now)


def too_long(cool: float) -> ModelError:
    """The provider is not waited for."""
    detail = f"the provider has asked to be left alone for {cool:,.0f} s more"
    return ModelError("rate_limit", detail, retry_after=cool)


def _now() -> float:
    return asyncio.get_running_loop().time()
