"""Judges a run by its records: are the promises of a journal kept (design §12)?

The judge folds nothing with the engine's own code but the state whose digest it compares; all else is counted from the
facts themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from megaagent import events as ev
from megaagent.events import BOSS, AgentId, CallId, MessageId, Record
from megaagent.organization.digest import StateDigest
from megaagent.organization.state import State


def broken_promises(records: Sequence[Record], live: State, *, tokens: int | None) -> list[str]:
    """What does not hold, each with its promise.

    Args:
        records: the whole journal.
        live: the state as the engine had it at the end.
        tokens: the cap of the run.
    """
    found = [*_calls(records), *_mail(records, live), *_steps(records), *_budget(records, tokens)]
    found += [*_ending(records), *_state(records, live)]
    return found


def is_step(call: CallId) -> bool:
    """Whether it is the call of an agent's step, and not one for a summary or a verdict."""
    return "/" not in call.rpartition("#")[2]


def _calls(records: Iterable[Record]) -> Iterator[str]:
    """P1: each call is intended before it is made, and comes to exactly one end; no answer twice."""
    open_calls: set[CallId] = set()
    answered: set[CallId] = set()
    for record in records:
        match record.event:
            case ev.CallIntended(call=call):
                if call in open_calls or call in answered:
                    yield f"P1: {call} is intended again at {record.position}"
                open_calls.add(call)
            case ev.ModelAnswered(call=call) | ev.CallFailed(call=call):
                if call not in open_calls:
                    yield f"P1: {call} ends at {record.position} without being under way"
                open_calls.discard(call)
                if isinstance(record.event, ev.ModelAnswered):
                    answered.add(call)
            case _:
                pass
    yield from (f"P1: {call} never came to an end" for call in sorted(open_calls))


def _mail(records: Sequence[Record], live: State) -> Iterator[str]:
    """P2: no message twice, each read once by each receiver or still there, in order per sender and receiver."""
    sent: dict[MessageId, ev.Message] = {}
    order: dict[MessageId, int] = {}
    read: Counter[tuple[MessageId, AgentId]] = Counter()
    newest: dict[tuple[AgentId, AgentId], int] = defaultdict(int)
    carried: dict[CallId, tuple[MessageId, ...]] = {}
    for record in records:
        match record.event:
            case ev.MessageSent(message=message):
                if message.id in sent:
                    yield f"P2: message {message.id} is sent again at {record.position}"
                sent[message.id], order[message.id] = message, record.position
            case ev.CallIntended(call=call, mail=mail):
                carried[call] = mail
            case ev.ModelAnswered(call=call):
                for id in carried.get(call, ()):
                    read[id, record.agent] += 1
                    pair = sent[id].sender, record.agent
                    if order[id] < newest[pair]:
                        yield f"P2: {record.agent} reads {id} after a newer one of {pair[0]}"
                    newest[pair] = order[id]
            case ev.MailSetAside(ids=ids):
                read.update((id, record.agent) for id in ids)
            case _:
                pass
    for message in sent.values():
        for receiver in message.to:
            member = live.members.get(receiver)
            times = read[message.id, receiver]
            there = member is not None and any(each.id == message.id for each in member.inbox)
            if times > 1 or (times and there):
                yield f"P2: {receiver} has {message.id} more than once"
            if not times and not there and member is not None and member.retired is None:
                yield f"P2: {message.id} to {receiver} is lost"


def _steps(records: Iterable[Record]) -> Iterator[str]:
    """P4: the results of an answer are those of its calls, in order, and all there before the next answer."""
    pending: dict[AgentId, tuple[ev.ToolCall, ...]] = {}
    gone: set[AgentId] = set()
    ending: ev.RunEnded | None = None
    for record in records:
        match record.event:
            case ev.AgentRetired(id=id):
                gone.add(id)
            case ev.CallIntended(purpose="step") if pending.get(record.agent):
                yield f"P4: {record.agent} is asked at {record.position} before its calls had their results"
            case ev.ModelAnswered(call=call, calls=calls) if is_step(call):
                pending[record.agent] = calls
            case ev.ToolReturned(call_id=id, tool=tool):
                calls = pending.get(record.agent, ())
                if not calls or (calls[0].id, calls[0].name) != (id, tool):
                    yield f"P4: {record.agent} has a result of {tool} at {record.position} out of turn"
                pending[record.agent] = calls[1:]
            case ev.RunEnded():
                ending = record.event
            case _:
                pass
    if ending is not None and ending.status == "completed":
        left = [agent for agent, calls in pending.items() if calls and agent not in gone]
        yield from (f"P4: the run completed with calls of {agent} unanswered" for agent in left)


def _budget(records: Iterable[Record], cap: int | None) -> Iterator[str]:
    """P7: spent and reserved together never pass the cap when a call begins."""
    reserved: dict[CallId, int] = {}
    spent = 0
    for record in records:
        match record.event:
            case ev.CallIntended(call=call, tokens=tokens):
                reserved[call] = tokens
                if cap is not None and spent + sum(reserved.values()) > cap:
                    yield f"P7: {call} begins at {record.position} beyond the cap of {cap} tokens"
            case ev.ModelAnswered(call=call, usage=usage):
                reserved.pop(call, None)
                spent += usage.prompt + usage.completion
            case ev.CallFailed(call=call, fault=fault) if fault != "cancelled":
                reserved.pop(call, None)
            case ev.BudgetRaised(tokens=tokens, agent=None) if tokens is not None:
                cap = tokens
            case _:
                pass


def _ending(records: Sequence[Record]) -> Iterator[str]:
    """P8: the last fact names how the run ended and why; a completed one leaves no debt."""
    endings = [record for record in records if isinstance(record.event, ev.RunEnded)]
    if len(endings) != 1 or endings[0] is not records[-1]:
        yield f"P8: the run has {len(endings)} endings, the last fact is {type(records[-1].event).__name__}"
        return
    ending = endings[0].event
    assert isinstance(ending, ev.RunEnded)
    if not ending.reason and ending.status != "completed":
        yield f"P8: the run ended as {ending.status} without a reason"
    debts: dict[str, AgentId] = {}
    for record in records:
        match record.event:
            case ev.AssignmentOpened(id=id, debtor=debtor):
                debts[id] = debtor
            case ev.WorkReviewed(assignment=id, verdict="accept" | "drop") | ev.AssignmentFailed(assignment=id):
                if debts.pop(id, None) is None:
                    yield f"P8: debt {id} is settled at {record.position} although it was not open"
            case _:
                pass
    if ending.status == "completed" and debts:
        yield f"P8: the run completed with debts of {', '.join(sorted(debts.values()))}"
    if ending.status == "completed" and not any(
        isinstance(r.event, ev.WorkReported) and r.agent == BOSS for r in records
    ):
        yield "P8: the run completed and the boss handed in nothing"


def _state(records: Sequence[Record], live: State) -> Iterator[str]:
    """The state that the engine had is the one that its journal tells, at every digest and at the end."""
    state = State()
    digest = StateDigest(state)
    values: dict[int, str] = {}
    wanted = {r.event.position: r.event.digest for r in records if isinstance(r.event, ev.StateDigested)}
    for record in records:
        state.apply(record)
        if record.position in wanted:
            values[record.position] = digest.value()
    for position, value in wanted.items():
        if values[position] != value:
            yield f"state: after {position} the journal tells another state than the engine had"
    if _whole(state) != _whole(live):
        yield "state: at the end the journal tells another state than the engine had"


def _whole(state: State) -> str:
    state.dirty.update(state.members, state.debts)
    return StateDigest(state).value()
