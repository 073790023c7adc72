"""What the supervisor notices without asking a model, and what it does about it (design §6).

Pure functions over the state. Each answers a sign with the next step of its ladder (nudge, block, fresh mind, report
up); every step is an `AgentNudged` fact, from which the state knows how far the ladder has been climbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, cast

import msgspec

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Struct, ToolCall, lineage, name_of, superior_of
from megaagent.organization.claims import unwritten
from megaagent.organization.cutting import TOLD
from megaagent.organization.decide import NewId, notice
from megaagent.organization.habits import (
    CIRCLES,
    REPEATS,
    REPETITION,
    STARVING,
    WINDOW,
    Habits,
    fingerprint,
    goes_in_circles,
)
from megaagent.organization.limits import Limits
from megaagent.organization.members import Member
from megaagent.organization.state import State, Tally

VAIN = {"talk": "writes to nobody", "add_agent": "recruits in vain", "assign": "assigns in vain"}
REFUSED = "refused again and again"
DERAILED = "no progress"
CLAIM = "claim without effect"
FAILING = "failing subtree"
TRIED = 12  # model calls of a subtree before its failures count

TOLD_AT = 0.8  # share of a purse at which who has it is told

_decoder = msgspec.json.Decoder(dict[str, Any])

ShareUsed = Callable[[AgentId], float]
Action = Literal["nudge", "block", "refresh", "park", "report", "pause", "fail"]


def watch(state: State, touched: Iterable[AgentId], limits: Limits, share_used: ShareUsed, new_id: NewId) -> list[Fact]:
    """What the supervisor does about the agents that something happened to, whether they act or rest.

    Args:
        state: as the journal has it.
        touched: the agents that something happened to.
        share_used: of what an agent and those below it may spend, what is spent.
    """
    facts: list[Fact] = []
    for agent in sorted(touched):
        member = state.members.get(agent)
        if member is None or member.retired is not None or member.paused is not None:
            continue
        habits = state.habits_of(agent)
        if habits.chats:
            facts += _circles(state, member, new_id)
        if member.call is None and not member.pending:
            signs: list[Fact] = []
            if habits.deeds:
                signs = _repetition(state, member, new_id) or _refusals(state, member, new_id)
            facts += signs or _claim(state, member)
    above = sorted(_above_what_ended(state, touched))
    for agent in above:
        facts = facts or _derailed(state, state.members[agent], limits, new_id)
    return facts or _dear(state, above, share_used) or _subtrees(state, above, limits, new_id)


def _above_what_ended(state: State, touched: Iterable[AgentId]) -> set[AgentId]:
    """The agents that something happened to and all above them; but of a step under way its end is waited for."""
    above: set[AgentId] = set()
    for agent in touched:
        member = state.members.get(agent)
        if member is not None and member.call is None and not member.pending:
            above.update(lineage(agent))
    return above


# -- one agent ------------------------------------------------------------------------------------------------------


def _repetition(state: State, member: Member, new_id: NewId) -> list[Fact]:
    """The same call with the same result, three times in eight steps; then the call although it is blocked."""
    habits = state.habits_of(member.id)
    newest = habits.newest
    if newest is None or newest.step <= habits.since(REPETITION):
        return []
    if newest.call in habits.blocked:
        if habits.times(REPETITION) <= 2:
            return [_act(member.id, REPETITION, "refresh", f"it calls {newest.tool} although that is blocked")]
        return _give_up(member, REPETITION, f"it keeps repeating one call of {newest.tool}", new_id)
    if habits.repeated() is None:
        return []
    if habits.times(REPETITION) == 0:
        text = (
            f"You have called {newest.tool} with the same arguments {REPEATS} times within {WINDOW} steps and got the "
            "same result. It will not change by itself: do something else, ask somebody, or hand in what you have."
        )
        return _nudge(member.id, REPETITION, text, new_id)
    return [_act(member.id, REPETITION, "block", f"{newest.tool} with these arguments, until something has changed")]


def _refusals(state: State, member: Member, new_id: NewId) -> list[Fact]:
    """One tool refused in three steps: wrong names, caps reached, arguments that never fit."""
    habits = state.habits_of(member.id)
    refused = habits.refused()
    if refused is None or refused.call in habits.blocked:
        return []
    sign = VAIN.get(refused.tool, REFUSED)
    if refused.step <= habits.since(sign):
        return []
    if habits.times(sign) == 0:
        text = (
            f"Your last calls of {refused.tool} were all refused. Read what they were answered, and do it another way."
        )
        return _nudge(member.id, sign, text, new_id)
    if sign not in habits.told:
        return _report(member, sign, f"its calls of {refused.tool} are refused again and again", new_id)
    return _give_up(member, sign, f"its calls of {refused.tool} are refused again and again", new_id)


def _circles(state: State, member: Member, new_id: NewId) -> list[Fact]:
    """Two agents write to each other in turn and neither changes a file, its checklist or a debt."""
    habits = state.habits_of(member.id)
    facts: list[Fact] = []
    for partner, chat in habits.chats.items():
        # Both have the same memory of it; it is looked at from one side only.
        if partner < member.id or not goes_in_circles(chat) or state.habits_of(partner).chats.get(member.id) != chat:
            continue
        between = f"{name_of(member.id)} and {name_of(partner)}: {chat.turns} messages in turn, and nothing done"
        if chat.stage == 1:
            facts += [_act(agent, CIRCLES, "block", between) for agent in (member.id, partner)]
            continue
        for agent, other in ((member.id, partner), (partner, member.id)):
            text = (
                f"You and {name_of(other)} have written to each other {chat.turns} times in turn, and neither has "
                "changed a file, a checklist or a debt. Thanks and agreement need no answer: do your part, or hand in."
            )
            facts += _nudge(agent, CIRCLES, text, new_id)
    if facts or CIRCLES in habits.told or not _defies_block(habits):
        return facts
    return _report(member, CIRCLES, "it still writes to somebody whom it talked with in circles", new_id)


def _defies_block(habits: Habits) -> bool:
    newest = habits.newest
    blocked = any(chat.stage >= 2 for chat in habits.chats.values())
    if newest is None or not blocked:
        return False
    return newest.tool == "talk" and not newest.ok and newest.step > habits.since(CIRCLES)


def _derailed(state: State, member: Member, limits: Limits, new_id: NewId) -> list[Fact]:
    """An agent, or a group below its admin, that takes step after step and changes nothing."""
    idle, size = state.tally_of(member.id).idle, 1 + len(member.group)
    habits = state.habits_of(member.id)
    times = habits.times(DERAILED)
    if member.retired is not None or idle < limits.idle_steps * size * (1 + times):
        return []
    detail = f"{idle} steps of {_whose(member)} have changed no file, no checklist and no debt"
    if times == 0:
        return _nudge(member.id, DERAILED, f"{detail}. Say what is missing, do it, or hand in what there is.", new_id)
    if DERAILED not in habits.told:
        return _report(member, DERAILED, detail, new_id)
    at_work = member.going and member.call is None and not member.pending
    return _give_up(member, DERAILED, detail, new_id) if at_work else []


def _claim(state: State, member: Member) -> list[Fact]:
    """A report says that files were written, and they were not; the reviewer reads it with the report."""
    if state.habits_of(member.id).times(CLAIM) > 0:
        return []
    claimed = [path for debt in state.debts_of(member.id, "reported") for path in unwritten(state, debt)]
    if not claimed:
        return []
    names = ", ".join(dict.fromkeys(claimed))
    return [_act(member.id, CLAIM, "report", f"it names as written, and has not written: {names}")]


def _whose(member: Member) -> str:
    return f"{name_of(member.id)} and its group" if member.group else name_of(member.id)


def overtaken(agents: Sequence[AgentId], limits: Limits) -> list[Fact]:
    """Calls of others that were asked for much later have begun before these agents' calls."""
    detail = f"calls that were asked for {limits.starving_minutes:g} minutes later have begun before; it goes first now"
    return [_act(agent, STARVING, "nudge", detail) for agent in agents]


