"""Where the money went: by tier, purpose, model, tool and subtree, and what of it was for nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

from megaagent import events as ev
from megaagent.events import BOSS, Record, name_of
from megaagent.readings.overview import Overview


class Account:
    """Calls, tokens and dollars of one kind of thing."""

    __slots__ = ("cached", "calls", "completion", "cost", "prompt", "seconds")

    def __init__(self) -> None:
        self.calls = self.prompt = self.completion = self.cached = 0
        self.cost = self.seconds = 0.0

    def add(self, answer: ev.ModelAnswered) -> None:
        self.calls += 1
        self.prompt += answer.usage.prompt
        self.completion += answer.usage.completion
        self.cached += answer.usage.cached
        self.cost += answer.cost or 0.0
        self.seconds += answer.seconds

    def take_over(self, other: Account) -> None:
        """Add what another one has."""
        for field in self.__slots__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def told(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "calls": self.calls,
            "prompt": self.prompt,
            "completion": self.completion,
            "cached": self.cached,
            "cost": round(self.cost, 6),
            "seconds": round(self.seconds, 2),
        }


class Costs:
    """The fold."""

    def __init__(self) -> None:
        self._models: dict[str, Account] = {}
        self._purposes: dict[str, Account] = {}
        self._tiers: dict[str, Account] = {}
        self._tools: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._asked: dict[str, tuple[str, str]] = {}  # call in flight -> purpose, model
        self._faults: Counter[str] = Counter()

    def take_in(self, record: Record, overview: Overview) -> None:
        match record.event:
            case ev.CallIntended(call=call, purpose=purpose, model=model):
                self._asked[call] = purpose, model
            case ev.ModelAnswered() as answer:
                purpose, model = self._asked.pop(answer.call, ("step", answer.model))
                member = overview.state.members.get(record.agent)
                tier = member.tier if member is not None else "judge"
                for table, key in ((self._models, model), (self._purposes, purpose), (self._tiers, tier)):
                    table.setdefault(key, Account()).add(answer)
            case ev.CallFailed(call=call, fault=fault):
                self._asked.pop(call, None)
                self._faults[f"failed: {fault}"] += 1
            case ev.CallRetried(fault=fault):
                self._faults[f"retried: {fault}"] += 1
            case ev.ToolReturned(tool=tool, ok=ok):
                self._tools[tool] += 1
                self._refused[tool] += not ok
            case _:
                pass

    def told(self, overview: Overview) -> dict[str, Any]:
        """All tables."""
        state = overview.state
        thrown = [
            member for member in state.members.values() if overview.traits[member.id].settled in ("dropped", "failed")
        ]
        return {
            "models": _told(self._models),
            "purposes": _told(self._purposes),
            "tiers": _told(self._tiers),
            "tools": [
                {"name": tool, "calls": count, "refused": self._refused[tool]}
                for tool, count in self._tools.most_common(60)
            ],
            "faults": [{"name": name, "count": count} for name, count in self._faults.most_common()],
            "discarded": {"agents": len(thrown), "cost": round(sum(member.cost for member in thrown), 6)},
            "returned": sum(debt.returns for debt in state.debts.values()),
            "subtrees": self._subtrees(overview),
            "spending": [(round(time, 2), round(cost, 6)) for time, cost in overview.spending],
        }

    def _subtrees(self, overview: Overview) -> list[dict[str, Any]]:
        """The boss's own work, and the groups right below it, the dearest first."""
        state = overview.state
        boss = state.members.get(BOSS)
        if boss is None:
            return []
        rows = [
            {
                "id": id,
                "name": name_of(id),
                "agents": sum(1 for _ in state.subtree(id)),
                "calls": state.tally_of(id).calls,
                "failures": state.tally_of(id).failures,
                "tokens": state.tally_of(id).tokens,
                "cost": round(state.tally_of(id).cost, 6),
            }
            for id in boss.group
        ]
        own = {
            "id": BOSS,
            "name": "boss alone",
            "agents": 1,
            "calls": boss.step,
            "failures": boss.failures,
            "tokens": boss.usage.prompt + boss.usage.completion,
            "cost": round(boss.cost, 6),
        }
        return sorted([own, *rows], key=lambda row: -float(row["cost"]))[:200]


def _told(table: dict[str, Account]) -> list[dict[str, Any]]:
    return [account.told(name) for name, account in sorted(table.items(), key=lambda item: -item[1].cost)]
