"""How a turn ends: `wait` and `terminate` with their rules (the `Turn` part of an agent's desk; design §5)."""

from __future__ import annotations

import hashlib

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.events import AgentId, name_of, superior_of
from megaagent.organization.limits import Limits
from megaagent.organization.members import Debt, Member
from megaagent.organization.waiting import spell, targets, vain_path
from megaagent.organization.work import Work

LONGEST_WAIT = 24 * 60.0  # minutes


class TurnPart:
    """`megaagent.tools.desk.Turn` for one step."""

    def __init__(self, work: Work, limits: Limits):
        self._work = work
        self._limits = limits

    def wait(self, names: list[str], reason: str, minutes: float | None) -> str:
        work = self._work
        try:
            ids = self._awaited(names)
        except ToolError as error:
            if self._refused_again(str(error)):
                return f"You were parked: {error} You act again when somebody writes."
            raise
        if minutes is not None and not 0 < minutes <= LONGEST_WAIT:
            raise ToolError(f"minutes must be more than 0 and at most {LONGEST_WAIT:.0f}.")
        superior = superior_of(work.agent)
        if superior in ids:
            work.send([superior], f"I cannot go on and wait for you: {reason}")
        if minutes is None and not self._will_be_woken():
            path = vain_path(work.draft, work.agent, ids)
            if path is not None:
                self._refuse_wait(path)
                return f"You were parked, since nobody can wake you: {spell(path)}. You act again when somebody writes."
        until = work.now + 60 * (self._limits.wait_minutes if minutes is None else minutes)
        work.record(ev.TurnEnded("wait", tuple(ids), reason, until, minutes is not None))
        return f"You rest until somebody writes; waiting for {', '.join(map(name_of, ids))}."

    def terminate(self, report: str) -> str:
        work, me = self._work, self._work.me
        if len(report) > self._limits.messages:
            raise ToolError(f"{len(report)} characters are too long, {self._limits.messages} are allowed: use a file.")
        reasons, unread = self._unfinished(), self._unread()
        if reasons or unread:
            self._refuse_terminate([*reasons, *unread], changed_by_mail=not reasons)
            return "You were parked after too many refusals without any change; you act again when somebody writes."
        owed = self._owed(me, report)
        if owed:
            work.record(ev.WorkReported(tuple(debt.id for debt in owed), report))
        work.record(ev.TurnEnded("terminate"))
        superior = superior_of(work.agent)
        curious = [id for id in work.draft.waiting_for(work.agent) if id not in (superior, work.agent)]
        if curious:
            work.send(curious, f"{name_of(work.agent)}, whom you wait for, has handed in: {report[:500]}", "notice")
        return "Handed in." if owed else "You rest; what you handed in before stands."

    # -- wait ---------------------------------------------------------------------------------------------------

    def _awaited(self, names: list[str]) -> list[AgentId]:
        work = self._work
        ids = [work.find(name).id for name in names if name.strip() != "group"]
        if not names or len(ids) < len(names):
            ids += [member.id for member in work.draft.subordinates(work.agent) if member.owes]
        if work.agent in ids:
            raise ToolError("you cannot wait for yourself.")
        if not ids:
            raise ToolError("name whom you wait for: none of your subordinates owes you anything.")
        return list(dict.fromkeys(ids))

    def _will_be_woken(self) -> bool:
        """Something that is no agent's act will wake it: mail that is there, its program, a review that opens."""
        me = self._work.me
        new_reports = any(not debt.announced for debt in self._work.draft.owed_to(me.id, "reported"))
        return bool(me.inbox) or me.program is not None or new_reports

    def _refuse_wait(self, path: list[AgentId]) -> None:
        """Refuse, and the second time in one turn park the agent and wake its superior with the path."""
        unreviewed = self._work.draft.owed_to(self._work.agent, "reported")
        hint = f" You owe a review of {_names_of(unreviewed)}." if unreviewed else ""
        if not self._refused_again(f"nobody can wake you: {spell(path)}", tuple(path[1:2])):
            raise ToolError(
                f"nobody can wake you: {spell(path)}.{hint} Do something that does not need them, "
                "write to one of them, or hand in."
            )

    def _refused_again(self, reason: str, names: tuple[AgentId, ...] = ()) -> bool:
        """Record a refused wait; the second in one turn parks the agent, and its superior is told why."""
        again = self._work.me.refused_waits >= 1
        self._work.record(ev.TurnRefused("wait", (reason,)))
        if again:
            self._park(f"it could not wait: {reason}", names)
        return again

    def _park(self, reason: str, names: tuple[AgentId, ...] = ()) -> None:
        work = self._work
        superior = superior_of(work.agent)
        if superior is not None:
            work.send(
                [superior],
                f"{name_of(work.agent)} was parked: {reason}. It will act when somebody writes to it.",
                "notice",
            )
        # A live program keeps the run from being seen as stalled, so it needs an owner that looks after it again.
        until = work.now + 60 * self._limits.wait_minutes if work.me.program is not None else None
        work.record(ev.TurnEnded("parked", names, reason, until))

    # -- terminate ----------------------------------------------------------------------------------------------

    def _unfinished(self) -> list[str]:
        work, me = self._work, self._work.me
        reasons: list[str] = []
        todo = [item.text for item in me.checklist if not item.done]
        if todo:
            reasons.append(f"your checklist has open items: {'; '.join(todo)}")
        for debt in work.draft.owed_to(me.id, "open"):
            debtor = work.draft.members[debt.debtor]
            waits = [name_of(id) for id in targets(work.draft, debtor)] if debtor.waiting else []
            doing = f"it waits for {', '.join(waits)}: {debtor.waiting.reason}" if debtor.waiting else "it is at work"
            reasons.append(f"{name_of(debtor.id)} still owes you ({doing})")
        reported = work.draft.owed_to(me.id, "reported")
        if reported:
            reasons.append(f"reports wait for your review: {_names_of(reported)}")
        for below in work.draft.subtree(me.id):
            between = superior_of(below.id) or ""
            if below.id != me.id and between != me.id and below.retired is None and below.owes:
                reasons.append(f"{name_of(below.id)}, below {name_of(between)}, still owes a result")
        if me.program is not None:
            reasons.append("your program still runs; end it with stop_program")
        return reasons

    def _unread(self) -> list[str]:
        """Unread mail holds the first attempt; after that only mail from a superior does."""
        work, me = self._work, self._work.me
        waiting = me.inbox
        if me.refusals > 0:
            above = set(ev.lineage(work.agent)[1:]) | {ev.PERSON, ev.VERIFIER}
            waiting = tuple(message for message in waiting if message.sender in above)
        if not waiting:
            return []
        return [
            f"you have unread mail from {', '.join(dict.fromkeys(name_of(m.sender) for m in waiting))}; it comes next"
        ]

    def _refuse_terminate(self, reasons: list[str], *, changed_by_mail: bool) -> None:
        work, me = self._work, self._work.me
        state = hashlib.blake2b(repr(work.draft.unfinished_state(me.id)).encode(), digest_size=8).hexdigest()
        work.record(ev.TurnRefused("terminate", tuple(reasons), state))
        if changed_by_mail or work.me.refusals < self._limits.refusals:
            raise ToolError(f"you cannot hand in yet: {'; '.join(reasons)}.")
        self._park(f"it tried to hand in {work.me.refusals} times although {'; '.join(reasons)}", me.group[:0])

    def _owed(self, me: Member, report: str) -> list[Debt]:
        """What this report answers: the open debts, or those whose report it replaces; an empty one replaces none."""
        reported = self._work.draft.debts_of(me.id, "reported") if report.strip() else []
        return self._work.draft.debts_of(me.id, "open") or reported


def _names_of(debts: list[Debt]) -> str:
    return ", ".join(dict.fromkeys(name_of(debt.debtor) for debt in debts))
