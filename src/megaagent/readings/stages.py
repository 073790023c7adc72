"""What a run's stages cost: planning, solving, merging, as the paper's table of costs has them.

A call is **planning** when its answer recruits or assigns; so is what an agent did before it first recruited. It is
**merging** when it is made by an agent to whom work was handed in already, or for the verifier. All else is
**solving**.
"""

from __future__ import annotations

from typing import Any, Final

from megaagent import events as ev
from megaagent.events import AgentId, CallId, Record, superior_of
from megaagent.readings.account import Account

STAGES: Final = ("planning", "solving", "merging")
SHARING_OUT: Final = ("add_agent", "assign")


class Stage:
    """One stage: what its calls cost, and when they were in flight."""

    __slots__ = ("account", "spans")

    def __init__(self) -> None:
        self.account = Account()
        self.spans: list[tuple[float, float]] = []

    def take_over(self, other: Stage) -> None:
        """Add what another one has."""
        self.account.take_over(other.account)
        self.spans += other.spans

    def wall(self) -> float:
        """Seconds in which at least one of its calls was in flight."""
        covered, until = 0.0, 0.0
        for start, end in sorted(self.spans):
            covered += max(0.0, end - max(start, until))
            until = max(until, end)
        return covered


class Stages:
    """The fold."""

    def __init__(self) -> None:
        self._stages = {name: Stage() for name in STAGES}
        self._alone: dict[AgentId, Stage] = {}  # of agents that have not recruited yet
        self._leads: set[AgentId] = set()
        self._merges: set[AgentId] = set()
        self._flying: dict[CallId, tuple[float, str]] = {}

    def take_in(self, record: Record) -> None:
        match record.event:
            case ev.CallIntended(call=call, purpose=purpose):
                self._flying[call] = record.time, purpose
            case ev.ModelAnswered() as answer:
                began, purpose = self._flying.pop(answer.call, (record.time, "step"))
                stage = self._stage_of(record.agent, purpose, answer)
                stage.account.add(answer)
                stage.spans.append((began, record.time))
            case ev.CallFailed(call=call):
                self._flying.pop(call, None)
            case ev.AgentRecruited(id=id):
                self._leads.add(superior_of(id) or "")
            case ev.WorkReported():
                self._merges.add(superior_of(record.agent) or "")
            case _:
                pass

    def told(self) -> list[dict[str, Any]]:
        """A row for each stage; `wall` is the time in which at least one of its calls was in flight, in seconds."""
        solving = Stage()
        for stage in (self._stages["solving"], *self._alone.values()):
            solving.take_over(stage)
        stages = {**self._stages, "solving": solving}
        return [{**stages[name].account.told(name), "wall": round(stages[name].wall(), 3)} for name in STAGES]

    def _stage_of(self, agent: AgentId, purpose: str, answer: ev.ModelAnswered) -> Stage:
        if purpose == "verify":
            return self._stages["merging"]
        if any(call.name in SHARING_OUT for call in answer.calls):
            planning = self._stages["planning"]
            if agent in self._alone:
                planning.take_over(self._alone.pop(agent))
            self._leads.add(agent)
            return planning
        if agent in self._merges:
            return self._stages["merging"]
        if agent in self._leads:
            return self._stages["solving"]
        return self._alone.setdefault(agent, Stage())
