"""A circuit breaker before one endpoint: when that fails again and again, one call at a time tries it; others wait.

See M. Nygard, "Release It!" (2007), chapter "Stability Patterns".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from megaagent.errors import Fault, ModelError
from megaagent.events import Struct

Position: TypeAlias = Literal["closed", "open", "half-open"]

# What says that the endpoint is out of order. Any other fault shows that it is there and answers.
_ITS_OWN: Final[frozenset[Fault]] = frozenset({"connection", "timeout", "overloaded"})


class BreakerSettings(Struct, frozen=True):
    """When a breaker opens and when it is tried again.

    Attributes:
        failures: attempts in a row, of all callers, after which it opens.
        seconds: from its opening to the first probe; doubles with every probe that fails.
        longest: seconds; no wait for a probe is longer.
    """

    failures: int = 5
    seconds: float = 10.0
    longest: float = 120.0


class Change(Struct, frozen=True):
    """The breaker has another position now; `wait` is the seconds from an opening to the next probe."""

    endpoint: str
    position: Position
    reason: str
    wait: float = 0.0


class Pass(Struct, frozen=True):
    """Leave for one attempt; `probe` when the endpoint is tried by it."""

    probe: bool = False


class CircuitOpen(ModelError):
    """No attempt was made, since the endpoint is out of order; the fault is that of its last failure."""


_ORDINARY: Final = Pass()


class Breaker:
    """Before one endpoint, shared by all who call it.

        await breaker.passable(until)
        passed = breaker.passes()
        if passed is not None:
            ... one attempt, then `succeeded(passed)`, `failed(passed, error)` or `called_off(passed)` ...

    Time is the running loop's, so that it works in virtual time too.

    Args:
        endpoint: what it is called in facts.
    """

    def __init__(self, endpoint: str, settings: BreakerSettings | None = None):
        self.endpoint = endpoint
        self.position: Position = "closed"
        self._settings = settings or BreakerSettings()
        self._watchers: list[Callable[[Change], None]] = []
        self._failures = 0  # in a row
        self._openings = 0  # since it was closed last
        self._probe_at = 0.0
        self._error: ModelError | None = None
        self._moved: asyncio.Future[None] | None = None

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Be told of every change of position."""
        self._watchers.append(watcher)

    @property
    def available(self) -> bool:
        """Whether a call that came now would pass."""
        return self.position == "closed" or (self.position == "open" and _now() >= self._probe_at)

    def passes(self) -> Pass | None:
        """Leave for one attempt, if it may be made now: as the probe when the breaker is open and the time has come."""
        if self.position == "closed":
            return _ORDINARY
        if not self.available:
            return None
        self._move("half-open", "one call tries it")
        return Pass(probe=True)

    async def passable(self, until: float) -> None:
        """Wait until an attempt may be made.

        Args:
            until: the loop's time at which waiting is given up.

        Raises:
            CircuitOpen: it was given up.
        """
        while not self.available:
            now = _now()
            if now >= until:
                raise self.refusal()
            wake = self._probe_at if self.position == "open" else until
            if self._moved is None:
                self._moved = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._moved], timeout=max(0.0, min(wake, until) - now))

    def refusal(self) -> CircuitOpen:
        """The error of a call that is not made."""
        error = self._error
        fault: Fault = error.fault if error is not None else "overloaded"
        return CircuitOpen(fault, f"{self.endpoint} is out of order and left alone; the last failure was {error}")

    def succeeded(self, passed: Pass) -> None:
        """An attempt was answered, be it with an error of another kind than the endpoint's own."""
        if passed.probe:
            self._openings = 0
            self._move("closed", "it answers again")
        if self.position == "closed":
            self._failures = 0

    def failed(self, passed: Pass, error: ModelError) -> None:
        """An attempt failed."""
        if error.fault not in _ITS_OWN:
            self.succeeded(passed)
            return
        self._failures += 1
        self._error = error
        if passed.probe or (self.position == "closed" and self._failures >= self._settings.failures):
            self._open(f"{self._failures} attempts in a row failed, the last with {error}")

    def called_off(self, passed: Pass) -> None:
        """An attempt was called off: if it was the probe, another may be made at once."""
        if passed.probe:
            self._probe_at = _now()
            self._move("open", "the call that tried it was called off")

    def _open(self, reason: str) -> None:
        wait = min(self._settings.longest, self._settings.seconds * 2 ** min(self._openings, 30))
        self._openings += 1
        self._probe_at = _now() + wait
        self._move("open", reason, wait)

    def _move(self, position: Position, reason: str, wait: float = 0.0) -> None:
        self.position = position
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)
        self._moved = None
        for watcher in self._watchers:
            watcher(Change(self.endpoint, position, reason, wait))


def _now() -> float:
    return asyncio.get_running_loop().time()
