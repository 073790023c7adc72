"""What the engine does of its own accord, as pure functions: from the state as it is to the facts that follow.

They look at conditions and not at events, so that after a crash the same facts follow from the folded state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Message, name_of, superior_of
from megaagent.organization.claims import unwritten
from megaagent.organization.limits import Limits
from megaagent.organization.members import Debt, Member
from megaagent.organization.state import State
from megaagent.organization.waiting import can_act, is_dead_end, spell, vain_path

NewId = Callable[[AgentId], str]  # an id for the engine's mail to an agent


def follow_up(state: State, touched: Iterable[AgentId], limits: Limits, now: float, new_id: NewId) -> list[Fact]:
    """What follows for the agents whose prospects have changed.

    Args:
        state: as the journal has it.
        touched: the agents that something happened to.
        now: time of the run's clock.
    """
    facts: list[Fact] = []
    level = 0
    for agent in sorted(touched, key=lambda agent: (-agent.count("/"), agent)):
        if facts and agent.count("/") < level:
            break  # who is woken below may act again, so its superiors are looked at when that is in the state
        level = agent.count("/")
        member = state.members.get(agent)
        if member is None:
            continue
        if member.retired is not None:
            facts += _left_behind(state, member, new_id)
            continue
        facts += _dissolve(state, member)
        late = due(state, member)
        if late is not None and late <= now:
            facts += _review(state, member, new_id) or _time_up(member, new_id)
        elif not member.acting and not state.paused_above(agent):
            facts += _review(state, member, new_id) or _in_vain(state, member, limits, new_id)
    return facts


def due(state: State, member: Member) -> float | None:
    """When the agent's wait ends by itself; None while it need not or may not, since it acts anyway or is paused."""
    waiting = member.waiting
    if waiting is None or waiting.until is None or member.going or member.call is not None or member.inbox:
        return None
    if not waiting.timed and state.batches and any(map(state.is_away, waiting.names)):
        return None  # the engine's own time is no reason to pay for a step while a cheap answer is on its way
    return None if state.paused_above(member.id) else waiting.until


def stalled(state: State, limits: Limits, new_id: NewId) -> list[Fact]:
    """What is done when nobody can act although a debt is open: the deepest debtor is nudged, then its debt fails."""
    debtors = [member for member in state.live() if state.debts_of(member.id, "open")]
    if not debtors:
        return _unreviewed(state, limits, new_id)
    deepest = max(debtors, key=lambda member: (member.id.count("/"), member.id))
    text = (
        "Nobody in the organization can act, and you still owe a result. Go on with it, hand in what you have with "
        "terminate, or write to somebody who must act first."
    )
    return press(state, deepest, limits, "stalled", text, new_id)


def _unreviewed(state: State, limits: Limits, new_id: NewId) -> list[Fact]:
    """Nobody owes work, but somebody owes a review: it is pressed for that."""
    for member in state.live():
        reported = state.owed_to(member.id, "reported")
        if reported:
            names = ", ".join(name_of(debt.debtor) for debt in reported)
            text = f"Nobody in the organization can act before you review what {names} handed in."
            return press(state, member, limits, "stalled", text, new_id)
    return []


def settled(state: State) -> bool:
    """Whether the boss has handed in and nothing else is open: no other debt, no program, nobody at work for it."""
    boss = state.members[BOSS]
    quiet = boss.handed_in and not boss.acting and state.run.open_debts == len(boss.owes)
    return quiet and not any(member.program for member in state.live())


def runnable(state: State, member: Member) -> bool:
    """Whether the agent's next step may begin."""
    ready = member.going or bool(member.inbox)
    return ready and member.retired is None and member.call is None and not state.paused_above(member.id)


def press(state: State, member: Member, limits: Limits, sign: str, text: str, new_id: NewId) -> list[Fact]:
    """Nudge an agent that owes and does not move; after `limits.nudges` its debts fail upward."""
    if member.nudges < limits.nudges:
        return [_nudge(member.id, sign, "nudge", text), notice(member.id, text, new_id)]
    if member.id == BOSS:
        return [_nudge(member.id, sign, "fail", f"nudged {member.nudges} times in vain")]
    return fail(state, member.id, sign, f"{sign}: nudged {member.nudges} times in vain", new_id)


def fail(state: State, agent: AgentId, sign: str, reason: str, new_id: NewId) -> list[Fact]:
    """The agent's debts fail, it leaves with its subtree, and its superior is woken with the reason."""
    facts = [_nudge(agent, sign, "fail", reason), *retire(state, agent, reason)]
    superior = superior_of(agent)
    if superior is not None and state.members[superior].retired is None:
        text = (
            f"{name_of(agent)} has failed and left: {reason}. Its files stay as they are. Do its part yourself or "
            "recruit somebody else for it."
        )
        facts.append(notice(superior, text, new_id))
    return facts


