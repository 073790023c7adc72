"""One step of one agent: context → model answers → tools act → facts recorded in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from megaagent import events as ev
from megaagent.agent.conversation import CORRECTION
from megaagent.errors import ModelError, ToolError
from megaagent.events import ENGINE, AgentId, Fact, ToolCall, name_of, storable, superior_of
from megaagent.models.advice import advice
from megaagent.organization.approvals import Approvals
from megaagent.organization.asking import Question
from megaagent.organization.budget import Exhausted
from megaagent.organization.contexts import Contexts
from megaagent.organization.cutting import cut_off
from megaagent.organization.decide import NewId, fail, notice, runnable
from megaagent.organization.files import cut
from megaagent.organization.limits import Limits
from megaagent.organization.members import Member
from megaagent.organization.monitors import objection
from megaagent.organization.state import State
from megaagent.organization.voices import Voices
from megaagent.organization.work import Append, Work
from megaagent.tools.contract import Toolbox
from megaagent.tools.rules import Scopes

Desk = Callable[[Work], Mapping[type, object]]  # the parts of an agent's desk, for one step

# A server that cannot be reached in all the time that a call is tried concerns everybody, and waiting costs nothing.
NEEDS_PERSON = frozenset({"unauthorized", "no_money", "not_found", "connection"})
# What a server says that speaks another protocol, takes no tools, or has room for no prompt of ours.
SENSELESS = frozenset({"broken", "bad_request", "context_overflow"})


class NeedsPerson(Exception):
    """No call can succeed before a person acts; the text says what is wrong."""


class Steps:
    """Takes steps of agents.

    Args:
        state: the organization, as the journal has it.
        contexts: the agents' conversations.
        desk: makes the parts of a desk that tools act through.
        append: puts facts into the journal, in one transaction, and into the state.
        now: the run's clock.
        priority: of an agent's call, lower goes first.
    """

    def __init__(
        self,
        state: State,
        contexts: Contexts,
        voices: Voices,
        toolbox: Toolbox,
        scopes: Scopes,
        approvals: Approvals,
        desk: Desk,
        limits: Limits,
        append: Append,
        now: Callable[[], float],
        new_id: NewId,
        priority: Callable[[Member], int],
    ):
        self._state = state
        self._contexts = contexts
        self._voices = voices
        self._toolbox = toolbox
        self._scopes = scopes
        self._approvals = approvals
        self._desk = desk
        self._limits = limits
        self._append = append
        self._now = now
        self._new_id = new_id
        self._priority = priority
        self._pausing = asyncio.Lock()
        self._cutting_off = asyncio.Lock()

    async def take(self, agent: AgentId) -> None:
        """One step: think, then act. A step whose answer was committed before a crash is carried on from the answer.

        Raises:
            Exhausted: the budget of the run does not allow the call.
            NeedsPerson: no call can succeed before a person acts.
        """
        await self._contexts.ready(agent)
        member = self._state.members[agent]
        carried_on = member.pending
        answer = self._contexts.last_answer(agent) if carried_on else await self._think(member)
        if answer is not None:
            await self._act(agent, answer, carried_on)

    # -- think --------------------------------------------------------------------------------------------------

    async def _think(self, member: Member) -> ev.ModelAnswered | None:
        agent = member.id
        if member.step >= self._limits.steps:
            facts = fail(self._state, agent, "too many steps", f"it has used its {member.step} steps", self._new_id)
            await self._append(facts, ())
            return None
        try:
            return await self._answered(member)
        except Exhausted as spent:
            if spent.agent is None:
                raise
            await self._cut_off(spent.agent, spent)
            return None

    async def _answered(self, member: Member) -> ev.ModelAnswered | None:
        try:
            await self._contexts.compact_if_needed(member, self._voices)
            return await self._voices.ask(member.tier, partial(self._question, member.id), step_of=member.id)
        except ModelError as error:
            return await self._without_answer(member, error)

    async def _without_answer(self, member: Member, error: ModelError) -> None:
        """What follows from a call that failed."""
        try:
            if error.fault == "context_overflow":
                await self._contexts.compact_if_needed(member, self._voices, overflowed=True)
        except ModelError as later:  # of the summary
            error = later
        if error.fault in NEEDS_PERSON or error.needs_person or self._is_of_no_use(member.id, error):
            reason = storable(f"{error.fault}: {advice(error)}")
            async with self._pausing:
                if self._state.run.paused is None:  # recorded before the step is over, so that no further one begins
                    await self._append([Fact(ENGINE, 0, ev.RunPaused(reason))], ())
            raise NeedsPerson(reason) from error
        await self._digest_failure(member.id, error)

    def _is_of_no_use(self, agent: AgentId, error: ModelError) -> bool:
        """Whether what answers there is no model that a run can use, as far as one can see after a few calls."""
        member = self._state.members[agent]
        many = member.failures >= self._limits.failures
        return many and error.fault in SENSELESS and not self._voices.has_answered(member.tier)

    async def _cut_off(self, agent: AgentId, spent: Exhausted) -> None:
        """Hand in the work of an agent whose purse is used up; once, however many below it find that out."""
        async with self._cutting_off:
            member = self._state.members[agent]
            if member.retired is None and member.paused is None:
                await self._append(cut_off(self._state, agent, str(spent), spent.whole, self._new_id), ())

    def _question(self, agent: AgentId) -> Question | None:
        member = self._state.members[agent]
        if not runnable(self._state, member):
            return None
        return Question(
            agent,
            member.step + 1,
            "step",
            self._contexts.prompt(member),
            self._contexts.status(member),
            self._toolbox.specs,
            member.inbox,
            partial(self._priority, member),
        )

    async def _digest_failure(self, agent: AgentId, error: ModelError) -> None:
        """Calls that keep failing: mail that the model cannot digest is set aside; without mail the debt fails."""
        member = self._state.members[agent]
        if member.retired is not None or member.failures < self._limits.failures:
            return
        reason = f"{member.failures} model calls in a row came to nothing, the last with {error}"
        if not member.inbox:
            await self._append(fail(self._state, agent, "model calls fail", reason, self._new_id), ())
            return
        facts = [Fact(agent, 0, ev.MailSetAside(tuple(message.id for message in member.inbox), reason))]
        for other in sorted(self._concerned(member)):
            text = f"Mail to {name_of(agent)} was set aside, since {reason}. Say it differently."
            facts.append(notice(other, text, self._new_id))
        await self._append(facts, ())

    def _concerned(self, member: Member) -> set[AgentId]:
        senders = {message.sender for message in member.inbox} | {superior_of(member.id) or ""}
        members = self._state.members
        return {id for id in senders if id in members and members[id].retired is None and id != member.id}

    # -- act ----------------------------------------------------------------------------------------------------

    async def _act(self, agent: AgentId, answer: ev.ModelAnswered, carried_on: bool) -> None:
        member = self._state.members[agent]
        work = Work(self._state, agent, member.step, self._now(), self._append)
        if not answer.calls:
            self._bare_text(work, answer.text)
        else:
            work.carried_on = carried_on
            work.companions = recruits_in(answer.calls)
            desk = self._desk(work)
            index = member.returned
            while index < len(answer.calls):
                unsure = carried_on and index == member.begun
                index = await self._next_calls(work, desk, answer.calls, index, unsure)
        await work.commit()

    async def _next_calls(
        self, work: Work, desk: Mapping[type, object], calls: Sequence[ToolCall], index: int, unsure: bool
    ) -> int:
        """Answer the call at `index`, with all reads that follow each other side by side; returns the next index.

        Args:
            unsure: an engine that died was about to make the call at `index`.
        """
        if work.ended:
            text = "not run: your turn had ended with the call before it."
            work.record(ev.ToolReturned(index, calls[index].id, calls[index].name, text, ok=False))
            return index + 1
        if index >= self._limits.calls:
            text = f"not run: one answer may make {self._limits.calls} calls. Make what is left in the next."
            work.record(ev.ToolReturned(index, calls[index].id, calls[index].name, text, ok=False))
            return index + 1
        end = index + 1
        if self._goes_along(work.agent, calls[index]):
            while end < min(len(calls), self._limits.calls) and self._goes_along(work.agent, calls[end]):
                end += 1
        work.begin_call(index)
        if end == index + 1:
            results = [await self._answer(work, desk, calls[index], unsure)]
        else:
            results = await asyncio.gather(*(self._answer(work, desk, call, unsure) for call in calls[index:end]))
        for offset, (call, (text, ok)) in enumerate(zip(calls[index:end], results, strict=True)):
            work.record(ev.ToolReturned(index + offset, call.id, call.name, text, ok))
        return end

    def _goes_along(self, agent: AgentId, call: ToolCall) -> bool:
        """Whether the call may be made side by side with others."""
        return self._toolbox.reads(call) and not self._approvals.asks(agent, call)

    async def _answer(self, work: Work, desk: Mapping[type, object], call: ToolCall, unsure: bool) -> tuple[str, bool]:
        """The result of one call; `unsure` when an engine that died was about to make it."""
        most = 4 * self._limits.shown  # a conflict shows its texts, each cut already
        try:
            tool = self._toolbox.find(call.name)
            if unsure:
                raise ToolError("the engine was stopped during this call; whether it took effect is unknown.")
            self._object(work, call)
            told = await self._approvals.permit(work, tool, call)
            if self._toolbox.acts_once(call):
                # With what came before it, so that after a crash only this call is the one in doubt.
                work.record(ev.ToolBegun(work.call, call.name))
                if not await work.commit():
                    raise ToolError("not run: you have left the organization.")
            return cut(storable(told + await tool.answer(call, desk)), most), True
        except ToolError as error:
            return cut(storable(str(error)), most), False

    def _object(self, work: Work, call: ToolCall) -> None:
        """Refuse a tool that the agent may not use, and a call that the supervisor does not let through.

        What the supervisor saw is recorded once per step.
        """
        kept = self._scopes.against(call.name, work.agent, work.left_to)
        if kept:
            raise ToolError(f"you may not use {call.name}: {kept}. Do it another way, or ask your superior to.")
        against = objection(work.draft, work.agent, call, self._limits)
        if against is None:
            return
        if against.sign and work.draft.habits_of(work.agent).since(against.sign) < work.step:
            work.record(ev.AgentNudged(work.agent, against.sign, "block", against.text))
        raise ToolError(against.text)

    def _bare_text(self, work: Work, text: str) -> None:
        """Text without a call: corrected, at most twice; then it is delivered upward and the turn ends as a wait."""
        if work.me.corrections < self._limits.corrections:
            work.record(ev.AgentCorrected(CORRECTION))
            return
        superior = superior_of(work.agent)
        if superior is not None and text.strip():
            work.send([superior], text[: self._limits.messages], "report")
        until = work.now + 60 * self._limits.wait_minutes
        names = (superior,) if superior is not None else ()
        work.record(ev.AgentNudged(work.agent, "finished without reporting", "report", "it answers in text alone"))
        work.record(ev.TurnEnded("wait", names, "its text was delivered to its superior", until))


def recruits_in(calls: Sequence[ToolCall]) -> set[str]:
    """The names that the calls of one answer want to recruit: their prompts may name each other."""
    names: set[str] = set()
    for call in calls:
        if call.name == "add_agent":
            try:
                arguments = msgspec.json.decode(call.arguments, type=dict[str, object])
            except (msgspec.DecodeError, RecursionError):
                continue
            names.add(str(arguments.get("name", "")).strip())
    return names - {""}
