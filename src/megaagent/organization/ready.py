"""Agents that may act and whose step has not begun, best first."""

from __future__ import annotations

import heapq
from itertools import count

from megaagent.events import AgentId


class Ready:
    """A queue by priority, then by the order of coming; an agent is in it once."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, AgentId]] = []  # also entries that were replaced or taken out since
        self._newest: dict[AgentId, tuple[int, int]] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._newest)

    def __contains__(self, agent: AgentId) -> bool:
        return agent in self._newest

    def add(self, agent: AgentId, priority: int) -> None:
        """Put the agent in, or give it another priority; lower goes first."""
        known = self._newest.get(agent)
        if known is not None and known[0] == priority:
            return
        place = priority, next(self._numbers) if known is None else known[1]
        self._newest[agent] = place
        heapq.heappush(self._heap, (*place, agent))

    def discard(self, agent: AgentId) -> None:
        self._newest.pop(agent, None)

    def pop(self) -> AgentId | None:
        """Take out the first; None when nobody is there."""
        while self._heap:
            *place, agent = heapq.heappop(self._heap)
            if self._newest.get(agent) == tuple(place):
                del self._newest[agent]
                return agent
        return None
