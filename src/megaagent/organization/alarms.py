"""When waits end by themselves: the time of each agent that waits, and who is next."""

from __future__ import annotations

import heapq

from megaagent.events import AgentId


class Alarms:
    """One alarm per agent; setting, changing and ringing take time that grows with the logarithm of their number."""

    def __init__(self) -> None:
        self._when: dict[AgentId, float] = {}
        self._heap: list[tuple[float, AgentId]] = []  # also alarms that were changed since: those are passed over

    def set(self, agent: AgentId, when: float | None) -> None:
        """Ring for the agent at `when` (time of the run's clock) and at no other time; None is never."""
        if self._when.get(agent) == when:
            return
        if when is None:
            del self._when[agent]
        else:
            self._when[agent] = when
            heapq.heappush(self._heap, (when, agent))

    def ring(self, now: float) -> set[AgentId]:
        """Whose time has come; their alarms are off from now on."""
        ringing: set[AgentId] = set()
        while (first := self.next()) is not None and first <= now:
            _, agent = heapq.heappop(self._heap)
            del self._when[agent]
            ringing.add(agent)
        return ringing

    def next(self) -> float | None:
        """The time of the first alarm."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