# -- subtrees -------------------------------------------------------------------------------------------------------


def _dear(state: State, above: Iterable[AgentId], share_used: ShareUsed) -> list[Fact]:
    """Most of a purse is used: from now on the agent reads so in the status of each step."""
    facts: list[Fact] = []
    for id in above:
        member = state.members[id]
        if id != BOSS and member.retired is None and TOLD not in member.told and share_used(id) >= TOLD_AT:
            facts.append(_act(id, TOLD, "nudge", f"{_whose(member)} have used {TOLD_AT:.0%} of what they may spend"))
    return facts


def _subtrees(state: State, above: Iterable[AgentId], limits: Limits, new_id: NewId) -> list[Fact]:
    """A subtree over its share of failures is paused; its siblings go on."""
    whole = state.tally_of(BOSS)
    for id in above:
        why = _failing(state.tally_of(id), whole, limits)
        if not why or id == BOSS or state.members[id].retired is not None or state.paused_above(id):
            continue
        if state.habits_of(id).times(FAILING) == 0:
            return _pause(state.members[id], FAILING, why, new_id)
    return []


def _failing(tally: Tally, whole: Tally, limits: Limits) -> str:
    """Not when all fail alike: then it is the provider, and no subtree's fault."""
    share = limits.subtree_failures
    others, failed_elsewhere = whole.calls - tally.calls, whole.failures - tally.failures
    if tally.calls < TRIED or tally.failures <= share * tally.calls:
        return ""
    if others and failed_elsewhere > share * others:
        return ""
    return f"{tally.failures} of its {tally.calls} model calls came to nothing"


