"""The critical path: the chain of steps, each waiting for the one before, that made the run as long as it was.

It is walked from the end. What a step had to wait for is the later of two things: the agent's own step before it, and
the step of whoever wrote the last mail that it carried (a message's id names its sender and step). For the engine's
own mail that is whoever recorded the fact right before it.
"""

from __future__ import annotations

from typing import Any, Final

from megaagent import events as ev
from megaagent.dashboard.follower import Readings
from megaagent.events import AgentId, CallId, MessageId

LONGEST: Final = 2_000  # steps of the path


class Step:
    """One step of an agent: when its model was asked and answered, and the mail that it carried."""

    __slots__ = ("agent", "end", "mail", "number", "start")

    def __init__(self, agent: AgentId, number: int, start: float, mail: tuple[MessageId, ...]):
        self.agent = agent
        self.number = number
        self.start = start
        self.end = start
        self.mail = mail


def critical_path(readings: Readings) -> dict[str, Any]:
    """The steps of the path, the first one first, and the share of the run's time that its model calls make up."""
    steps, causes = _read(readings)
    current = max(steps.values(), key=lambda step: step.end, default=None)
    path: list[Step] = []
    while current is not None and len(path) < LONGEST:
        path.append(current)
        before = [
            steps.get((current.agent, current.number - 1)),
            *(steps.get(causes[m]) for m in current.mail if m in causes),
        ]
        current = max(
            (s for s in before if s is not None and s.start < current.start), key=lambda s: s.end, default=None
        )
    path.reverse()
    whole = readings.overview.state.run.last - readings.overview.first
    busy = sum(step.end - step.start for step in path)
    return {
        "steps": [(step.agent, step.number, step.start, step.end) for step in path],
        "seconds": round(busy, 3),
        "share": round(busy / whole, 4) if whole > 0 else 0.0,
    }


def _read(readings: Readings) -> tuple[dict[tuple[AgentId, int], Step], dict[MessageId, tuple[AgentId, int]]]:
    steps: dict[tuple[AgentId, int], Step] = {}
    open_ones: dict[CallId, Step] = {}
    causes: dict[MessageId, tuple[AgentId, int]] = {}
    last = ("", 0)
    for record in readings.reader.records(bodies=False):
        match record.event:
            case ev.CallIntended(call=call, purpose="step", mail=mail):
                step = Step(record.agent, record.step, record.time, mail)
                steps[record.agent, record.step] = open_ones[call] = step
            case ev.ModelAnswered(call=call) if call in open_ones:
                open_ones.pop(call).end = record.time
            case ev.MessageSent(message=message):
                causes[message.id] = (record.agent, record.step) if record.step else last
            case _:
                pass
        if record.step:
            last = record.agent, record.step
    return steps, causes
