"""Where the money went: by stage, tier, purpose, model, tool and subtree, and what of it was for nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import BOSS, AgentId, CallId, Record, name_of
from megaagent.readings.account import Account
from megaagent.readings.overview import Overview
from megaagent.readings.stages import Stages
from megaagent.readings.thrift import Thrift
from megaagent.readings.waste import Waste

NO_TOOL: Final = "(text alone)"  # an answer without any call
MOST_GROUPS: Final = 2_000


class Costs:
    """The fold."""

    def __init__(self) -> None:
        self._models: dict[str, Account] = {}
        self._purposes: dict[str, Account] = {}
        self._tiers: dict[str, Account] = {}
        self._stages = Stages()
        self._tools: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._paid: dict[str, float] = {}  # by tool: the cost of an answer is shared among its calls
        self._asked: dict[CallId, ev.CallIntended] = {}  # in flight
        self._waste = Waste()
        self._thrift = Thrift()

    def take_in(self, record: Record, overview: Overview) -> None:
        """Fold one fact, which the overview has folded already."""
        self._waste.take_in(record)
        self._thrift.take_in(record)
        self._stages.take_in(record)
        match record.event:
            case ev.CallIntended(call=call) as asked:
                self._asked[call] = asked
            case ev.ModelAnswered() as answer:
                self._answered(record.agent, answer, overview)
            case ev.CallFailed(call=call):
                self._asked.pop(call, None)
            case ev.TextsEmbedded(model=model) as fact:
                self._models.setdefault(model, Account()).embed(fact)
                self._purposes.setdefault("recall", Account()).embed(fact)
            case ev.ToolReturned(tool=tool, ok=ok):
                self._tools[tool] += 1
                self._refused[tool] += not ok
            case _:
                pass

    def told(self, overview: Overview, root: AgentId = BOSS) -> dict[str, Any]:
        """All tables.

        Args:
            root: whose groups are told one by one as subtrees.

        Raises:
            RunError: no agent is called so.
        """
        state = overview.state
        thrown = [id for id, trait in overview.traits.items() if trait.settled in ("dropped", "failed")]
        return {
            "models": _told(self._models),
            "purposes": _told(self._purposes),
            "tiers": _told(self._tiers),
            "stages": self._stages.told(),
            "tools": [
                {
                    "name": tool,
                    "calls": self._tools[tool],
                    "refused": self._refused[tool],
                    "cost": round(self._paid.get(tool, 0.0), 6),
                }
                for tool in sorted(self._tools.keys() | self._paid.keys(), key=self._rank)[:60]
            ],
            "faults": self._waste.faults(),
            "economy": self._thrift.told(),
            "waste": self._waste.told(state, thrown),
            "returned": sum(debt.returns for debt in state.debts.values()),
            "subtrees": self._subtrees(overview, root),
            "spending": [(round(time, 2), round(cost, 6)) for time, cost in overview.spending],
        }

    def faults(self) -> list[dict[str, Any]]:
        """Calls that failed or were asked again, by what was wrong, the most frequent first."""
        return self._waste.faults()

    def _answered(self, agent: AgentId, answer: ev.ModelAnswered, overview: Overview) -> None:
        asked = self._asked.pop(answer.call, None) or ev.CallIntended(answer.call, "step", answer.model, "")
        member = overview.state.members.get(agent)
        for table, key in (
            (self._models, asked.model),
            (self._purposes, asked.purpose),
            (self._tiers, member.tier if member is not None else "judge"),
        ):
            table.setdefault(key, Account()).add(answer)
        names = [call.name for call in answer.calls] or [NO_TOOL]
        for name in names:
            self._paid[name] = self._paid.get(name, 0.0) + (answer.cost or 0.0) / len(names)

    def _rank(self, tool: str) -> tuple[float, int, str]:
        return -self._paid.get(tool, 0.0), -self._tools[tool], tool

    def _subtrees(self, overview: Overview, root: AgentId) -> list[dict[str, Any]]:
        """An agent's own work, and the groups right below it, the dearest first."""
        state = overview.state
        boss = state.members.get(state.names.get(root, root))
        if boss is None:
            if root == BOSS:
                return []
            raise RunError(f"no agent {root!r} is in this run")
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
            "id": boss.id,
            "name": f"{name_of(boss.id)} alone",
            "agents": 1,
            "calls": boss.step,
            "failures": boss.failures,
            "tokens": boss.usage.prompt + boss.usage.completion,
            "cost": round(boss.cost, 6),
        }
        return sorted([own, *rows], key=lambda row: -float(row["cost"]))[:MOST_GROUPS]


def _told(table: dict[str, Account]) -> list[dict[str, Any]]:
    return [account.told(name) for name, account in sorted(table.items(), key=lambda item: -item[1].cost)]
