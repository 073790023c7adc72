"""One agent as the page shows it: who it is, what it owes, why it waits, and what its model was sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from megaagent import events as ev
from megaagent.agent.conversation import Conversation
from megaagent.agent.prompts import Prompts
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import BOSS, AgentId, Message, MessageId, lineage, name_of, superior_of
from megaagent.models.contract import ChatMessage
from megaagent.organization.cutting import SPENDING
from megaagent.organization.folds import SPENT_UP
from megaagent.organization.members import Debt, Member
from megaagent.organization.state import State
from megaagent.organization.waiting import acts_unasked, targets
from megaagent.readings.fold import Readings
from megaagent.readings.pages import text_of, whole

LONGEST: Final = 200_000  # characters of one text
CHAIN: Final = 40  # agents of a chain of waiting
MOST_MAIL: Final = 200
MOST_WAITS: Final = 20_000
MOST_ASKED: Final = 200
# Whoever stands like this needs nobody else's act before its own, or only a person's.
FIRM: Final = frozenset(
    {"ended", "left", "question", "approval", "calling", "batched", "program", "run paused", "paused", "spent"}
)


class _Settings(msgspec.Struct):
    prompts: str | None = None


def agent(readings: Readings, id: AgentId) -> dict[str, Any]:
    """Everything about one agent but its conversation.

    Raises:
        RunError: there is none of that name.
    """
    overview = readings.overview
    state = overview.state
    id = state.names.get(id, id)
    member = state.members.get(id)
    if member is None:
        raise RunError(f"no agent {id!r} is in this run")
    trait, tally = overview.traits[id], state.tally_of(id)
    recruited = _recruited(readings, id)
    return {
        "id": id,
        "index": trait.index,
        "name": name_of(id),
        "superior": superior_of(id),
        "group": [name_of(below) for below in member.group],
        "description": member.description,
        "prompt": recruited.prompt[:LONGEST] if recruited else "",
        "tier": member.tier,
        "stand": trait.stand,
        "since": trait.since,
        "born": trait.born,
        "act": trait.act,
        "steps": member.step,
        "failures": trait.failures,
        "usage": msgspec.to_builtins(member.usage),
        "cost": member.cost,
        "subtree": {**msgspec.to_builtins(tally), "agents": sum(1 for _ in state.subtree(id))},
        "checklist": _items(readings, member),
        "purse": _purse(readings, member),
        "inbox": [_mail(readings, message) for message in member.inbox[:MOST_MAIL]],
        "owes": [debt_of(readings, state.debts[debt]) for debt in member.owes],
        "owed": [debt_of(readings, debt) for status in ("open", "reported") for debt in state.owed_to(id, status)],
        "files": member.files,
        "runs": member.runs,
        "program": member.program,
        "disputed": member.disputed,
        "paused": member.paused,
        "retired": member.retired,
        "why": why(readings, id),
    }


def debt_of(readings: Readings, debt: Debt) -> dict[str, Any]:
    """An assignment and how it stands."""
    return {
        "id": debt.id,
        "debtor": debt.debtor,
        "creditor": debt.creditor,
        "task": text_of(readings, debt.task)[:4000],
        "report": text_of(readings, debt.report)[:4000],
        "status": debt.status,
        "returns": debt.returns,
        "opened": debt.opened,
    }


def debts(readings: Readings, status: str, limit: int = 300) -> dict[str, Any]:
    """The assignments with this status, the oldest first; how many there are of each."""
    counts: dict[str, int] = {}
    fitting: list[Debt] = []
    for debt in readings.overview.state.debts.values():
        counts[debt.status] = counts.get(debt.status, 0) + 1
        if debt.status == status and len(fitting) < limit:
            fitting.append(debt)
    return {"counts": counts, "debts": [debt_of(readings, debt) for debt in fitting]}


def checklists(readings: Readings, limit: int = 200) -> list[dict[str, Any]]:
    """The checklists of agents who have not finished theirs."""
    found = (
        {"id": member.id, "items": _items(readings, member)}
        for member in readings.overview.state.live()
        if any(not item.done for item in member.checklist)
    )
    return [entry for entry, _ in zip(found, range(limit), strict=False)]


def waits(readings: Readings) -> list[tuple[int, int, str]]:
    """Who waits for whom now: by index, and whether it waits for an act or for a review of what it handed in."""
    state, traits = readings.overview.state, readings.overview.traits
    found: list[tuple[int, int, str]] = []
    if state.run.ending is not None:
        return found
    for member in state.live():
        if member.acting or len(found) >= MOST_WAITS:
            continue
        index = traits[member.id].index
        if member.waiting is not None:
            found += [(index, traits[name].index, "wait") for name in member.waiting.names if name in traits]
        owed = {state.debts[id].creditor for id in member.owes if state.debts[id].status == "reported"}
        found += [(index, traits[creditor].index, "review") for creditor in owed if creditor in traits]
    return found


def asked(readings: Readings) -> dict[str, Any]:
    """What agents have asked a person: questions, and calls that wait to be approved; and what became of them."""
    run = readings.overview.state.run

    def newest(kind: str) -> list[dict[str, Any]]:
        return [whole(readings, position) for position in readings.by_kind[kind][-MOST_ASKED:]]

    return {
        "questions": newest("QuestionAsked"),
        "answers": newest("QuestionAnswered"),
        "open": sorted(run.questions),
        "approvals": newest("ApprovalAsked"),
        "rulings": newest("ApprovalAnswered"),
        "waiting": [each.id for each in run.approvals],
    }


def _items(readings: Readings, member: Member) -> list[dict[str, Any]]:
    """A checklist; open items with the time since which they are on it."""
    todo = readings.overview.traits[member.id].todo
    return [{"text": item.text, "done": item.done, "since": todo.get(item.text)} for item in member.checklist]


def _purse(readings: Readings, member: Member) -> dict[str, Any]:
    """What an agent with all below it may spend; `own` when it was set aside for it."""
    tokens, cost = readings.overview.purses.caps(member.id)
    own = member.purse
    return {"tokens": tokens, "cost": cost, "own": own is not None, "owes": bool(member.owes)}


def why(readings: Readings, id: AgentId) -> list[dict[str, Any]]:
    """The chain in the waits-for graph from an agent to whoever must act, each with its reason in words.

    Each link says in one word `how` it stands, and of what: `subject` is the agent whose part is paused, the question
    that is open, or who gives it work.
    """
    state = readings.overview.state
    chain: list[dict[str, Any]] = []
    seen: set[AgentId] = set()
    current: AgentId | None = id
    while current is not None and current not in seen and len(chain) < CHAIN:
        seen.add(current)
        member = state.members.get(current)
        if member is None:
            break
        reason = _reason(readings, member)
        link = {"id": current, "name": name_of(current), **msgspec.to_builtins(reason)}
        chain.append({**link, "since": readings.overview.traits[current].since})
        if reason.how in FIRM or (acts_unasked(state, current) and reason.how != "timed"):
            break
        ahead = [target for target in targets(state, member) if target not in seen]
        # Of several that are waited for, those who have handed in hold nobody up.
        ahead = [target for target in ahead if _owes_still(state, target)] or ahead
        current = next((target for target in ahead if not acts_unasked(state, target)), ahead[0] if ahead else None)
    return chain


def _owes_still(state: State, id: AgentId) -> bool:
    member = state.members.get(id)
    return member is not None and any(state.debts[debt].status == "open" for debt in member.owes)


def conversation(readings: Readings, id: AgentId, before: int | None, limit: int) -> dict[str, Any]:
    """What the agent's model was sent so far, a page of it counted from the end.

    The newest messages of all are its last answer and the results of its calls, which the next request will carry.
    """
    names = readings.overview.state.names
    id = names.get(id, id)
    kept = _kept(readings, id)
    end = len(kept) if before is None else max(0, min(before, len(kept)))
    start = max(0, end - limit)
    return {"total": len(kept), "start": start, "messages": [_said(message) for message in kept[start:end]]}


def _kept(readings: Readings, id: AgentId) -> list[ChatMessage]:
    records = list(readings.reader.records(agent=id))
    wanted = [mid for record in records if isinstance(record.event, ev.CallIntended) for mid in record.event.mail]
    mail = _mail_by_id(readings, wanted)
    lost = Message("", ev.ENGINE, (), "(this message is not in the journal)")
    talk = Conversation(lambda mid: mail.get(mid, lost))
    for record in records:
        talk.apply(record)
    return [*_opening(readings, id), *talk.messages]


def _mail_by_id(readings: Readings, wanted: Iterable[MessageId]) -> dict[MessageId, Message]:
    """Messages by their ids, which begin with the agent in whose facts they stand."""
    ids = set(wanted)
    found: dict[MessageId, Message] = {}
    for sender in {mid.partition("#")[0] for mid in ids}:
        for record in readings.reader.records(agent=sender, kinds=[ev.MessageSent]):
            if isinstance(record.event, ev.MessageSent) and record.event.message.id in ids:
                found[record.event.message.id] = record.event.message
    return found


def _opening(readings: Readings, id: AgentId) -> list[ChatMessage]:
    """The rules and the role with which every request begins."""
    recruited = _recruited(readings, id)
    if recruited is None:
        return []
    began = readings.reader.record(1)
    folder = None
    if began is not None and isinstance(began.event, ev.RunStarted):
        folder = msgspec.json.decode(began.event.settings or "{}", type=_Settings).prompts
    try:
        prompts = Prompts(Path(folder) if folder else None)
    except ConfigurationError:
        prompts = Prompts()  # the user's folder has gone since
    role = prompts.fill(
        "boss" if id == BOSS else "member",
        name=name_of(id),
        path=id,
        description=recruited.description,
        superior=name_of(superior_of(id) or ""),
        prompt=recruited.prompt,
    )
    return [ChatMessage("system", prompts.text("rules")), ChatMessage("system", role)]


def _recruited(readings: Readings, id: AgentId) -> ev.AgentRecruited | None:
    trait = readings.overview.traits.get(id)
    if trait is None:
        return None
    positions = readings.by_kind["AgentRecruited"]
    record = readings.reader.record(positions[trait.index])  # agents are counted in the order of their recruiting
    return record.event if record is not None and isinstance(record.event, ev.AgentRecruited) else None


def _said(message: ChatMessage) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text[:LONGEST],
        "reasoning": message.reasoning[:LONGEST],
        "calls": [{"name": call.name, "arguments": call.arguments[:LONGEST]} for call in message.calls],
    }


def _mail(readings: Readings, message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "sender": message.sender,
        "kind": message.kind,
        "text": text_of(readings, message.text)[:4000],
    }


class Reason(msgspec.Struct, frozen=True):
    """Why an agent does not act, or that it does: in one word, of what, and in many words."""

    how: str
    subject: str
    words: str


def _reason(readings: Readings, member: Member) -> Reason:
    state = readings.overview.state
    name, superior = name_of(member.id), name_of(superior_of(member.id) or member.id)
    if state.run.ending is not None:
        return Reason("ended", name, f"the run has ended: {state.run.ending.status}")
    if member.retired is not None:
        return Reason("left", superior, f"has left: {member.retired}")
    asked = _question(readings, member.id)
    if asked is not None:
        return Reason("question", asked.id, f"asks a person: {asked.question}")
    for approval in state.run.approvals:
        if approval.agent == member.id:
            return Reason(
                "approval", approval.id, f"waits for a person to approve {approval.tool}: {'; '.join(approval.effect)}"
            )
    if state.is_away(member.id):
        return Reason("batched", name, "its call is with the provider in a batch, which may take hours")
    if member.call is not None:
        return Reason("calling", name, "its model is being asked")
    if member.program is not None:
        return Reason("program", name, f"its program {member.program} is running")
    held = _held(readings, member)
    if held is not None:
        return held
    if member.inbox:
        return Reason("ready", name, f"can go on at once ({len(member.inbox)} unread)")
    if member.going:
        return Reason("acting", name, "is in the middle of a turn")
    if member.waiting is not None:
        if member.waiting.parked:
            return Reason("parked", name, f"parked: {member.waiting.reason}")
        whom = ", ".join(name_of(other) for other in member.waiting.names) or "mail"
        how = "timed" if member.waiting.timed else "waiting"
        return Reason(how, name, f"waits for {whom}: {member.waiting.reason}")
    for debt in (state.debts[id] for id in member.owes):
        if debt.status == "reported":
            reviewer = name_of(debt.creditor)
            return Reason("review", reviewer, f"has handed in; {reviewer} owes it a review")
    if not member.owes:
        return Reason("idle", superior, "has nothing to do")
    return Reason("owes", name, "owes work and is not waiting for anybody")


def _held(readings: Readings, member: Member) -> Reason | None:
    """By whom an agent is held, if it is."""
    state = readings.overview.state
    if state.run.paused is not None:
        return Reason("run paused", name_of(member.id), f"the run is paused: {state.run.paused}")
    for id in lineage(member.id):
        paused = state.members[id].paused
        if paused is not None:
            how = "spent" if paused.startswith((SPENDING, SPENT_UP)) else "paused"
            whose = "" if id == member.id else f" with {name_of(id)}, above it"
            return Reason(how, name_of(id), f"paused{whose}: {paused}")
    return None


def _question(readings: Readings, id: AgentId) -> ev.QuestionAsked | None:
    """What the agent has asked and nobody has answered."""
    open_ones = readings.overview.state.run.questions
    if open_ones:
        for record in readings.reader.records(agent=id, kinds=[ev.QuestionAsked]):
            if isinstance(record.event, ev.QuestionAsked) and record.event.id in open_ones:
                return record.event
    return None
