"""A ledger over a random tree, and plain books of the same calls beside it, which share no code with it.

After every act the books are held against the ledger: no started call has passed a cap of any purse above it, what is
set aside is there, every sum is that of its parts, and the journal folds to the same.
"""

from __future__ import annotations

from random import Random

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, VERIFIER, AgentId, AnyEvent, Record, Struct, lineage
from megaagent.organization.budget import Crowded, Exhausted, Ledger
from megaagent.organization.limits import Budget
from megaagent.organization.members import Purse
from megaagent.organization.state import State

NEAR = 1e-6  # dollars
Money = tuple[int, float]


class Caps(Struct, frozen=True):
    """Of one run; `share` is what a subtree with siblings may use."""

    tokens: int | None = None
    cost: float | None = None
    reserve: float = 0.05
    share: float = 0.8
    steps: int | None = None


class Call(Struct, frozen=True):
    id: str
    agent: AgentId
    tokens: int
    cost: float


class Books:
    """The books of one run, and the ledger that they are held against."""

    def __init__(self, caps: Caps):
        self.caps = caps
        self.state = State()
        self.facts: list[Record] = []
        self.ledger = Ledger(self.state, Budget(caps.cost, caps.tokens, None, caps.reserve, caps.steps), caps.share)
        self.groups: dict[AgentId, list[AgentId]] = {BOSS: []}
        self.owing: set[AgentId] = set()
        self.gone: set[AgentId] = set()
        self.purses: dict[AgentId, Purse] = {}
        self.coming: list[Call] = []
        self.flying: list[Call] = []
        self.spent: dict[AgentId, Money] = {}  # by each agent itself
        self.lost: dict[AgentId, Money] = {}  # may have been paid for: stays reserved
        self.answers = self.made = self.most = self.refused = self.crowded = self.overreported = 0
        self.tell(ENGINE, ev.RunStarted("r", "g", "m", True, "{}", "0"))
        self.tell(ENGINE, ev.AgentRecruited(BOSS, "the boss", "g", "boss"))

    def tell(self, agent: AgentId, event: AnyEvent) -> None:
        record = Record(len(self.facts) + 1, 1, float(len(self.facts)), agent, 1, event)
        self.facts.append(record)
        self.state.apply(record)

    # -- acts ---------------------------------------------------------------------------------------------------

    def recruit(self, superior: AgentId) -> None:
        if superior in self.gone:
            return
        id = f"{superior}/a{len(self.groups)}"
        self.groups[superior].append(id)
        self.groups[id] = []
        self.tell(superior, ev.AgentRecruited(id, "", ""))
        self.assign(id)

    def assign(self, agent: AgentId) -> None:
        if agent != BOSS and agent not in self.owing | self.gone:
            self.owing.add(agent)
            superior = agent.rpartition("/")[0]
            self.tell(superior, ev.AssignmentOpened(f"d{len(self.facts)}", agent, superior, "work"))

    def close(self, agent: AgentId) -> None:
        """The debt is accepted or has failed: what is left of a purse of its own flows back."""
        if agent in self.owing:
            self.owing.discard(agent)
            self.purses.pop(agent, None)
            for debt in self.state.members[agent].owes:
                if len(self.facts) % 2:
                    self.tell(agent.rpartition("/")[0], ev.WorkReviewed(debt, "accept"))
                else:
                    self.tell(ENGINE, ev.AssignmentFailed(debt, "stalled"))

    def retire(self, agent: AgentId) -> None:
        """With all below it; their calls are called off."""
        if agent == BOSS or agent in self.gone:
            return
        for id in [id for id in self.groups if agent in lineage(id) and id not in self.gone]:
            self.close(id)
            self.gone.add(id)
            self.purses.pop(id, None)
            self.tell(ENGINE, ev.AgentRetired(id, "stopped"))
        self.coming, given_up = _split(self.coming, agent)
        for call in given_up:
            self.ledger.noted(call.agent, call.tokens, call.cost)
        for call in [call for call in self.flying if agent in lineage(call.agent)]:
            self.fail(self.flying.index(call), "cancelled", 0.0)

    def set_aside(self, agent: AgentId, tokens: int | None, cost: float | None) -> None:
        if agent == BOSS or agent not in self.owing or (tokens is None and cost is None):
            return
        if self.ledger.against(agent, tokens, cost):
            return
        before = self.purses.get(agent, Purse())
        over = self.over(agent)  # what was reported beyond a reservation, or a share that a new sibling has cut
        self.purses[agent] = Purse(tokens or before.tokens, cost or before.cost)
        self.tell(ENGINE, ev.BudgetRaised(tokens, cost, None, agent))
        passed = [id for id in self.over(agent) if id not in over]
        assert not passed, f"what was set aside for {agent} is more than {', '.join(passed)} had"

    def reserve(self, agent: AgentId, tokens: int, cost: float) -> None:
        if agent in self.gone:
            return
        self.made += 1
        call = Call(f"{agent}#{self.made}", agent, tokens, round(cost, 9))
        try:
            self.ledger.reserve(agent, call.tokens, call.cost)
        except Crowded as crowded:
            self.crowded += 1
            under_way = [each for each in (*self.coming, *self.flying) if crowded.at in _path(each.agent)]
            assert under_way, f"{agent} is to wait for calls of {crowded.at}, and none is under way"
        except Exhausted:
            self.refused += 1
            self.coming.append(call)
            over = self.over(agent)
            self.coming.pop()
            assert over, f"{agent} was refused {tokens} tokens and ${cost} although they fit"
        else:
            self.coming.append(call)
            self.check_path(agent)
        self.most = max(self.most, len(self.coming) + len(self.flying))

    def intend(self, which: int) -> None:
        if self.coming:
            call = self.coming.pop(which % len(self.coming))
            self.tell(call.agent, ev.CallIntended(call.id, "step", "m", "", (), call.tokens, call.cost))
            self.ledger.noted(call.agent, call.tokens, call.cost)
            self.flying.append(call)

    def give_up(self, which: int) -> None:
        """The intent never reached the journal."""
        if self.coming:
            call = self.coming.pop(which % len(self.coming))
            self.ledger.noted(call.agent, call.tokens, call.cost)

    def answer(self, which: int, share: float) -> None:
        """With a share above 1 the provider reports more than was reserved."""
        if self.flying:
            call = self.flying.pop(which % len(self.flying))
            used, paid = int(call.tokens * share), round(call.cost * share, 9)
            self.overreported += used > call.tokens
            self.tell(call.agent, ev.ModelAnswered(call.id, "x", usage=ev.Usage(used, 0), cost=paid))
            self.ledger.settled(call.agent)
            self.spent[call.agent] = _plus(self.spent.get(call.agent, (0, 0.0)), (used, paid))
            self.answers += 1

    def fail(self, which: int, fault: str, kept: float) -> None:
        """A failed call keeps a share of its reservation; one that was called off keeps all."""
        if self.flying:
            call = self.flying.pop(which % len(self.flying))
            stays = int(call.tokens * kept), round(call.cost * kept, 9)
            self.tell(call.agent, ev.CallFailed(call.id, fault, "", *stays))
            self.ledger.settled(call.agent)
            stays = (call.tokens, call.cost) if fault == "cancelled" else stays
            self.lost[call.agent] = _plus(self.lost.get(call.agent, (0, 0.0)), stays)

    def settle(self) -> None:
        """Bring everything that is under way home."""
        while self.coming:
            self.give_up(0)
        while self.flying:
            self.fail(0, "timeout", 0.0)

    # -- the books ----------------------------------------------------------------------------------------------

    def used(self, id: AgentId) -> Money:
        """Spent or reserved by the agent and all below it."""
        tokens, cost, below = 0, 0.0, f"{id}/"
        for agent, money in (*self.spent.items(), *self.lost.items()):
            if id in (agent, BOSS) or agent.startswith(below):
                tokens, cost = tokens + money[0], cost + money[1]
        for call in (*self.coming, *self.flying):
            if id in (call.agent, BOSS) or call.agent.startswith(below):
                tokens, cost = tokens + call.tokens, cost + call.cost
        return tokens, cost

    def aside(self, id: AgentId) -> Money:
        """Set aside below the agent and not used yet."""
        total = (0, 0.0)
        if not any(purse.startswith(f"{id}/") for purse in self.purses):
            return total
        for below in self.groups[id]:
            purse, deeper, used = self.purses.get(below, Purse()), self.aside(below), self.used(below)
            tokens = deeper[0] if purse.tokens is None else max(0, purse.tokens - used[0])
            cost = deeper[1] if purse.cost is None else max(0.0, purse.cost - used[1])
            total = _plus(total, (tokens, cost))
        return total

    def cap(self, id: AgentId) -> tuple[float | None, float | None]:
        if id == BOSS:
            return self.caps.tokens, self.caps.cost
        superior = id.rpartition("/")[0]
        above, purse = self.cap(superior), self.purses.get(id, Purse())
        share = self.caps.share if len(self.groups[superior]) > 1 else 1.0
        tokens = None if above[0] is None else above[0] * share
        cost = None if above[1] is None else above[1] * share
        return purse.tokens or tokens, purse.cost or cost

    def over(self, agent: AgentId) -> list[AgentId]:
        """The purses above the agent that hold less than is used of them, with what is held back of each."""
        passed: list[AgentId] = []
        for id in _path(agent):
            held_back = self.caps.reserve if id != agent and agent != VERIFIER else 0.0
            if agent == BOSS:
                held_back = self.caps.reserve / 2
            used, (tokens, cost) = _plus(self.used(id), self.aside(id)), self.cap(id)
            over_tokens = tokens is not None and used[0] > tokens * (1 - held_back) + NEAR
            if over_tokens or (cost is not None and used[1] > cost * (1 - held_back) + NEAR / 1000):
                passed.append(id)
        if self.caps.steps is not None and self.answers + len(self.coming) + len(self.flying) > self.caps.steps:
            passed.append("steps")
        return passed

    def check_path(self, agent: AgentId) -> None:
        passed = self.over(agent)
        assert not passed, f"{agent} was let through past what {', '.join(passed)} may spend"

    def check(self) -> None:
        """Every sum of the ledger is that of its parts."""
        for id in self.groups:
            tally, below = self.state.tally_of(id), [self.state.tally_of(each) for each in self.groups[id]]
            own, lost = self.spent.get(id, (0, 0.0)), self.lost.get(id, (0, 0.0))
            flying = [call for call in self.flying if call.agent == id]
            tokens = own[0] + sum(each.tokens for each in below)
            cost = own[1] + sum(each.cost for each in below)
            reserved = lost[0] + sum(call.tokens for call in flying) + sum(each.reserved_tokens for each in below)
            dollars = lost[1] + sum(call.cost for call in flying) + sum(each.reserved_cost for each in below)
            assert (tally.tokens, tally.reserved_tokens) == (tokens, reserved), f"{id}: tokens are lost or made"
            assert abs(tally.cost - cost) < NEAR, f"{id}: dollars spent"
            assert abs(tally.reserved_cost - dollars) < NEAR, f"{id}: dollars reserved"
            assert tally.flying == len(flying) + sum(each.flying for each in below), f"{id}: calls in flight"
            aside = self.aside_folded(id)
            assert tally.held_tokens == aside[0], f"{id}: {tally.held_tokens} tokens are set aside, not {aside[0]}"
            assert abs(tally.held_cost - aside[1]) < NEAR, f"{id}: dollars set aside"
            assert (self.state.members[id].purse is not None) == (id in self.purses), f"{id}: a purse did not flow back"

    def aside_folded(self, id: AgentId) -> Money:
        """As `aside`, without what is reserved and not in the journal yet."""
        coming, self.coming = self.coming, []
        aside = self.aside(id)
        self.coming = coming
        return aside

    def check_fold(self) -> None:
        """The journal says the same as the live ledger."""
        again = State()
        for record in self.facts:
            again.apply(record)
        for name in ("tallies", "calls", "flying", "members", "run", "bytes"):
            assert getattr(again, name) == getattr(self.state, name), f"the fold of the journal has other {name}"