def retire(state: State, agent: AgentId, reason: str) -> list[Fact]:
    """The agent and everyone below it leave; what they owed is released as failed."""
    facts: list[Fact] = []
    for member in state.subtree(agent):
        if member.retired is None:
            facts += [Fact(ENGINE, 0, ev.AssignmentFailed(id, reason)) for id in member.owes]
            facts.append(Fact(ENGINE, 0, ev.AgentRetired(member.id, reason)))
    return facts


def notice(agent: AgentId, text: str, new_id: NewId, sender: AgentId = ENGINE, kind: ev.MessageKind = "notice") -> Fact:
    """Mail to one agent from the engine, or in the name of another whose word it brings."""
    return Fact(agent, 0, ev.MessageSent(Message(new_id(agent), sender, (agent,), text, kind)))


def _nudge(agent: AgentId, sign: str, action: Literal["nudge", "fail"], detail: str) -> Fact:
    return Fact(ENGINE, 0, ev.AgentNudged(agent, sign, action, detail))


def _left_behind(state: State, member: Member, new_id: NewId) -> list[Fact]:
    """What was on its way into the journal when the agent left: recruits leave with it, assignments have failed."""
    reason = f"{name_of(member.id)} has left: {member.retired}"
    facts = [fact for below in state.subordinates(member.id) for fact in retire(state, below.id, reason)]
    facts += [Fact(ENGINE, 0, ev.AssignmentFailed(id, reason)) for id in member.owes]
    superior = superior_of(member.id)
    if member.owes and superior is not None and state.members[superior].retired is None:
        text = f"{name_of(member.id)} had left when your assignment came ({member.retired}): it has failed."
        facts.append(notice(superior, text, new_id))
    return facts


def _dissolve(state: State, member: Member) -> list[Fact]:
    """When an agent's own debts are settled its group is dissolved: those who owe nothing leave."""
    if member.owes or member.id == BOSS:
        return []
    leaving = [below for below in state.subordinates(member.id) if not below.owes and not below.acting]
    return [
        fact for below in leaving for fact in retire(state, below.id, "the work was accepted; its group is dissolved")
    ]


def _review(state: State, member: Member, new_id: NewId) -> list[Fact]:
    """Wake an admin with the reports when everyone whom it waits for has reported or can do no more."""
    new = [debt for debt in state.owed_to(member.id, "reported") if not debt.announced]
    if not new:
        return []
    awaited = set(member.waiting.names) & set(member.group) if member.waiting else set[AgentId]()
    owing = [m.id for m in state.subordinates(member.id) if state.debts_of(m.id, "open")]
    still = [agent for agent in owing if not awaited or agent in awaited]
    if any(can_act(state, agent) for agent in still):
        return []
    reported = tuple(dict.fromkeys(debt.debtor for debt in new))
    facts = [Fact(member.id, 0, ev.ReviewOpened(member.id, reported, tuple(still)))]
    facts += [notice(member.id, _report(state, debt), new_id, debt.debtor, "report") for debt in _latest(new)]
    if still:
        names = ", ".join(name_of(agent) for agent in still)
        facts.append(notice(member.id, f"These still owe you and can do no more by themselves: {names}.", new_id))
    return facts


def _latest(debts: list[Debt]) -> list[Debt]:
    """One of each debtor: a report answers all its debts at once."""
    return list({debt.debtor: debt for debt in debts}.values())


def _report(state: State, debt: Debt) -> str:
    """A report with the facts that bear it out, or do not."""
    member = state.members[debt.debtor]
    files = ", ".join(member.files) or "none"
    claimed = unwritten(state, debt)
    claims = f"\n[it names as written, and has not written: {', '.join(claimed)}]" if claimed else ""
    runs = "; ".join(f"{command} (exit code {code})" for command, code in member.runs) or "none"
    return f"{debt.report}\n\n[files it changed: {files}]{claims}\n[its last programs: {runs}]\n[answer with review]"


def _time_up(member: Member, new_id: NewId) -> list[Fact]:
    assert member.waiting is not None
    return [notice(member.id, f"The time of your wait is up ({member.waiting.reason}).", new_id)]


def _in_vain(state: State, member: Member, limits: Limits, new_id: NewId) -> list[Fact]:
    """A waits-for cycle, or a wait for somebody who has left or can do no more: who is nearest to the knot is woken."""
    waiting = member.waiting
    if waiting is None or waiting.timed or waiting.parked or not member.owes:
        return []
    path = vain_path(state, member.id, waiting.names)
    if path is None or (member.id == BOSS and member.nudges >= limits.nudges):
        return []
    if path[-1] == member.id:
        nearest = max(path, key=lambda agent: (agent.count("/"), agent))
        at_the_knot = nearest == member.id or state.members[nearest].waiting is None
    else:
        at_the_knot = any(is_dead_end(state, agent) for agent in waiting.names)
    if not at_the_knot:
        return []
    text = f"Nobody whom you wait for can act: {spell(path)}. Go on without them, write to one of them, or hand in."
    return press(state, member, limits, "waits in vain", text, new_id)
