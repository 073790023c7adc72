"""What stands between a call and its effect: a person who is asked first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from megaagent import events as ev
from megaagent.errors import RunError, ToolError
from megaagent.events import ENGINE, AgentId, Fact, Ruling, ToolCall, name_of
from megaagent.organization.members import Approval
from megaagent.organization.state import State
from megaagent.organization.work import Append, Work
from megaagent.tools.contract import Tool
from megaagent.tools.effects import effect_of
from megaagent.tools.rules import ApprovalRule, ToolSettings, rule_for

NOBODY_THERE = "nobody is there to be asked"
NOT_IN_TIME = "nobody answered in time"


class Approvals:
    """Asks a person before the calls that the settings mark, and brings the answers to the steps that wait for them.

    Args:
        attended: whether a person is there; otherwise what a rule says of unanswered calls holds at once.
        state: as the journal has it.
        append: puts facts into the journal, in one transaction.
        now: the run's clock.
    """

    def __init__(self, settings: ToolSettings, attended: bool, state: State, append: Append, now: Callable[[], float]):
        self._rules = settings.rules()
        self._attended = attended
        self._state = state
        self._append = append
        self._now = now
        self._open: dict[str, asyncio.Future[ev.ApprovalAnswered]] = {}

    # -- for a step ---------------------------------------------------------------------------------------------

    def asks(self, agent: AgentId, call: ToolCall) -> bool:
        """Whether a person is asked before this call."""
        return bool(self._rules) and rule_for(self._rules, call.name, agent) is not None

    async def permit(self, work: Work, tool: Tool, call: ToolCall) -> str:
        """Ask a person, when the settings say so; returns what the agent is told with the result, if anything.

        Until there is an answer the step waits, with everything that came before this call committed.

        Raises:
            ToolError: the call is refused, or its arguments do not fit.
        """
        rule = rule_for(self._rules, tool.name, work.agent) if self._rules else None
        if rule is None:
            return ""
        id = f"{work.agent}#{work.step}.{work.call}"
        answer = work.me.ruling  # given already, if an engine died between the answer and the call
        if answer is None or answer.id != id:
            answer = await self._asked(work, asked_about(id, tool, call, rule, self._now()), rule)
        if answer.ruling == "refuse":
            raise ToolError(_refused(tool.name, answer))
        return f"[approved by a person: {answer.remark}]\n" if answer.by == "person" and answer.remark else ""

    async def _asked(self, work: Work, asked: ev.ApprovalAsked, rule: ApprovalRule) -> ev.ApprovalAnswered:
        if not self._attended:
            answer = ev.ApprovalAnswered(asked.id, rule.unanswered, NOBODY_THERE, "engine")
            work.record(asked, answer)
        else:
            # Who sees it in the journal may answer at once, so the answer is expected before it is there.
            future = self._open[asked.id] = asyncio.get_running_loop().create_future()
            try:
                work.record(asked)
                await work.commit()
                answer = await self._answered(work.agent, asked, future, 60 * rule.minutes)
            finally:
                self._open.pop(asked.id, None)
            if answer.by == "person":
                return answer  # it is in the journal already
            work.record(answer)
        await work.commit()
        return answer

    async def _answered(
        self, agent: AgentId, asked: ev.ApprovalAsked, future: asyncio.Future[ev.ApprovalAnswered], seconds: float
    ) -> ev.ApprovalAnswered:
        done, _ = await asyncio.wait([future], timeout=seconds)
        while not done and self._state.paused_above(agent) and not self._state.halted_above(agent):
            # Who has paused it wants nothing to happen meanwhile, least of all a call because nobody answered.
            done, _ = await asyncio.wait([future], timeout=seconds)
        if not done and self._open.pop(asked.id, None) is not None:
            # Whom the supervisor has paused may never go on: its step must end, and nothing more may come of it.
            ruling = "refuse" if self._state.halted_above(agent) else asked.unanswered
            return ev.ApprovalAnswered(asked.id, ruling, NOT_IN_TIME, "engine")
        return await future  # somebody has answered, and the answer is on its way into the journal

    async def stand(self, asked: ev.ApprovalAsked, then: Callable[[Ruling], None]) -> None:
        """Ask a person about something that no step waits for, and that stays as it is until there is an answer.

        Returns when the question is in the journal.

        Args:
            then: is told the answer, when it is in the journal.
        """

        def told(done: asyncio.Future[ev.ApprovalAnswered]) -> None:
            if not done.cancelled() and done.exception() is None:
                then(done.result().ruling)

        future = self._open[asked.id] = asyncio.get_running_loop().create_future()
        future.add_done_callback(told)
        await self._append([Fact(ENGINE, 0, asked)], ())

    async def withdraw(self, id: str, why: str) -> None:
        """Take back what `stand` has asked, unless there is an answer: it would be about something else now."""
        future = self._open.pop(id, None)
        if future is not None:
            future.cancel()  # nobody is told
            await self._append([Fact(ENGINE, 0, ev.ApprovalAnswered(id, "refuse", why, "engine"))], ())

    # -- for a person -------------------------------------------------------------------------------------------

    def find(self, name: str = "") -> Approval:
        """The open approval of that id, or of the agent of that name; the only open one when none is named.

        Raises:
            RunError: there is none, or the name could mean several.
        """
        there = self._state.run.approvals
        if not there:
            raise RunError("no approval is open")
        found = [each for each in there if name in ("", each.id, each.agent, name_of(each.agent))]
        if len(found) != 1:
            which = f"no approval {name!r} is open" if not found else "several approvals are open: say which"
            raise RunError(f"{which}; open are: {', '.join(each.id for each in there)}")
        return found[0]

    async def answer(self, id: str, ruling: Ruling, remark: str) -> None:
        """Record a person's word, and let the step that waits for it go on.

        Raises:
            RunError: it has been answered meanwhile.
        """
        future = self._open.pop(id, None)
        if future is None:
            raise RunError(f"{id} has been answered already")
        answer = ev.ApprovalAnswered(id, ruling, remark)
        agent, _, step = id.partition("#") if "#" in id else (ENGINE, "", "0")
        spoke = ev.HumanSpoke(ruling, f"{id}: {remark}" if remark else id)
        try:
            await self._append([Fact(ENGINE, 0, spoke), Fact(agent, int(step.partition(".")[0]), answer)], ())
        except BaseException as error:
            future.set_exception(error)
            raise
        future.set_result(answer)


def asked_about(id: str, tool: Tool, call: ToolCall, rule: ApprovalRule, now: float) -> ev.ApprovalAsked:
    """The question to a person about a call: what would be done, exactly.

    Raises:
        ToolError: the arguments do not fit, so nothing would be done.
    """
    plain = tool.given(call.arguments)
    return ev.ApprovalAsked(
        id,
        tool.name,
        msgspec.json.encode(plain, order="sorted").decode(),
        effect_of(tool.name, plain),
        _told(rule),
        now + 60 * rule.minutes,
        rule.unanswered,
    )


def _told(rule: ApprovalRule) -> str:
    whose = "" if rule.agents == ("*",) else f" of {_listed(rule.agents)}"
    return f"ask before {_listed(rule.tools)}{whose}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def _refused(tool: str, answer: ev.ApprovalAnswered) -> str:
    if answer.by == "engine":
        return (
            f"{tool} was not run: it needs a person's approval, and {answer.remark}. Do it another way, or go without."
        )
    said = f": {answer.remark}" if answer.remark else " and said no more"
    return f"{tool} was not run: a person refused it{said}."