def _pause(member: Member, sign: str, why: str, new_id: NewId) -> list[Fact]:
    facts = [_act(member.id, sign, "pause", why), Fact(ENGINE, 0, ev.AgentPaused(member.id, f"{sign}: {why}"))]
    superior = superior_of(member.id)
    if superior is not None:
        text = (
            f"{_whose(member)} were paused: {why}. They do nothing more unless a person lets them. Go on without them: "
            "their files stay; drop their work with review, do it yourself or give it to somebody else."
        )
        facts.append(notice(superior, text, new_id))
    return facts


# -- the ladder -----------------------------------------------------------------------------------------------------


def _act(agent: AgentId, sign: str, action: Action, detail: str) -> Fact:
    return Fact(ENGINE, 0, ev.AgentNudged(agent, sign, action, detail))


def _nudge(agent: AgentId, sign: str, text: str, new_id: NewId) -> list[Fact]:
    return [_act(agent, sign, "nudge", text), notice(agent, text, new_id)]


def _report(member: Member, sign: str, detail: str, new_id: NewId) -> list[Fact]:
    """The superior is told."""
    facts = [_act(member.id, sign, "report", detail)]
    superior = superior_of(member.id)
    if superior is not None:
        text = f"{name_of(member.id)} makes no headway: {detail}. Help it, give its part to somebody else, or drop it."
        facts.append(notice(superior, text, new_id))
    return facts


def _give_up(member: Member, sign: str, detail: str, new_id: NewId) -> list[Fact]:
    """The agent rests until somebody writes, and its superior is told; not while a program of its is left running."""
    if member.program is not None:
        return []
    reason = f"{sign}: {detail}"
    facts = [
        _act(member.id, sign, "park", detail),
        Fact(member.id, member.step, ev.TurnEnded("parked", (), reason)),
    ]
    superior = superior_of(member.id)
    if superior is not None:
        text = f"{name_of(member.id)} was parked: {detail}. It will act when somebody writes to it."
        facts.append(notice(superior, text, new_id))
    return facts


