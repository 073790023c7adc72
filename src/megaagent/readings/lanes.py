"""When each agent did what: spans of calls, programs and waits, and marks, kept in flat arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final

from megaagent import events as ev
from megaagent.events import AgentId, Record

KINDS: Final = ("call", "program", "wait", "review", "intervention", "failure", "file")
CALL, PROGRAM, WAIT, REVIEW, INTERVENTION, FAILURE, FILE = range(len(KINDS))
MOST: Final = 4_000_000  # spans of all lanes together; later ones are not drawn
MOST_IN_LANE: Final = 3_000  # spans of one lane in an answer; beyond, short ones are drawn as one


class Lane:
    """The spans of one agent, by their ends; a mark is a span without length."""

    __slots__ = ("ends", "kinds", "open", "starts")

    def __init__(self) -> None:
        self.starts = array("d")
        self.ends = array("d")
        self.kinds = array("B")
        self.open: dict[int, float] = {}  # kind -> since when


class Lanes:
    """The fold."""

    def __init__(self) -> None:
        self._lanes: dict[AgentId, Lane] = {}
        self._count = 0
        self.last = 0.0

    def take_in(self, record: Record) -> None:
        agent, time = record.agent, record.time
        self.last = max(self.last, time)
        match record.event:
            case ev.CallIntended():
                self._close(agent, WAIT, time)
                self._lane(agent).open[CALL] = time
            case ev.ModelAnswered():
                self._close(agent, CALL, time)
            case ev.CallFailed():
                self._close(agent, CALL, time)
                self._add(agent, FAILURE, time, time)
            case ev.CallRetried():
                self._add(agent, FAILURE, time, time)
            case ev.ProgramStarted():
                self._lane(agent).open[PROGRAM] = time
            case ev.ProgramEnded():
                self._close(agent, PROGRAM, time)
            case ev.TurnEnded(how="wait" | "parked"):
                self._lane(agent).open[WAIT] = time
            case ev.ReviewOpened(admin=admin):
                self._add(admin, REVIEW, time, time)
            case ev.AgentNudged(id=id):
                self._add(id, INTERVENTION, time, time)
            case ev.FileCommitted():
                self._add(agent, FILE, time, time)
            case ev.AgentRetired(id=id):
                for kind in (CALL, PROGRAM, WAIT):
                    self._close(id, kind, time)
            case ev.RunEnded() | ev.RunResumed():
                for id, lane in self._lanes.items():
                    for kind in list(lane.open):
                        self._close(id, kind, time)
            case _:
                pass

    def spans(self, agent: AgentId, start: float, end: float, grain: float) -> list[tuple[int, float, float]]:
        """What an agent did in a window of time: kind, start, end; one that goes on ends now.

        Args:
            grain: seconds; neighbours of one kind that are nearer than that become one when there are too many.
        """
        lane = self._lanes.get(agent)
        if lane is None:
            return []
        found = [
            (kind, begun, ended)
            for kind, begun, ended in zip(lane.kinds, lane.starts, lane.ends, strict=True)
            if ended >= start and begun <= end
        ]
        found += [(kind, since, self.last) for kind, since in lane.open.items() if since <= end]
        return found if len(found) <= MOST_IN_LANE else _joined(found, grain)[:MOST_IN_LANE]

    def density(self, agents: Iterable[AgentId], start: float, end: float, bins: int) -> list[float]:
        """How many of the agents were in a call or program, on the average of each part of a window of time."""
        width = (end - start) / bins
        change = [0.0] * (bins + 1)
        busy = [0.0] * bins
        for agent in agents:
            lane = self._lanes.get(agent)
            if lane is None:
                continue
            open_ones = [(kind, since, self.last) for kind, since in lane.open.items()]
            for kind, begun, ended in [*zip(lane.kinds, lane.starts, lane.ends, strict=True), *open_ones]:
                if kind > PROGRAM or ended <= start or begun >= end:
                    continue
                first, last = max(0.0, (begun - start) / width), min(float(bins), (ended - start) / width)
                a, b = int(first), min(bins - 1, int(last))
                if a == b:
                    busy[a] += last - first
                else:
                    busy[a] += a + 1 - first
                    busy[b] += last - b
                    change[a + 1] += 1
                    change[b] -= 1
        level = 0.0
        for index in range(bins):
            level += change[index]
            busy[index] = round(busy[index] + level, 3)
        return busy

    def _lane(self, agent: AgentId) -> Lane:
        lane = self._lanes.get(agent)
        if lane is None:
            lane = self._lanes[agent] = Lane()
        return lane

    def _add(self, agent: AgentId, kind: int, start: float, end: float) -> None:
        if self._count >= MOST:
            return
        self._count += 1
        lane = self._lane(agent)
        lane.starts.append(start)
        lane.ends.append(end)
        lane.kinds.append(kind)

    def _close(self, agent: AgentId, kind: int, time: float) -> None:
        lane = self._lanes.get(agent)
        since = lane.open.pop(kind, None) if lane is not None else None
        if since is not None:
            self._add(agent, kind, since, time)


def _joined(spans: list[tuple[int, float, float]], grain: float) -> list[tuple[int, float, float]]:
    joined: dict[int, list[Any]] = {}
    done: list[tuple[int, float, float]] = []
    for kind, start, end in sorted(spans, key=lambda span: span[1]):
        running = joined.get(kind)
        if running is not None and start - running[2] < grain:
            running[2] = max(running[2], end)
        else:
            if running is not None:
                done.append((running[0], running[1], running[2]))
            joined[kind] = [kind, start, end]
    return [*done, *((kind, start, end) for kind, start, end in joined.values())]
