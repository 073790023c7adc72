"""How long one attempt is waited for: to its deadline, and between two pieces of an answer for the stall time."""

from __future__ import annotations

import asyncio
from types import TracebackType

from megaagent.errors import ModelError


class Patience:
    """Ends what is inside the `with` block after `seconds`, or when nothing was heard for the stall time.

    The stall time counts from the first `heard()` on; until then only the deadline does. One timer serves both: when
    it rings too early it is set anew, so that hearing a piece costs the reading of a clock.

    Args:
        host: named in the error.
        seconds, stall: of the event loop's clock.

    Raises:
        ModelError: `timeout`, on leaving the block; what was asked for may have been paid.
    """

    __slots__ = ("_before", "_end", "_heard", "_host", "_loop", "_rung", "_seconds", "_stall", "_task", "_timer")

    def __init__(self, host: str, seconds: float, stall: float):
        self._host = host
        self._seconds = seconds
        self._stall = stall
        self._heard: float | None = None
        self._rung = False

    def __enter__(self) -> Patience:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._end = now + self._seconds
        self._timer = self._loop.call_at(min(self._end, now + self._stall), self._ring)
        return self

    def heard(self) -> None:
        """A piece of the answer has come."""
        self._heard = self._loop.time()

    def _ring(self) -> None:
        now = self._loop.time()
        # Before anything was heard, the stall time may begin at any moment.
        due = min(self._end, (now if self._heard is None else self._heard) + self._stall)
        if due > now:
            self._timer = self._loop.call_at(due, self._ring)
        else:
            self._rung = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        if not self._rung:
            return
        cancelled_by_others = self._task.uncancel() > self._before
        if kind is None or not issubclass(kind, asyncio.CancelledError) or cancelled_by_others:
            return
        late = self._loop.time() >= self._end
        what = f"no whole answer within {self._seconds:g} s"
        if not late:
            what = f"nothing came for {self._stall:g} s within an answer"
        timeout = ModelError("timeout", f"{self._host}: {what}")
        timeout.maybe_paid = True
        raise timeout from None
