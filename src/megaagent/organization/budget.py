"""What may still be spent, by the run and by each part of it: reserved before each call, settled by the answer (P7).

Purses are a tree: what an agent may spend with all below it is a part of what its superior may. The journal holds what
was spent and what is reserved; this keeps, besides, what is reserved for calls whose intent is on its way into the
journal, so that no sum can pass a cap however many calls begin at once. Each call costs a walk up to the boss.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from megaagent.events import BOSS, VERIFIER, AgentId, Struct, lineage, name_of
from megaagent.organization.limits import Budget
from megaagent.organization.members import Purse
from megaagent.organization.state import State, earmarked

STEP_BYTES = 256_000  # of the run's folder, reserved for what one step may record
WOKEN = 2  # who wait for room, when one call has settled: it frees what it had reserved and did not use
TINY = 5e-10  # dollars; sums are rounded to 1e-9


class Exhausted(Exception):
    """A reservation would pass a cap; the text names it.

    Attributes:
        agent: whose work can go on no more; None when it is the run's.
        whole: it was a cap of the whole run.
    """

    def __init__(self, text: str, agent: AgentId | None = None, *, whole: bool = True):
        super().__init__(text)
        self.agent = agent
        self.whole = whole


class Crowded(Exhausted):
    """Only what is reserved for calls in flight stands in the way, and most of it will come back.

    Attributes:
        at: the agent whose purse it is.
    """

    def __init__(self, text: str, at: AgentId):
        super().__init__(text)
        self.at = at


class _Coming(Struct, frozen=True):
    """Reserved for calls whose intent is not in the journal yet."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0


class _Level(Struct, frozen=True):
    """One purse on the way from the boss to who wants to call.

    Attributes:
        tokens, cost: caps; `limit` of them is for this call, the rest is held back.
        need_tokens, need_cost: by which the call raises what is used of it.
    """

    id: AgentId
    tokens: float | None
    cost: float | None
    limit: float
    need_tokens: float = 0.0
    need_cost: float = 0.0


_NOTHING = _Coming()


