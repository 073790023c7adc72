"""Model calls in flight: how many at once, for how long, and when no engine was at work."""

from __future__ import annotations

from megaagent import events as ev
from megaagent.events import CallId, Record


class Flights:
    """The fold.

    Attributes:
        peak: most calls in flight at once.
        overlapped: seconds in which at least two were.
        idle: seconds between one engine's last fact and the next one's first.
        gaps: those times, each as start and end.
    """

    def __init__(self) -> None:
        self.peak = 0
        self.overlapped = 0.0
        self.idle = 0.0
        self.gaps: list[tuple[float, float]] = []
        self._flying: set[CallId] = set()
        self._since: float | None = None

    def take_in(self, record: Record) -> None:
        time = record.time
        if self._since is None:
            self._since = time
        passed = max(0.0, time - self._since)
        if isinstance(record.event, ev.RunResumed | ev.RunForked):  # what was in flight ended with that engine
            self._flying.clear()
            self.idle += passed
            self.gaps.append((self._since, time))
        elif len(self._flying) >= 2:
            self.overlapped += passed
        self._since = max(self._since, time)
        match record.event:
            case ev.CallIntended(call=call):
                self._flying.add(call)
                self.peak = max(self.peak, len(self._flying))
            case ev.ModelAnswered(call=call) | ev.CallFailed(call=call):
                self._flying.discard(call)
            case ev.RunEnded():
                self._flying.clear()
            case _:
                pass
