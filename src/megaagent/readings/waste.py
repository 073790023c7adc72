"""What was paid for nothing: attempts that failed, steps that repeated themselves, work that was thrown away."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from megaagent import events as ev
from megaagent.events import AgentId, Record
from megaagent.organization.state import State

REMEMBERED: Final = 32  # calls of an agent with their results, to tell a repetition
# May well be meant again, with the same answer, unless they were refused.
NEVER: Final = frozenset({"input", "stop_program", "wait", "terminate", "review", "assign"})


class _Step:
    """An answer whose calls have not all returned."""

    __slots__ = ("again", "answer", "fresh", "returned")

    def __init__(self, answer: ev.ModelAnswered):
        self.answer = answer
        self.returned = 0
        self.again = self.fresh = 0


class Waste:
    """The fold."""

    def __init__(self) -> None:
        self._faults: Counter[str] = Counter()
        self._attempts = self._repeated = 0
        self._attempt_tokens = self._repeated_tokens = 0
        self._attempt_cost = self._repeated_cost = 0.0
        self._steps: dict[AgentId, _Step] = {}
        self._seen: dict[AgentId, dict[int, None]] = {}

    def take_in(self, record: Record) -> None:
        """Fold one fact."""
        match record.event:
            case ev.CallFailed(fault=fault, tokens=tokens, cost=cost):
                self._failed(f"failed: {fault}", tokens, cost)
            case ev.CallRetried(fault=fault, tokens=tokens, cost=cost):
                self._failed(f"retried: {fault}", tokens, cost)
            case ev.ModelAnswered(calls=calls) as answer if calls:
                self._steps[record.agent] = _Step(answer)
            case ev.ToolReturned() as result:
                self._returned(record.agent, result)
            case ev.AgentRetired(id=id):
                self._steps.pop(id, None)
                self._seen.pop(id, None)
            case _:
                pass

    def faults(self) -> list[dict[str, Any]]:
        """Calls that failed or were asked again, by what was wrong, the most frequent first."""
        return [{"name": name, "count": count} for name, count in self._faults.most_common()]

    def told(self, state: State, discarded: list[AgentId]) -> list[dict[str, Any]]:
        """What was for nothing, by kind; each with how often, and its tokens and dollars.

        Args:
            discarded: agents whose work was dropped or has failed; all that was spent below them counts.
        """
        gone = set(discarded)
        topmost = [id for id in discarded if not any(above in gone for above in ev.lineage(id)[1:])]
        tallies = [state.tally_of(id) for id in topmost]
        return [
            {
                "name": "retries",
                "count": self._attempts,
                "tokens": self._attempt_tokens,
                "cost": round(self._attempt_cost, 6),
                "words": "attempts that brought no answer and may have been paid for",
            },
            {
                "name": "duplicates",
                "count": self._repeated,
                "tokens": self._repeated_tokens,
                "cost": round(self._repeated_cost, 6),
                "words": "steps that only repeated calls, with the same results",
            },
            {
                "name": "discarded",
                "count": len(discarded),
                "tokens": sum(tally.tokens for tally in tallies),
                "cost": round(sum(tally.cost for tally in tallies), 6),
                "words": "agents whose work was dropped or failed, with all below them",
            },
        ]

    def _failed(self, words: str, tokens: int, cost: float) -> None:
        self._faults[words] += 1
        if tokens:
            self._attempts += 1
            self._attempt_tokens += tokens
            self._attempt_cost += cost

    def _returned(self, agent: AgentId, result: ev.ToolReturned) -> None:
        step = self._steps.get(agent)
        if step is None or result.index >= len(step.answer.calls):
            return
        call = step.answer.calls[result.index]
        step.returned += 1
        if call.name not in NEVER or not result.ok:
            seen = self._seen.setdefault(agent, {})
            mark = hash((call.name, call.arguments, result.text))
            step.again += mark in seen
            step.fresh += mark not in seen
            seen.pop(mark, None)
            seen[mark] = None
            if len(seen) > REMEMBERED:
                del seen[next(iter(seen))]
        if step.returned == len(step.answer.calls):
            del self._steps[agent]
            if step.again and not step.fresh:
                self._repeated += 1
                self._repeated_tokens += step.answer.usage.prompt + step.answer.usage.completion
                self._repeated_cost += step.answer.cost or 0.0