class Ledger:
    """Reservations of one run.

    Args:
        state: the organization; read for what is spent and reserved.
        budget: the caps, unless a person has raised them since.
        share: of its superior's purse that a subtree may use when it has siblings and no purse of its own.
    """

    def __init__(self, state: State, budget: Budget, share: float = 1.0):
        self._state = state
        self._budget = budget
        self._share = share
        self._coming: dict[AgentId, _Coming] = {}
        self._waiting: dict[AgentId, deque[asyncio.Future[None]]] = {}

    # -- reserving ----------------------------------------------------------------------------------------------

    def reserve(self, agent: AgentId, tokens: int, cost: float | None, *, more: bool = False) -> None:
        """Reserve for one call, until `noted` says that its intent is in the journal.

        Each superior's own reviews keep what is held back of its purse; the verifier may use all that the run has.

        Args:
            tokens: prompt as counted with a margin, and the whole output allowed.
            cost: US dollars of that; None when the model's price is unknown.
            more: for a call that is under way, and so has its step and its disk already.

        Raises:
            Crowded: there is no room before a call in flight has settled; nothing is reserved.
            Exhausted: a cap would be passed; nothing is reserved.
        """
        if not more:
            self._check_run()
        levels = list(self._levels(agent, tokens, cost or 0.0))
        for number, level in enumerate(levels):
            below = levels[number + 1].id if number + 1 < len(levels) else agent
            self._check(level, below, priced=cost is not None)
        self._come(agent, 1, tokens, cost or 0.0)

    def noted(self, agent: AgentId, tokens: int, cost: float | None) -> None:
        """The intent that this was reserved for is in the journal, or was given up."""
        self._come(agent, -1, -tokens, -(cost or 0.0))
        self.settled(agent)

    def settled(self, agent: AgentId) -> None:
        """A call of the agent is over: let some go on who wait for room, and all when they could await no other end."""
        for id in _path(agent) if self._waiting else ():
            if waiting := self._waiting.get(id):
                for _ in range(min(len(waiting), WOKEN) if self._in_flight(id) else len(waiting)):
                    _wake(waiting.popleft())

    def raised(self) -> None:
        """There are new caps: all who wait try again."""
        for waiting in self._waiting.values():
            while waiting:
                _wake(waiting.popleft())

    async def room(self, crowded: Crowded) -> None:
        """Wait until the reservation may be tried again."""
        if self._in_flight(crowded.at):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(crowded.at, deque()).append(waiter)
            await waiter

    # -- time ---------------------------------------------------------------------------------------------------

    def out_of_time(self, now: float) -> bool:
        """Whether the wall time of the run is used up."""
        return self.seconds_left(now) == 0.0

    def seconds_left(self, now: float) -> float | None:
        """Wall time that is left, or None without a cap."""
        run = self._state.run
        return None if self.seconds is None else max(0.0, self.seconds - run.active_seconds - (now - run.resumed))

    # -- caps ---------------------------------------------------------------------------------------------------

    @property
    def tokens(self) -> int | None:
        raised = self._state.run.max_tokens
        return self._budget.tokens if raised is None else raised

    @property
    def cost(self) -> float | None:
        raised = self._state.run.max_cost
        return self._budget.cost if raised is None else raised

    @property
    def seconds(self) -> float | None:
        raised = self._state.run.max_seconds
        return self._budget.seconds if raised is None else raised

    @property
    def steps(self) -> int | None:
        raised = self._state.run.max_steps
        return self._budget.steps if raised is None else raised

    @property
    def disk(self) -> int | None:
        raised = self._state.run.max_disk
        return self._budget.disk if raised is None else raised

    def caps(self, agent: AgentId) -> tuple[float | None, float | None]:
        """Tokens and dollars that the agent and all below it may spend; None is no cap."""
        most: tuple[float | None, float | None] = (self.tokens, self.cost)
        for id in reversed(_path(agent)):
            most = most if id == BOSS else self._cut(id, most)
        return most

    def against(self, agent: AgentId, tokens: int | None, cost: float | None) -> str:
        """Why no such purse can be set aside for the agent, in words; empty when it can."""
        tally, (least_tokens, least_cost) = self._state.tally_of(agent), self._used(agent)
        if (tokens is not None and tokens <= least_tokens) or (cost is not None and cost <= least_cost):
            return (
                f"that is below what is used, reserved or promised already (${least_cost:.4f}, {least_tokens:,} tokens)"
            )
        member = self._state.members[agent]
        old, now, coming = member.purse or Purse(), earmarked(member.purse, tally), self._coming.get(agent, _NOTHING)
        kept = earmarked(Purse(tokens or old.tokens, cost or old.cost), tally)
        more = kept[0] - now[0], kept[1] - now[1]
        if member.purse is None:  # what is about to be reserved for it comes out of its purse
            more = (
                more[0] - min(coming.tokens, kept[0]) * bool(tokens),
                more[1] - min(coming.cost, kept[1]) * bool(cost),
            )
        for level in reversed(list(self._levels(agent, 0, 0.0))[:-1]):
            used = self._used(level.id)
            name = "the run" if level.id == BOSS else name_of(level.id)
            if level.tokens is not None and used[0] + more[0] > level.tokens * level.limit:
                return f"{name} has only {max(0.0, level.tokens * level.limit - used[0]):,.0f} tokens to set aside"
            if level.cost is not None and used[1] + more[1] > level.cost * level.limit + TINY:
                return f"{name} has only ${max(0.0, level.cost * level.limit - used[1]):.4f} to set aside"
            purse = self._state.members[level.id].purse
            if purse is not None:
                more = more[0] if purse.tokens is None else 0, more[1] if purse.cost is None else 0.0
        return ""

    def share_used(self, agent: AgentId = BOSS) -> float:
        """The largest share of a cap of the agent's purse that is spent, 0 to 1 and beyond."""
        shares = [0.0]
        tokens, cost = self.caps(agent)
        spent = self._spent(agent)
        if tokens is not None:
            shares.append(spent[0] / tokens if tokens > 0 else 1.0)
        if cost is not None:
            shares.append(spent[1] / cost if cost > 0 else 1.0)
        if agent == BOSS and self.steps:
            shares.append(self._state.run.steps / self.steps)
        if agent == BOSS and self.disk:
            shares.append(self._state.bytes / self.disk)
        return max(shares)

    # -- one call -----------------------------------------------------------------------------------------------

    def _levels(self, agent: AgentId, tokens: int, cost: float) -> Iterator[_Level]:
        """The purses that the call is paid from, the run's first."""
        held_back = self._budget.reserve
        most: tuple[float | None, float | None] = (self.tokens, self.cost)
        path = _path(agent)
        needs = self._needs(path, tokens, cost)
        for id in reversed(path):
            if id != BOSS:
                most = self._cut(id, most)
            own = 1.0 if id != BOSS else 1.0 - held_back / 2
            limit = 1.0 - held_back if id != path[0] else own if agent == id else 1.0
            yield _Level(id, *most, limit, *needs[id])

    def _cut(self, id: AgentId, most: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        """What a purse holds when its superior's holds `most`."""
        members = self._state.members
        own, alone = members[id].purse, len(members[id.rpartition("/")[0]].group) <= 1
        share = 1.0 if alone else self._share
        tokens = most[0] and share * most[0] if own is None or own.tokens is None else own.tokens
        cost = most[1] and share * most[1] if own is None or own.cost is None else own.cost
        return tokens, cost

    def _needs(self, path: Sequence[AgentId], tokens: int, cost: float) -> dict[AgentId, tuple[float, float]]:
        """What the call takes from each purse: where money was set aside for it, that first."""
        members = self._state.members
        if all((member := members.get(id)) is None or member.purse is None for id in path):
            return dict.fromkeys(path, (tokens, cost))
        needs: dict[AgentId, tuple[float, float]] = {}
        from_aside = (0.0, 0.0)
        for id in path:
            needs[id] = (tokens - from_aside[0], cost - from_aside[1])
            member = members.get(id)
            if member is not None and member.purse is not None:
                aside = earmarked(member.purse, self._state.tally_of(id))
                coming = self._coming.get(id, _NOTHING)
                from_aside = (
                    from_aside[0] if member.purse.tokens is None else min(aside[0], coming.tokens + tokens),
                    from_aside[1] if member.purse.cost is None else min(aside[1], coming.cost + cost),
                )
        return needs

    def _check(self, level: _Level, below: AgentId, *, priced: bool) -> None:
        used = self._used(level.id)
        too_many = level.tokens is not None and used[0] + level.need_tokens > level.tokens * level.limit
        too_dear = level.cost is not None and priced and used[1] + level.need_cost > level.cost * level.limit + TINY
        if not too_many and not too_dear:
            return
        spent, tally = self._spent(level.id), self._state.tally_of(level.id)
        whole = level.id == BOSS
        name = "the" if whole else f"{name_of(level.id)}'s"
        text, certain = "", False
        if level.tokens is not None and too_many:
            text = f"{name} token budget of {level.tokens:,.0f} would be passed ({used[0]:,.0f} used or reserved)"
            certain = spent[0] + tally.held_tokens + level.need_tokens > level.tokens * level.limit
        elif level.cost is not None:
            text = f"{name} budget of ${level.cost:.2f} would be passed (${used[1]:.4f} used or reserved)"
            certain = spent[1] + tally.held_cost + level.need_cost > level.cost * level.limit + TINY
        if not certain and self._in_flight(level.id):
            raise Crowded(text, level.id)
        raise Exhausted(text, None if below == BOSS or below not in self._state.members else below, whole=whole)

    def _check_run(self) -> None:
        """Caps that only the run as a whole has."""
        run, calls = self._state.run, self._in_flight(BOSS)
        if self.steps is not None and run.steps + calls + 1 > self.steps:
            text = f"the budget of {self.steps:,} steps would be passed ({run.steps:,} taken, {calls:,} under way)"
            raise Crowded(text, BOSS) if calls and run.steps < self.steps else Exhausted(text)
        if self.disk is not None and self._state.bytes + (calls + 1) * STEP_BYTES > self.disk:
            text = f"the disk budget of {self.disk:,} bytes would be passed ({self._state.bytes:,} recorded)"
            raise Crowded(text, BOSS) if calls and self._state.bytes + STEP_BYTES <= self.disk else Exhausted(text)

    def _spent(self, id: AgentId) -> tuple[int, float]:
        """Tokens and dollars that were reported for the agent and all below it; the boss's are the run's."""
        run = self._state.run
        if id == BOSS:
            return run.usage.prompt + run.usage.completion, run.cost
        tally = self._state.tally_of(id)
        return tally.tokens, tally.cost

    def _used(self, id: AgentId) -> tuple[int, float]:
        """Spent, reserved, about to be reserved, or set aside for somebody below."""
        run, tally, coming = self._state.run, self._state.tally_of(id), self._coming.get(id, _NOTHING)
        spent = self._spent(id)
        whole = id == BOSS
        reserved = (run.reserved_tokens, run.reserved_cost) if whole else (tally.reserved_tokens, tally.reserved_cost)
        return (
            spent[0] + reserved[0] + coming.tokens + tally.held_tokens,
            spent[1] + reserved[1] + coming.cost + tally.held_cost,
        )

    def _in_flight(self, id: AgentId) -> int:
        """Calls of the agent and all below it that are under way or about to be; of the boss, those of the run."""
        flying = self._state.tally_of(id).flying
        if id == BOSS:
            flying += self._state.tally_of(VERIFIER).flying
        return flying + self._coming.get(id, _NOTHING).calls

    def _come(self, agent: AgentId, calls: int, tokens: int, cost: float) -> None:
        for id in _path(agent):
            old = self._coming.get(id, _NOTHING)
            new = _Coming(old.calls + calls, old.tokens + tokens, round(old.cost + cost, 9))
            if new.calls:
                self._coming[id] = new
            else:
                self._coming.pop(id, None)


def _path(agent: AgentId) -> tuple[AgentId, ...]:
    """Whose purses the agent's calls are paid from, its own first; of the verifier, the run's."""
    return lineage(agent) if agent.startswith(BOSS) else (BOSS,)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
