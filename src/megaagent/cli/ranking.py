"""Who spends most, how fast, and how they stand: the rows of `top`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from megaagent.cli.crowd import ids_of
from megaagent.cli.sight import AgentRow, Organization
from megaagent.events import AgentId

WINDOW: Final = 60.0  # seconds over which a rate is taken
Row = dict[str, Any]

# What the rows can be sorted by, and how; equal ones keep the order in which they joined.
ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "spend": lambda row: (-row["cost"], -row["tokens"]),
    "rate": lambda row: (-row["rate"], -row["tokens"]),
    "state": lambda row: (row["order"], row["since"]),
    "steps": lambda row: -row["steps"],
    "age": lambda row: row["born"],
    "failures": lambda row: -row["failures"],
    "name": lambda row: row["name"],
}


class Ranking:
    """The agents of one run, brought up to date again and again."""

    def __init__(self) -> None:
        self.head: Row = {}
        self.live = False
        self.position = 0
        self._stands: list[str] = []
        self._rows: dict[int, AgentRow] = {}
        self._ids: dict[int, AgentId] = {}
        self._spent: dict[int, deque[tuple[float, int]]] = {}  # time, tokens until then

    def take_in(self, organization: Organization, now: float) -> None:
        """What changed since the last time.

        Args:
            now: seconds since 1970.
        """
        self.head, self.live, self._stands = organization.header, organization.live, organization.stands
        self.position = max(self.position, organization.position)
        ids_of(organization.rows, self._ids)
        for row in organization.rows:
            self._rows[row.index] = row
            points = self._spent.setdefault(row.index, deque([(row.born, 0)]))
            points.append((now, row.tokens))
            while len(points) > 2 and points[1][0] < now - WINDOW:
                points.popleft()

    def counts(self) -> list[tuple[str, int]]:
        """How many agents stand how, in the order of the words."""
        counted = Counter(row.stand for row in self._rows.values())
        return [(self._stands[stand], counted[stand]) for stand in sorted(counted)]

    def rows(self, order: str, now: float, below: str = "") -> list[Row]:
        """The agents, sorted.

        Args:
            order: one of `ORDERS`.
            now: seconds since 1970; of a run that is over, when it ended.
            below: only this agent and those below it, by name or path.
        """
        part = next((id for id in self._ids.values() if below in (id, id.rpartition("/")[2])), None) if below else None
        told = [
            {
                "id": self._ids[row.index],
                "name": row.name,
                "state": self._stands[row.stand],
                "order": row.stand,
                "since": row.since,
                "born": row.born,
                "cost": row.cost,
                "tokens": row.tokens,
                "rate": self._rate(row, now),
                "steps": row.steps,
                "failures": row.failures,
                "inbox": row.inbox,
                "act": row.act,
            }
            for row in self._rows.values()
            if part is None or self._ids[row.index] == part or self._ids[row.index].startswith(f"{part}/")
        ]
        return sorted(told, key=ORDERS[order])

    def _rate(self, row: AgentRow, now: float) -> float:
        """Tokens per minute of late; of the agent's whole life when it was looked at once only."""
        points = self._spent[row.index]
        since, spent = points[0]
        recent = [point for point in points if point[0] <= now - WINDOW]
        if recent:
            since, spent = max(recent[-1][0], now - WINDOW), recent[-1][1]
        return round(60 * (row.tokens - spent) / max(1.0, now - since), 1)
