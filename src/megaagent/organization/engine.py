"""The organization at work: the scheduler's loop.

decide   what follows from the state, and which agents may take a step (pure functions)
do       steps, each a task of its own; verification when the boss has handed in
record   every effect is a fact in the journal; the state is folded from it, and so decides again
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from heapq import nsmallest
from itertools import islice
from typing import Any

from msgspec.structs import replace

from megaagent import events as ev
from megaagent.clock import Clock
from megaagent.errors import ModelError
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Record, Struct, name_of, superior_of
from megaagent.organization.alarms import Alarms
from megaagent.organization.budget import Exhausted, Ledger
from megaagent.organization.by_hand import ByHand
from megaagent.organization.contexts import Contexts
from megaagent.organization.cutting import TOLD
from megaagent.organization.decide import follow_up, notice, retire, runnable, settled, stalled
from megaagent.organization.digest import StateDigest
from megaagent.organization.foresight import Foresight
from megaagent.organization.limits import Limits
from megaagent.organization.members import Member
from megaagent.organization.monitors import TOLD_AT, overtaken, watch
from megaagent.organization.programs import Programs
from megaagent.organization.ready import Ready
from megaagent.organization.state import State
from megaagent.organization.step import NeedsPerson, Steps
from megaagent.organization.verification import Verification
from megaagent.organization.voices import Voices

DIGEST_EVERY = 1_000  # facts, or a quarter of as many as there are agents
DIGESTED = 200  # changed agents and debts that are hashed in one round of the event loop
OUTSIDE = (
    ev.FileCommitted,
    ev.ProgramEnded,
    ev.ModelAnswered,
    ev.CallFailed,
    ev.CallRetried,
    ev.CallRerouted,
)
OVERRUN = "budget overrun"
SLICE = 16  # steps that are begun in one round of the event loop
DECIDED = 200  # agents whose consequences are looked at in one round of it, or
PART = 8  # so many parts of all that were touched, since to choose them costs a look at all
LOOKED_AT = 2_000  # agents in one tick: at a hundred thousand, all of them would hold up the loop
TICK = 1.0  # seconds of the run's clock between two looks at all that act

Append = Callable[[Sequence[Fact], Sequence[bytes]], Awaitable[Sequence[Record]]]


class Stopped(Struct, frozen=True):
    """What was stopped: agents, and of what they had under way, and how much of it still runs (none)."""

    agents: int
    calls: int
    programs: int
    running: int


class Organization:
    """Runs the agents of one run to a named end.

    Args:
        append: puts facts into the journal, durably; the organization is then told through `take_in`.
        epoch: which engine this is, for ids of the engine's own mail.
        attended: a person can act on a paused run while it is paused; otherwise it ends as `paused`.
    """

    def __init__(self, state: State, limits: Limits, clock: Clock, append: Append, epoch: int, *, attended: bool):
        self.state = state
        self.limits = limits
        self._clock = clock
        self._append = append
        self._epoch = epoch
        self._attended = attended
        self.foresight = Foresight(state)
        self._digest = StateDigest(state)
        self._since_digest = 0
        self._digesting = False
        self._steps: dict[AgentId, asyncio.Task[None]] = {}
        self._ready = Ready()
        self._asked: dict[AgentId, float] = {}  # since when agents have been waiting for their model call
        self._overtaken: dict[AgentId, float] = {}  # since when those wait who were found to be, until they are served
        self._served = 0.0  # since when the call had waited that, of all calls begun, was asked for last
        self._verifying: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ending: ev.RunEnded | None = None
        self._bug: BaseException | None = None
        self._mail = 0
        self._told = False  # the boss, of the budget: also while that is on its way into the journal
        self._decided: set[AgentId] = set()  # touched, with no more consequences: their steps may begin
        self._alarms = Alarms()  # of the waits of those who rest
        self._ticked = 0.0
        self._rounds: Iterator[AgentId] = iter(())
        self._left: list[AgentId] = []  # have retired and may have calls under way
        self._calling_off = asyncio.Lock()
        self._background: set[asyncio.Task[Any]] = set()
        self._leaving = {member.id for member in state.members.values() if member.retired is not None}
        self._ended = False  # the end is on its way into the journal, or there
        self._going: set[AgentId] = set()  # of those, whose leaving is not in the state yet
        self._postponed: set[AgentId] = set()  # to be looked at when it is
        self._looks: dict[type[ev.Event], Callable[[AgentId, Any], None]] = {
            ev.CallIntended: self._call_begun,
            ev.ModelAnswered: self._call_settled,
            ev.CallFailed: self._call_settled,
            ev.AgentRetired: self._has_left,
            ev.BudgetRaised: self._budget_raised,
        }

    def furnish(
        self,
        contexts: Contexts,
        voices: Voices,
        steps: Steps,
        programs: Programs,
        verification: Verification,
        ledger: Ledger,
        by_hand: ByHand,
    ) -> None:
        """Give it the parts that need it, or each other, to exist."""
        self._contexts = contexts
        self._voices = voices
        self._stepper = steps
        self._programs = programs
        self._verification = verification
        self.ledger = ledger
        self.by_hand = by_hand

    # -- record -------------------------------------------------------------------------------------------------

    async def append(self, facts: Sequence[Fact], blobs: Sequence[bytes] = ()) -> bool:
        """Put facts into the journal; when this returns the state has them.

        An agent that leaves takes no effect any more from the moment on at which its leaving is on its way into the
        journal; what is outside already (files, answers that were paid for) is still recorded.

        Returns:
            Whether all of them were recorded.
        """
        kept = [fact for fact in facts if self._takes_effect(fact)]
        for fact in kept:
            if isinstance(fact.event, ev.AgentRetired):
                self._going.add(fact.event.id)
                self._leaving.add(fact.event.id)
            elif isinstance(fact.event, ev.RunEnded):
                self._ended = True
        if kept:
            await self._append(kept, blobs)
        return len(kept) == len(facts)

    def _takes_effect(self, fact: Fact) -> bool:
        if isinstance(fact.event, ev.AgentRetired):
            return fact.event.id not in self._leaving  # once, whoever has found that it must
        if self._ended and isinstance(fact.event, ev.RunPaused | ev.RunUnpaused):
            return False  # the end is on its way into the journal, and is to be the last fact
        return fact.agent not in self._leaving or isinstance(fact.event, OUTSIDE)

    def take_in(self, records: Sequence[Record]) -> None:
        """Fold committed facts, in the journal's order, and let the loop look at what they change."""
        for record in records:
            event = record.event
            self._contexts.take_in(record)
            if isinstance(event, ev.ModelAnswered):
                self._show_overrun(record.agent, event)
            self.state.apply(record)
            self.foresight.take_in(record)
            self._voices.take_in(event)
            look = self._looks.get(type(event))
            if look is not None:
                look(record.agent, event)
        self._since_digest += len(records)
        self._changed.set()

    def _call_begun(self, agent: AgentId, event: ev.CallIntended) -> None:
        self._served = max(self._served, self._asked.pop(agent, 0.0))
        self._overtaken.pop(agent, None)

    def _call_settled(self, agent: AgentId, event: ev.ModelAnswered | ev.CallFailed) -> None:
        self.ledger.settled(agent)

    def _has_left(self, agent: AgentId, event: ev.AgentRetired) -> None:
        self._left.append(event.id)
        self._overtaken.pop(event.id, None)
        self._going.discard(event.id)
        self.state.touched |= self._postponed
        self._postponed.clear()
        self.ledger.settled(event.id)

    def _budget_raised(self, agent: AgentId, event: ev.BudgetRaised) -> None:
        self.ledger.raised()

    def _show_overrun(self, agent: AgentId, answer: ev.ModelAnswered) -> None:
        """What a provider reports beyond the reservation is debited all the same; it is shown once of each agent."""
        tokens, cost = self.state.calls.get(answer.call, (0, 0.0))
        used = answer.usage.prompt + answer.usage.completion
        member = self.state.members.get(agent)
        if member is None or OVERRUN in member.told or not tokens:
            return
        if used > tokens or (cost and (answer.cost or 0.0) > cost + 1e-9):
            text = f"{answer.model or 'the provider'} reports {used:,} tokens (${answer.cost or 0.0:.4f}); {tokens:,} "
            nudge = ev.AgentNudged(agent, OVERRUN, "report", f"{text}(${cost:.4f}) were reserved")
            self._in_background(self.append([Fact(ENGINE, 0, nudge)]))

    def new_id(self, agent: AgentId) -> str:
        """An id for the engine's own mail to an agent."""
        self._mail += 1
        return f"{agent}#0.{self._epoch}.{self._mail}"

    # -- decide -------------------------------------------------------------------------------------------------

    async def live(self) -> ev.RunEnded:
        """Run to the end; returns how it ended, which is then the journal's last fact."""
        self.state.touched.update(self.state.members)
        self._voices.begin(self._work_done)
        try:
            while self._ending is None and self._bug is None:
                self._changed.clear()
                if await self._decide():
                    continue
                await self._begin_steps()
                if self.state.touched:  # of many some are looked at at a time
                    await asyncio.sleep(0)
                else:
                    await self._settle()
            if self._bug is not None:
                raise self._bug
            assert self._ending is not None
            return await self._end(self._ending)
        finally:
            await self._stop_everything(grace=0.0)

    def end(self, status: ev.Status, reason: str, gaps: tuple[str, ...] = ()) -> None:
        """Let the run end now, with this status; work in flight is called off after the grace."""
        if self._ending is None:
            text = next((self.state.debts[id].report for id in self.state.members[BOSS].owes), "")
            self._ending = ev.RunEnded(status, reason, text, self.state.run.head, gaps)
            self._changed.set()

    async def _decide(self) -> bool:
        """Let the engine's own consequences become facts, serially, so that each follows from the one before."""
        state = self.state
        now = self._clock.now()
        touched = self._next_touched()
        for agent in touched:
            waiting = state.members[agent].waiting
            self._alarms.set(agent, waiting.until if waiting is not None else None)
        touched |= self._alarms.ring(now)
        state.touched -= touched
        self._decided |= touched
        facts = follow_up(state, touched, self.limits, now, self.new_id)
        if not facts and state.run.paused is None:
            if self.limits.monitors:
                facts = watch(state, touched, self.limits, self.ledger.share_used, self.new_id)
            facts = facts or self._tick(now)
        if self._since_digest >= max(DIGEST_EVERY, len(state.members) // 4) and not self._digesting:
            self._digesting = True
            self._in_background(self._append_digest()).add_done_callback(self._work_done)  # a bug in it stays loud
        if facts:
            # What was touched is looked at again: its consequences may have consequences.
            before = state.position
            await self.append(facts)
            if state.position > before:
                self._decided -= touched
                state.touched |= touched
                return True
            self._postponed |= touched  # all of it was about agents whose leaving is on its way into the journal
        await self._call_off_retired()
        return False

    def _next_touched(self) -> set[AgentId]:
        """Those of the touched agents that are looked at next, the deepest first: all of them unless they are many."""
        touched = self.state.touched
        if len(touched) <= DECIDED:
            return set(touched)
        return set(nsmallest(max(DECIDED, len(touched) // PART), touched, key=lambda agent: (-agent.count("/"), agent)))

    def _tick(self, now: float) -> list[Fact]:
        """Once in a while all that act are looked at, some at a time, and not only what has changed."""
        if now < self._ticked + TICK:
            return []
        self._ticked = now
        some = list(islice(self._rounds, LOOKED_AT))
        if len(some) < LOOKED_AT:  # round: from the beginning, with those who have come since
            self._rounds = iter(list(self.state.members))
        self._assert_not_forgotten(self.state.members[agent] for agent in some)
        self._put_in_order(islice(list(self._voices.at_the_gate), LOOKED_AT))
        return self._let_pass()

    def _put_in_order(self, waiting: Iterable[AgentId]) -> None:
        """Give calls that wait to begin the priority that they have by now."""
        for agent in waiting:
            member = self.state.members.get(agent)
            if member is not None:  # the verifier, who is no member, goes before all others
                self._voices.prefer(agent, self.foresight.priority(member))

    def _let_pass(self) -> list[Fact]:
        """Agents whose call is overtaken by calls that were asked for much later ask anew, before all others."""
        late = self._served - 60 * self.limits.starving_minutes
        starving: list[AgentId] = []
        for agent, asked in self._asked.items():  # in the order of asking
            if asked >= late:
                break
            if agent not in self._overtaken and (agent in self._voices.at_the_gate or agent in self._ready):
                starving.append(agent)
        for agent in starving:
            self._overtaken[agent] = self._asked[agent]
            if agent in self._steps:
                self._steps[agent].cancel()
            self.state.touched.add(agent)  # it is given its new place in the queue
        return overtaken(sorted(starving), self.limits)

    async def _append_digest(self) -> None:
        """Record the digest of the state as it is now; of thousands of changed agents some are looked at in a round."""
        self._since_digest = 0
        position = self.state.position
        try:
            for digest in self._digest.pieces(DIGESTED):
                if digest is None:
                    await asyncio.sleep(0)
                else:
                    await self.append([Fact(ENGINE, 0, ev.StateDigested(position, digest))])
        finally:
            self._digesting = False

    # -- do -----------------------------------------------------------------------------------------------------

    async def _begin_steps(self) -> None:
        state = self.state
        decided, self._decided = self._decided, set()
        if self.ledger.out_of_time(self._clock.now()):
            self.end("exhausted", f"the wall time of {self.ledger.seconds:g} s is used up")
            return
        crowded = len(self._steps) + len(self._ready) + len(decided) > self.limits.active
        for agent in sorted(decided - self._steps.keys()):
            member = state.members[agent]
            if self._may_begin(member):
                self._ready.add(agent, self.foresight.priority(member) if crowded else 0)
                self._asked.setdefault(agent, self._overtaken.get(agent, self._clock.now()))
            elif agent in self._ready:
                self._ready.discard(agent)
                self._asked.pop(agent, None)
        self._put_in_order(decided & self._voices.at_the_gate.keys())
        while len(self._steps) < self.limits.active and (agent := self._ready.pop()) is not None:
            if not self._may_begin(state.members[agent]):
                self._asked.pop(agent, None)
            else:
                task = asyncio.create_task(self._stepper.take(agent), name=f"step {agent}")
                self._steps[agent] = task
                task.add_done_callback(partial(self._step_done, agent))
                if len(self._steps) % SLICE == 0:
                    await asyncio.sleep(0)  # each reads its conversation first; thousands at once would hold up all
        boss = state.members[BOSS]
        if boss.retired is not None:
            self.end("failed", f"the boss has failed: {boss.retired}")
            return
        if self._verifying is None and state.run.paused is None and settled(state):
            self._verifying = asyncio.create_task(self._verify(), name="verification")
            self._verifying.add_done_callback(self._work_done)
        self._tell_of_budget()

    def _may_begin(self, member: Member) -> bool:
        """Whether a step of the agent may begin; who is about to leave would only see its effects refused."""
        return member.id not in self._going and runnable(self.state, member)

    async def _settle(self) -> None:
        """Wait until something changes or is due; when nothing ever will, see to it that the run goes on or ends."""
        state = self.state
        if state.run.paused is not None:
            self._voices.call_off_waiting()
        idle = not self._steps and self._verifying is None and not self._programs.agents() and not self._going
        if idle and state.run.paused is not None and not (self._attended or state.run.held):
            self.end("paused", state.run.paused)
        elif idle and not self._anybody_is_timed() and not self._anybody_is_held() and not state.batches:
            self._assert_not_forgotten(state.live())
            await self._stalled()
        else:
            looked = self._voices.at_the_gate and state.run.paused is None
            ends = [self._alarms.next(), self._ticked + TICK if looked else None]
            await self._something(until=min((end for end in ends if end is not None), default=None))

    def _assert_not_forgotten(self, members: Iterable[Member]) -> None:
        """An agent that may act has its step scheduled. If not, a wake-up was lost: a bug, and loud."""
        if self._ending is not None:
            return
        for member in members:
            looked_at = member.id in self.state.touched or member.id in self._decided
            scheduled = looked_at or member.id in self._steps or member.id in self._ready
            if (member.going or member.inbox) and not scheduled and self._may_begin(member):
                raise AssertionError(f"lost wake-up: {member.id} may act and has no step scheduled")

    async def _something(self, until: float | None) -> None:
        """Wait for a change, or for the first of `until` and the end of the run's wall time."""
        if self._changed.is_set():
            return
        now = self._clock.now()
        left = self.ledger.seconds_left(now)
        bounds = [bound for bound in (left, None if until is None else max(0.0, until - now)) if bound is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(bounds, default=None)):
                await self._changed.wait()

    def _anybody_is_timed(self) -> bool:
        """Whether somebody waits for a time that it asked for itself, and may act when it has come."""
        state = self.state
        return any(m.waiting is not None and m.waiting.timed and not state.halted_above(m.id) for m in state.live())

    def _anybody_is_held(self) -> bool:
        """Whether a person holds the run or a part of it that owes something."""
        state = self.state
        owing = (member.id for member in state.live() if member.owes)
        return any(state.paused_above(agent) and not state.halted_above(agent) for agent in owing)

    async def _stalled(self) -> None:
        facts = stalled(self.state, self.limits, self.new_id)
        if not facts:
            self.end("failed", "no debt is open and nothing was handed in")
            return
        await self.append(facts)
        if all(isinstance(fact.event, ev.AgentNudged) and fact.event.action == "fail" for fact in facts):
            reason = "nobody could act, and the boss did not go on after being nudged"
            if not any(self.state.habits_of(agent).deeds for agent in self.state.members):
                reason += "; nobody has used a tool: try the model with megaagent models --check"
            self.end("stalled", reason)

    def _tell_of_budget(self) -> None:
        """At 80 % of a cap the boss is told, once; everybody sees what is left in the status of each step."""
        boss = self.state.members[BOSS]
        if self._told or self.ledger.share_used() < TOLD_AT or TOLD in boss.told:
            return
        self._told = True
        text = "80 % of the budget is used. Bring the work to an end: finish what is begun, begin nothing new."
        nudge = Fact(ENGINE, 0, ev.AgentNudged(BOSS, TOLD, "nudge", text))
        self._in_background(self.append([nudge, notice(BOSS, text, self.new_id)]))

    async def _verify(self) -> None:
        try:
            ending = await self._verification.round()
        except ModelError as error:
            self._pause(f"the verifier cannot be asked: {error}")
            return
        if ending is not None:
            self._ending = self._ending or ending

    def _step_done(self, agent: AgentId, task: asyncio.Task[None]) -> None:
        del self._steps[agent]
        self._asked.pop(agent, None)
        self.state.touched.add(agent)
        self._work_done(task)

    def _work_done(self, task: asyncio.Task[None]) -> None:
        if task is self._verifying:
            self._verifying = None
        self._changed.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exhausted):
            self.end("exhausted", str(error))
        elif isinstance(error, NeedsPerson):
            self._pause(str(error))
        elif error is not None and self._bug is None:
            self._bug = error  # loud: the loop raises it

    def _pause(self, reason: str) -> None:
        if self.state.run.paused is None and self._ending is None:
            self._in_background(self.append([Fact(ENGINE, 0, ev.RunPaused(reason))]))

    async def stop_subtree(self, agent: AgentId, reason: str, before: Sequence[Fact] = ()) -> Stopped:
        """Let an agent and all below it leave: what they owed has failed, and nothing of theirs runs on.

        Args:
            before: facts that are recorded with the first of these.
        """
        state = self.state
        calls = sum(member.call is not None for member in state.subtree(agent))
        programs = sum(member.program is not None for member in state.subtree(agent))
        facts = [*before, *retire(state, agent, reason)]
        superior = superior_of(agent)
        if state.members[agent].retired is None and superior is not None:
            text = f"{name_of(agent)} and all below it were {reason}. Their files stay; their work is open again: "
            facts.append(
                notice(superior, f"{text}do it yourself, give it to somebody else, or go without.", self.new_id)
            )
        again = True
        while again or facts:
            await self.append(facts)
            await self._call_off_retired()
            left = [member.id for member in state.subtree(agent)]
            await asyncio.gather(*(self._steps[id] for id in left if id in self._steps), return_exceptions=True)
            await self._call_off_retired()  # also a program that began meanwhile
            # Recruits whose facts were on their way leave too.
            facts, again = [*self._programs_gone(left), *retire(state, agent, reason)], False
        left = [member.id for member in state.subtree(agent)]
        live = self._programs.agents()
        return Stopped(len(left), calls, programs, sum(id in self._steps or id in live for id in left))

    async def _call_off_retired(self) -> None:
        """Agents that have left stop at once: their calls and their programs; of those that are halted, the programs.

        A live program with nobody who may look after it would hold the run for ever.
        """
        async with self._calling_off:  # who comes second returns when nothing is left to stop
            left, self._left = self._left, []
            for agent in left:
                if (task := self._steps.get(agent)) is not None:
                    task.cancel()
            for agent in self._programs.agents():
                if agent not in self.state.members:
                    continue
                halted = agent not in self._steps and self.state.halted_above(agent)
                if halted or self.state.members[agent].retired is not None:
                    await self._programs.stop(agent)
                    await self.append(self._programs_gone([agent]))

    def _programs_gone(self, agents: Iterable[AgentId]) -> list[Fact]:
        """The ends of programs that the engine has killed."""
        members = [self.state.members[agent] for agent in agents]
        return [
            Fact(member.id, member.step, ev.ProgramEnded(member.program, None, cut=("stopped",)))
            for member in members
            if member.program is not None
        ]

    def _in_background(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # -- the end ------------------------------------------------------------------------------------------------

    async def _end(self, ending: ev.RunEnded) -> ev.RunEnded:
        if ending.status in ("failed", "stalled") and self.state.run.spent_up:
            # What was cut short is what it came to an end for.
            ending = replace(ending, status="exhausted", reason=f"{self.state.run.spent_up}; then: {ending.reason}")
        await self._stop_everything(self.limits.grace if ending.status != "completed" else 0.0)
        if ending.status not in ("paused", "exhausted"):  # from these a run is meant to go on
            for_good = ending.status == "completed"
            await self._voices.call_off_batches(for_good=for_good, grace=self.limits.grace)
        facts = self._programs_gone(self.state.members)
        if ending.status == "completed":
            for below in self.state.subordinates(BOSS):
                facts += retire(self.state, below.id, "the run is completed")
        elif ending.status == "exhausted":
            facts += self._hand_in_as_it_is(ending.reason)
        if facts:
            await self.append(facts)
        await self._append_digest()
        # Not the state's head: facts of commits may be recorded in another order than the commits were made.
        head = await self._verification.head()
        ending = ev.RunEnded(ending.status, ending.reason, ending.text, head, ending.gaps)
        await self.append([Fact(ENGINE, 0, ending)])
        return ending

    def _hand_in_as_it_is(self, reason: str) -> list[Fact]:
        """At the cap the work is handed in without a model."""
        debts = tuple(debt.id for debt in self.state.debts_of(BOSS, "open"))
        report = f"Handed in by the engine as it stood: {reason}. What was done since is not in this report."
        return [Fact(BOSS, self.state.members[BOSS].step, ev.WorkReported(debts, report, forced=True))] if debts else []

    async def _stop_everything(self, grace: float) -> None:
        """Let calls in flight come home for `grace` seconds, then call them off; kill programs."""
        tasks = [*self._steps.values(), *([self._verifying] if self._verifying else [])]
        if tasks and grace > 0:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)
        await self._voices.close()
        await self._programs.close()
