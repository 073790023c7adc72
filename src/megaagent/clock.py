"""Real and virtual time, passed in.

Engine code waits with asyncio as usual (`asyncio.sleep`, `asyncio.timeout`) and asks a `Clock` only for the time of
day. In virtual time the event loop itself jumps: as soon as nothing can run, its time becomes that of the next timer.
Real work outside the loop holds the virtual clock: a thread's job takes no virtual time, a real program takes as much
as it really takes.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol


class Clock(Protocol):
    """What tells the time of a run."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def real_program(self) -> Any:
        """A context manager: a real program is under way, so time must pass as it really does."""
        ...


class WallClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    @contextmanager
    def real_program(self) -> Generator[None]:
        yield


class VirtualClock:
    """A clock that jumps over waiting; run the program with `run` or give `loop_factory` to an `asyncio.Runner`.

    Args:
        start: the time of day at which the run begins, seconds since 1970.
    """

    def __init__(self, start: float = 1_700_000_000.0):
        self._start = start
        self._elapsed = 0.0
        self.threads = 0  # jobs under way in threads
        self.programs = 0

    def now(self) -> float:
        return self._start + self._elapsed

    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        return self._elapsed

    @contextmanager
    def real_program(self) -> Generator[None]:
        self.programs += 1
        try:
            yield
        finally:
            self.programs -= 1

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds

    def loop_factory(self) -> asyncio.AbstractEventLoop:
        """An event loop whose time is this clock's."""
        return _VirtualLoop(self)

    def run(self, main: Callable[[], Any]) -> Any:
        """Run the coroutine that `main` makes to its end, in virtual time."""
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(main())


class _JumpingSelector(selectors.DefaultSelector):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """Never waits for time to pass: it polls, then lets the clock jump."""

    clock: VirtualClock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        clock = self.clock
        if clock.threads or clock.programs:
            # Wait a little at a time: the end of a thread's job wakes the loop through its self-pipe, a timer that is
            # due while a program runs must fire even if the program says nothing.
            began = time.monotonic()
            ready = super().select(0.02 if timeout is None else min(timeout, 0.02))
            if clock.programs:
                clock.advance(time.monotonic() - began)
            return ready
        ready = super().select(0)
        if ready or timeout is None:
            # Nothing is timed and nothing is under way: only I/O that nobody announced can wake the loop.
            return ready or super().select(0.02)
        clock.advance(timeout)
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock):
        selector = _JumpingSelector()
        selector.clock = clock
        super().__init__(selector)
        self._clock = clock

    def time(self) -> float:
        return self._clock.elapsed()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self._clock.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._clock.threads -= 1