def play(books: Books, random: Random, acts: int, most: int) -> None:
    """A random history.

    Args:
        most: calls under way at once.
    """
    every = max(1, acts // 10)
    for number in range(acts):
        agents = list(books.groups)
        agent = random.choice(agents)
        act = random.random()
        if act < 0.04 and len(agents) < 60:
            books.recruit(agent)
        elif act < 0.06:
            books.set_aside(agent, random.choice([None, random.randrange(1, 200_000)]), random.choice([None, 0.5]))
        elif act < 0.07:
            random.choice([books.close, books.assign, books.assign])(agent)
        elif act < 0.072:
            books.retire(agent)
        elif act < 0.62:
            if len(books.coming) + len(books.flying) < most:
                who = VERIFIER if random.random() < 0.01 else agent
                books.reserve(who, random.randrange(1, 5_000), random.random() / 20)
        elif act < 0.9:
            books.intend(random.randrange(most))
        elif act < 0.96:
            books.answer(random.randrange(most), random.choice([0.1, 0.5, 1.0, 1.0, random.choice([1.0, 4.0])]))
        elif act < 0.985:
            books.fail(random.randrange(most), random.choice(["timeout", "broken", "cancelled"]), random.choice([0, 1]))
        else:
            books.give_up(random.randrange(most))
        if number % every == 0:
            books.check()
    books.check()
    books.settle()
    books.check()
    books.check_fold()
    lost = sum(tokens for tokens, _ in books.lost.values())
    assert books.state.run.reserved_tokens == lost, "reservations did not settle"
    assert not books.state.flying


def _path(agent: AgentId) -> tuple[AgentId, ...]:
    return (BOSS,) if agent == VERIFIER else lineage(agent)


def _plus(one: Money, other: Money) -> Money:
    return one[0] + other[0], one[1] + other[1]


def _split(calls: list[Call], agent: AgentId) -> tuple[list[Call], list[Call]]:
    below = [call for call in calls if agent in lineage(call.agent)]
    return [call for call in calls if call not in below], below
