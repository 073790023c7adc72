"""The state of an organization: a fold of its journal.

What agents are is kept in frozen values that are replaced, so that a step can try its effects on a `draft` that shares
everything that it does not touch.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from msgspec.structs import replace

from megaagent.events import AgentId, AssignmentId, CallId, Fact, Record, lineage
from megaagent.organization.folds import FOLDS
from megaagent.organization.habits import NONE, AllHabits, Habits, progressed
from megaagent.organization.members import Debt, Member, RunState, Tally
from megaagent.organization.overlay import Overlay


class State:
    """The organization as the journal tells it."""

    def __init__(
        self,
        members: MutableMapping[AgentId, Member] | None = None,
        debts: MutableMapping[AssignmentId, Debt] | None = None,
        names: MutableMapping[str, AgentId] | None = None,
        waiters: MutableMapping[AgentId, tuple[AgentId, ...]] | None = None,
        run: RunState | None = None,
        habits: AllHabits | None = None,
        tallies: MutableMapping[AgentId, Tally] | None = None,
    ):
        self.members: MutableMapping[AgentId, Member] = {} if members is None else members
        self.debts: MutableMapping[AssignmentId, Debt] = {} if debts is None else debts
        self.names: MutableMapping[str, AgentId] = {} if names is None else names
        self.waiters: MutableMapping[AgentId, tuple[AgentId, ...]] = {} if waiters is None else waiters
        self.calls: dict[CallId, tuple[int, float]] = {}  # in flight: tokens and dollars reserved
        self.run = run or RunState()
        self.habits: AllHabits = {} if habits is None else habits  # the supervisor's memory; no part of the digest
        self.tallies: MutableMapping[AgentId, Tally] = {} if tallies is None else tallies  # of subtrees
        self.position = 0  # of the newest fact taken in
        self.touched: set[AgentId] = set()  # whose prospects changed; the scheduler takes and clears it
        self.dirty: set[str] = set()  # members and debts changed since the last digest

    def draft(self) -> State:
        """A copy to try facts on; it shares what they do not touch."""
        return State(
            Overlay(self.members),
            Overlay(self.debts),
            Overlay(self.names),
            Overlay(self.waiters),
            self.run,
            Overlay(self.habits),
            Overlay(self.tallies),
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def live(self) -> Iterator[Member]:
        """All agents that are not retired."""
        return (member for member in self.members.values() if member.retired is None)

    def subordinates(self, agent: AgentId) -> Iterator[Member]:
        """The live members of the agent's group."""
        return (member for id in self.members[agent].group if (member := self.members[id]).retired is None)

    def subtree(self, agent: AgentId) -> Iterator[Member]:
        """The agent and everyone below it, retired or not, superiors first."""
        queue = [agent]
        while queue:
            member = self.members[queue.pop()]
            yield member
            queue.extend(reversed(member.group))

    def debts_of(self, agent: AgentId, status: str) -> list[Debt]:
        """The agent's debts with this status; only "open" and "reported" ones are kept at hand."""
        return [debt for id in self.members[agent].owes if (debt := self.debts[id]).status == status]

    def owed_to(self, agent: AgentId, status: str) -> list[Debt]:
        """What the agent's subordinates owe it."""
        return [debt for member in self.subordinates(agent) for debt in self.debts_of(member.id, status)]

    def unfinished_state(self, agent: AgentId) -> tuple[object, ...]:
        """What keeps the agent from handing in, as a value that changes when anything of it does."""
        member = self.members[agent]
        debts = [self.debts[id] for below in self.subordinates(agent) for id in below.owes]
        return (member.checklist, member.program, tuple((debt.id, debt.status, debt.returns) for debt in debts))

    def habits_of(self, agent: AgentId) -> Habits:
        """What the supervisor remembers of the agent."""
        return self.habits.get(agent, NONE)

    def tally_of(self, agent: AgentId) -> Tally:
        """What the agent and everyone below it have done and spent."""
        return self.tallies.get(agent, Tally())

    def paused_above(self, agent: AgentId) -> bool:
        """Whether the run, the agent or anyone above it is paused."""
        if self.run.paused is not None:
            return True
        return any(self.members[id].paused is not None for id in lineage(agent) if id in self.members)

    def halted_above(self, agent: AgentId) -> bool:
        """Whether the supervisor has paused the agent or anyone above it: then it may never act again."""
        return any(self.members[id].halted for id in lineage(agent) if id in self.members)

    # -- folding ------------------------------------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take in one fact."""
        self.position = record.position
        fold = FOLDS.get(type(record.event))
        if fold is not None:
            fold(self, record, record.event)
        if record.time > self.run.last:
            self.run = replace(self.run, last=record.time)

    def try_facts(self, facts: list[Fact], now: float) -> None:
        """Take in facts that are not in the journal yet (only ever on a draft)."""
        for fact in facts:
            self.apply(Record(0, 0, now, fact.agent, fact.step, fact.event))

    def put(self, member: Member) -> None:
        self.members[member.id] = member
        self.touched.add(member.id)
        self.dirty.add(member.id)

    def put_debt(self, debt: Debt) -> None:
        self.debts[debt.id] = debt
        self.dirty.add(debt.id)

    def count(
        self, agent: AgentId, calls: int = 0, failures: int = 0, tokens: int = 0, cost: float = 0.0, idle: int = 0
    ) -> None:
        """Add to the tallies of the agent and of all above it."""
        tallies = self.tallies
        for id in lineage(agent):
            old = tallies.get(id) or Tally()
            tallies[id] = Tally(
                old.calls + calls, old.failures + failures, old.tokens + tokens, old.cost + cost, old.idle + idle
            )

    def progressed(self, agent: AgentId) -> None:
        """The agent got something done: a file, its checklist or a debt has changed."""
        self.habits[agent] = progressed(self.habits_of(agent))
        for id in lineage(agent):
            if (tally := self.tally_of(id)).idle:
                self.tallies[id] = replace(tally, idle=0)

    def change(self, agent: AgentId, **fields: Any) -> None:
        """Replace fields of a member; facts about what is not in the tree (the verifier) change nothing here."""
        member = self.members.get(agent)
        if member is not None:
            self.put(replace(member, **fields))