# -- calls that are not let through ---------------------------------------------------------------------------------


class Objection(Struct, frozen=True):
    """Why a call is answered with an error; `sign` is recorded once per step, when there is one."""

    text: str
    sign: str = ""


def objection(state: State, agent: AgentId, call: ToolCall, limits: Limits) -> Objection | None:
    """What the supervisor has against a call, or None.

    Args:
        state: with the effects of the calls before it.
    """
    habits, member = state.habits_of(agent), state.members[agent]
    if habits.blocked and fingerprint(call) in habits.blocked:
        return Objection(
            "this call is blocked, since it brought the same result again and again. It is open again when you have "
            "changed a file, your checklist or a debt, or your superior has written to you. Do something else."
        )
    match call.name:
        case "talk":
            return _storm(state, member, habits, _arguments(call), limits)
        case "add_agent":
            step, count = habits.recruited
            if step == member.step and count >= limits.recruits:
                text = f"you have recruited {count} agents in this step, the most at once: see how they begin first."
                return Objection(text, "runaway recruiting")
        case "assign":
            return _double(state, member, _arguments(call))
        case _:
            pass
    return None


def _storm(state: State, member: Member, habits: Habits, arguments: dict[str, Any], limits: Limits) -> Objection | None:
    receivers = _receivers(state, member, arguments)
    circled = [id for id in receivers if (chat := habits.chats.get(id)) is not None and chat.stage >= 2]
    if any(_still_circling(state, member.id, id) for id in circled):
        names = ", ".join(map(name_of, circled))
        return Objection(
            f"talk between you and {names} is blocked, since it went in circles. It is open again when one of you has "
            "changed a file, its checklist or a debt. Nothing was delivered."
        )
    recent = [sent for sent in habits.sent if sent.step > member.step - WINDOW]
    messages = sum(sent.messages for sent in recent)
    if messages >= limits.talks:
        text = f"you have sent {messages} messages within {WINDOW} steps, the most allowed: work now, write later."
        return Objection(text, "message storm")
    deliveries = sum(sent.deliveries for sent in recent)
    if deliveries + len(receivers) > limits.deliveries:
        text = (
            f"your messages of the last {WINDOW} steps went to {deliveries} receivers in all, and {limits.deliveries} "
            "are allowed: write only to those who must act."
        )
        return Objection(text, "broadcast storm")
    return None


def _still_circling(state: State, agent: AgentId, partner: AgentId) -> bool:
    return state.habits_of(partner).chats.get(agent) == state.habits_of(agent).chats.get(partner)


def _receivers(state: State, member: Member, arguments: dict[str, Any]) -> set[AgentId]:
    to: Any = arguments.get("to")
    names = cast("list[object]", [to] if isinstance(to, str) else to if isinstance(to, list) else [])
    ids: set[AgentId] = set()
    for name in names:
        if name == "group":
            superior = superior_of(member.id)
            ids |= {below.id for below in state.subordinates(member.id)}
            ids |= {mate.id for mate in state.subordinates(superior)} - {member.id} if superior else set()
        elif isinstance(name, str):
            ids.add(state.names.get(name.strip(), name.strip()))
    return {id for id in ids if id in state.members}


def _double(state: State, member: Member, arguments: dict[str, Any]) -> Objection | None:
    name, task = arguments.get("name"), arguments.get("task")
    debtor = state.names.get(name.strip()) if isinstance(name, str) else None
    if debtor not in member.group or not isinstance(task, str):
        return None
    same = [debt for debt in state.debts_of(debtor, "open") if debt.task.split() == task.split()]
    if not same:
        return None
    return Objection(f"{name_of(debtor)} owes you exactly this already; nothing was assigned.", "duplicate assignment")


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        return _decoder.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return {}  # the tool itself says what is wrong
