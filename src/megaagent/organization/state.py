"""The state of an organization: a fold of its journal.

What agents are is kept in frozen values that are replaced, so that a step can try its effects on a `draft` that shares
everything that it does not touch.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from msgspec.structs import replace

from megaagent.events import AgentId, AssignmentId, CallId, Fact, Record, lineage, superior_of
from megaagent.organization.folds import FOLDS
from megaagent.organization.habits import NONE, AllHabits, Habits, progressed
from megaagent.organization.members import Batch, Debt, Member, Purse, RunState, Tally, Waiters
from megaagent.organization.overlay import Overlay
from megaagent.organization.weight import weight

NOTHING = Tally()  # what somebody has done who has not begun


class State:
    """The organization as the journal tells it."""

    def __init__(
        self,
        members: MutableMapping[AgentId, Member] | None = None,
        debts: MutableMapping[AssignmentId, Debt] | None = None,
        names: MutableMapping[str, AgentId] | None = None,
        waiters: dict[AgentId, Waiters] | None = None,
        run: RunState | None = None,
        habits: AllHabits | None = None,
        tallies: MutableMapping[AgentId, Tally] | None = None,
    ):
        self.members: MutableMapping[AgentId, Member] = {} if members is None else members
        self.debts: MutableMapping[AssignmentId, Debt] = {} if debts is None else debts
        self.names: MutableMapping[str, AgentId] = {} if names is None else names
        self.waiters: dict[AgentId, Waiters] = {} if waiters is None else waiters  # by whom they wait for
        self.calls: dict[CallId, tuple[int, float]] = {}  # tokens and dollars reserved, also for those called off
        self.flying: dict[AgentId, tuple[CallId, ...]] = {}  # calls in flight
        self.batches: dict[str, Batch] = {}  # calls that are with a provider, by our name of the batch
        self.run = run or RunState()
        self.habits: AllHabits = {} if habits is None else habits  # the supervisor's memory; no part of the digest
        self.tallies: MutableMapping[AgentId, Tally] = {} if tallies is None else tallies  # of subtrees
        self.paused: set[AgentId] = set()  # of the members, those that are
        self.bytes = 0  # about what the run's folder holds, counted before compression
        self.position = 0  # of the newest fact taken in
        self.touched: set[AgentId] = set()  # whose prospects changed; the scheduler takes and clears it
        self.dirty: set[str] = set()  # members and debts changed since the last digest
        self.tried = False  # a draft: what nobody looks at before the step is over is not kept

    def draft(self) -> State:
        """A copy to try facts on; it shares what they do not touch."""
        draft = State(
            Overlay(self.members),
            Overlay(self.debts),
            Overlay(self.names),
            self.waiters,
            self.run,
            Overlay(self.habits),
            Overlay(self.tallies),
        )
        draft.paused |= self.paused
        draft.tried = True
        return draft

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

    def waiting_for(self, agent: AgentId) -> list[AgentId]:
        """Who rests and has named this agent as somebody whom it waits for."""
        members = self.members
        waits = [(id, members[id].waiting) for id in self.waiters.get(agent, ()) if id in members]
        return [id for id, waiting in waits if waiting is not None and agent in waiting.names]

    def habits_of(self, agent: AgentId) -> Habits:
        """What the supervisor remembers of the agent."""
        return self.habits.get(agent, NONE)

    def tally_of(self, agent: AgentId) -> Tally:
        """What the agent and everyone below it have done and spent."""
        return self.tallies.get(agent, NOTHING)

    def paused_above(self, agent: AgentId) -> bool:
        """Whether the run, the agent or anyone above it is paused."""
        if self.run.paused is not None:
            return True
        return bool(self.paused) and not self.paused.isdisjoint(lineage(agent))

    def halted_above(self, agent: AgentId) -> bool:
        """Whether the supervisor has paused the agent or anyone above it: then it may never act again."""
        return any(self.members[id].halted for id in lineage(agent) if id in self.members)

    def is_away(self, agent: AgentId) -> bool:
        """Whether the agent's call is in a batch, which may take hours."""
        call = self.members[agent].call if agent in self.members else None
        return call is not None and any(call in batch.calls for batch in self.batches.values())

    # -- folding ------------------------------------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take in one fact."""
        self.position = record.position
        self.bytes += weight(record.event)
        fold = FOLDS.get(type(record.event))
        if fold is not None:
            fold(self, record, record.event)
        if record.time > self.run.last:
            self.run = replace(self.run, last=record.time)

    def try_facts(self, facts: list[Fact], now: float) -> None:
        """Take in facts that are not in the journal yet (only ever on a draft)."""
        for fact in facts:
            fold = FOLDS.get(type(fact.event))
            if fold is not None:
                fold(self, Record(0, 0, now, fact.agent, fact.step, fact.event), fact.event)

    def put(self, member: Member) -> None:
        self.members[member.id] = member
        if member.paused is not None:
            self.paused.add(member.id)
        elif self.paused:
            self.paused.discard(member.id)
        self.touched.add(member.id)
        self.dirty.add(member.id)

    def put_debt(self, debt: Debt) -> None:
        self.debts[debt.id] = debt
        self.dirty.add(debt.id)

    def count(
        self,
        agent: AgentId,
        calls: int = 0,
        failures: int = 0,
        tokens: int = 0,
        cost: float = 0.0,
        idle: int = 0,
        *,
        reserved: tuple[int, float] = (0, 0.0),
        flying: int = 0,
        held: tuple[int, float] = (0, 0.0),
    ) -> None:
        """Add to the tallies of the agent and of all above it.

        Args:
            held: by which what is set aside below the agent has grown.
        """
        tallies = self.tallies
        for id in lineage(agent):
            old = tallies.get(id, NOTHING)
            new = tallies[id] = Tally(
                old.calls + calls,
                old.failures + failures,
                old.tokens + tokens,
                old.cost + cost,
                old.idle + idle,
                old.reserved_tokens + reserved[0],
                round(old.reserved_cost + reserved[1], 9),
                old.flying + flying,
                old.held_tokens + held[0],
                round(old.held_cost + held[1], 9),
            )
            member = self.members.get(id)
            if member is not None and member.purse is not None:
                before, after = earmarked(member.purse, old), earmarked(member.purse, new)
                held = (after[0] - before[0], after[1] - before[1])

    def set_aside(self, agent: AgentId, purse: Purse | None) -> None:
        """Cut the agent a purse of its own out of its superior's, or let what is left of it flow back."""
        member, tally = self.members[agent], self.tally_of(agent)
        before, after = earmarked(member.purse, tally), earmarked(purse, tally)
        self.put(replace(member, purse=purse))
        superior = superior_of(agent)
        if superior is not None:
            self.count(superior, held=(after[0] - before[0], after[1] - before[1]))

    def reserve(self, agent: AgentId, call: CallId, tokens: int, cost: float) -> None:
        """A call of the agent is in flight from now on."""
        self.calls[call] = (tokens, cost)
        self.flying[agent] = (*self.flying.get(agent, ()), call)
        self._reserve_of_run(tokens, cost)
        self.count(agent, reserved=(tokens, cost), flying=1)

    def release(self, agent: AgentId, call: CallId, *, answered: tuple[int, float] | None = None) -> None:
        """The call is in flight no more, and what is reserved for it is free again.

        Args:
            answered: tokens and dollars of its answer, which are counted with it.
        """
        tokens, cost = self.calls.pop(call, (0, 0.0))
        self._reserve_of_run(-tokens, -cost)
        flying = self._landed(agent, (call,))
        if answered is not None:
            spent, paid = answered
            self.count(agent, 1, 0, spent, paid, 1, reserved=(-tokens, -cost), flying=flying)
        elif tokens or cost or flying:
            self.count(agent, reserved=(-tokens, -cost), flying=flying)

    def keep_reserved(self, agent: AgentId, tokens: int, cost: float) -> None:
        """Reserve more for what an agent's call may have cost."""
        if tokens or cost:
            self._reserve_of_run(tokens, cost)
            self.count(agent, reserved=(tokens, cost))

    def land(self, agent: AgentId, *calls: CallId) -> None:
        """Calls of the agent are in flight no more."""
        if flying := self._landed(agent, calls):
            self.count(agent, flying=flying)

    def _landed(self, agent: AgentId, calls: Sequence[CallId]) -> int:
        """Take the calls out of those in flight; returns by how many there are more (fewer, that is)."""
        before = self.flying.get(agent, ())
        left = tuple(call for call in before if call not in calls)
        if left:
            self.flying[agent] = left
        else:
            self.flying.pop(agent, None)
        return len(left) - len(before)

    def _reserve_of_run(self, tokens: int, cost: float) -> None:
        run = self.run
        self.run = replace(
            run, reserved_tokens=run.reserved_tokens + tokens, reserved_cost=round(run.reserved_cost + cost, 9)
        )

    def land_all(self) -> set[CallId]:
        """Another engine has taken over: nothing is in flight any more but what is in batches; returns those calls."""
        away = {call for batch in self.batches.values() for call in batch.calls}
        flying, self.flying = self.flying, {}
        for id, tally in list(self.tallies.items()):
            if tally.flying:
                self.tallies[id] = replace(tally, flying=0)
        for agent, calls in flying.items():
            if left := tuple(call for call in calls if call in away):
                self.flying[agent] = left
                self.count(agent, flying=len(left))
        return away

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


def earmarked(purse: Purse | None, tally: Tally) -> tuple[int, float]:
    """Tokens and dollars that an agent's superior must keep for it and those below it, beside what they have used."""
    if purse is None:
        return tally.held_tokens, tally.held_cost
    tokens, cost = tally.held_tokens, tally.held_cost
    if purse.tokens is not None:
        tokens = max(0, purse.tokens - tally.tokens - tally.reserved_tokens)
    if purse.cost is not None:
        cost = max(0.0, round(purse.cost - tally.cost - tally.reserved_cost, 9))
    return tokens, cost
