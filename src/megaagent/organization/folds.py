"""How each kind of fact changes the organization's state: one small function per kind.

These functions are the only ones that do, for the live engine, for resume and for replay alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec.structs import replace

from megaagent import events as ev
from megaagent.events import AgentId, Record, name_of, superior_of
from megaagent.organization import habits as hb
from megaagent.organization.members import MANY, Approval, Batch, Debt, Member, Purse, Waiting

if TYPE_CHECKING:
    from megaagent.organization.state import State

E = TypeVar("E", bound=ev.Event)

KEPT_FILES = 50  # files and programs remembered per agent for its supervisor; the journal has them all
KEPT_RUNS = 5
SPENT_UP = "budget spent"  # the sign of work that is handed in since the run's own cap was met
IN_BATCH = "batch"  # the fault of a call that a batch came back without: it is asked singly next, and nobody is blamed
# Faults for which neither an agent nor its mail can do anything.
BLAMELESS = ("cancelled", "no_money", "unauthorized", "not_found", "connection", "rate_limit", IN_BATCH)
PRESSED = ("stalled", "waits in vain")  # signs after whose nudges a debt fails


Fold = Callable[["State", Record, Any], None]
FOLDS: dict[type[ev.Event], Fold] = {}


def folds(kind: type[E]) -> Callable[[Callable[[State, Record, E], None]], Callable[[State, Record, E], None]]:
    """Register the function that takes in one kind of fact."""

    def register(fold: Callable[[State, Record, E], None]) -> Callable[[State, Record, E], None]:
        FOLDS[kind] = fold
        return fold

    return register


# -- the run ------------------


@folds(ev.RunStarted)
def _run_started(state: State, record: Record, event: ev.RunStarted) -> None:
    state.run = replace(
        state.run,
        run=event.run,
        goal=event.goal,
        simulated=event.simulated,
        status="running",
        started=record.time,
        resumed=record.time,
        last=record.time,
        head=event.revision,
    )


@folds(ev.RunResumed)
def _run_resumed(state: State, record: Record, event: ev.RunResumed) -> None:
    run = state.run
    # What the last engine had in flight is not known to have been paid or not: it stays reserved.
    worked = run.last - run.resumed if run.ending is None else 0.0  # by an engine that died without an ending
    state.run = replace(
        run,
        status="running",
        ending=None,
        paused=None,
        held=False,
        active_seconds=run.active_seconds + worked,
        resumed=record.time,
        gaps=(),
        spent_up="",
        approvals=(),
    )
    _begin_again(state)


@folds(ev.RunForked)
def _run_forked(state: State, record: Record, event: ev.RunForked) -> None:
    state.batches.clear()
    for call in list(state.calls):  # the parent pays for what it has in flight
        state.release(call.partition("#")[0], call)
    for member in list(state.members.values()):
        if member.ruling is not None:  # it was given to the parent
            state.put(replace(member, ruling=None))
    state.run = replace(
        state.run,
        run=event.run,
        simulated=state.run.simulated or event.simulated,
        status="running",
        ending=None,
        paused=None,
        held=False,
        resumed=record.time,
        gaps=(),
        spent_up="",
        approvals=(),
    )
    _begin_again(state)


@folds(ev.RunPaused)
def _run_paused(state: State, record: Record, event: ev.RunPaused) -> None:
    state.run = replace(state.run, paused=event.reason, held=event.by == "person")


@folds(ev.RunUnpaused)
def _run_unpaused(state: State, record: Record, event: ev.RunUnpaused) -> None:
    state.run = replace(state.run, paused=None, held=False)
    state.touched.update(member.id for member in state.live())


@folds(ev.RunEnded)
def _run_ended(state: State, record: Record, event: ev.RunEnded) -> None:
    run = state.run
    seconds = run.active_seconds + record.time - run.resumed
    state.run = replace(run, status="ended", ending=event, active_seconds=seconds, approvals=())


@folds(ev.BudgetRaised)
def _budget_raised(state: State, record: Record, event: ev.BudgetRaised) -> None:
    if event.agent is not None:
        member = state.members[event.agent]
        old = member.purse or Purse()
        tokens, cost = (event.tokens or old.tokens), (event.cost or old.cost)
        told = tuple(sign for sign in member.told if not sign.startswith("budget"))
        state.set_aside(event.agent, Purse(tokens, cost))
        state.change(event.agent, told=told)
        return
    run = state.run
    state.run = replace(
        run,
        max_tokens=run.max_tokens if event.tokens is None else event.tokens,
        max_cost=run.max_cost if event.cost is None else event.cost,
        max_seconds=run.max_seconds if event.seconds is None else event.seconds,
        max_steps=run.max_steps if event.steps is None else event.steps,
        max_disk=run.max_disk if event.disk is None else event.disk,
        spent_up="",
    )


# -- agents and debts ----------


@folds(ev.AgentRecruited)
def _recruited(state: State, record: Record, event: ev.AgentRecruited) -> None:
    state.put(Member(event.id, event.description, event.tier, tools=event.tools))
    state.names[name_of(event.id)] = event.id
    state.run = replace(state.run, agents=state.run.agents + 1)
    superior = state.members.get(superior_of(event.id) or "")
    if superior is not None:
        state.habits[superior.id] = hb.recruited(state.habits_of(superior.id), record.step)
        tier = "admin" if superior.tier == "worker" else superior.tier
        state.put(replace(superior, group=(*superior.group, event.id), tier=tier))


@folds(ev.AgentRetired)
def _retired(state: State, record: Record, event: ev.AgentRetired) -> None:
    asked = tuple(id for id in state.run.questions if not id.startswith(f"{event.id}#"))
    approvals = tuple(each for each in state.run.approvals if each.agent != event.id)
    state.run = replace(state.run, questions=asked, approvals=approvals)
    _stop_waiting(state, event.id)
    state.habits[event.id] = hb.NONE
    state.land(event.id, *state.flying.get(event.id, ()))
    if state.members[event.id].purse is not None:
        state.set_aside(event.id, None)
    member = state.members[event.id]
    state.put(replace(member, retired=event.reason, going=False, inbox=(), call=None, carried=(), calls=0, returned=0))
    _touch_superior(state, event.id)


@folds(ev.AgentPaused)
def _paused(state: State, record: Record, event: ev.AgentPaused) -> None:
    state.change(event.id, paused=event.reason)


@folds(ev.AgentUnpaused)
def _unpaused(state: State, record: Record, event: ev.AgentUnpaused) -> None:
    state.change(event.id, paused=None, halted=False)
    state.touched.update(member.id for member in state.subtree(event.id))


@folds(ev.AssignmentOpened)
def _opened(state: State, record: Record, event: ev.AssignmentOpened) -> None:
    state.put_debt(Debt(event.id, event.debtor, event.creditor, event.task, opened=record.time))
    state.run = replace(state.run, open_debts=state.run.open_debts + 1)
    member = state.members[event.debtor]
    state.put(replace(member, owes=(*member.owes, event.id), handed_in=False))
    _progressed(state, event.debtor, event.creditor)


@folds(ev.WorkReported)
def _reported(state: State, record: Record, event: ev.WorkReported) -> None:
    for id in event.assignments:
        state.put_debt(replace(state.debts[id], status="reported", report=event.report, announced=False))
    _settle_down(state, record.agent, handed_in=True, nudges=0)
    _progressed(state, record.agent)
    _touch_superior(state, record.agent)


@folds(ev.WorkReviewed)
def _reviewed(state: State, record: Record, event: ev.WorkReviewed) -> None:
    debt = state.debts[event.assignment]
    if event.verdict == "return":
        state.put_debt(replace(debt, status="open", returns=debt.returns + 1, announced=False))
        state.change(debt.debtor, handed_in=False, nudges=0)
    else:
        _close(state, debt, "accepted" if event.verdict == "accept" else "dropped")
    state.touched.update((debt.debtor, *state.members[debt.debtor].group))
    state.change(record.agent, nudges=0)
    _progressed(state, debt.debtor, debt.creditor)


@folds(ev.AssignmentFailed)
def _failed(state: State, record: Record, event: ev.AssignmentFailed) -> None:
    _close(state, state.debts[event.assignment], "failed")


@folds(ev.ReviewOpened)
def _review_opened(state: State, record: Record, event: ev.ReviewOpened) -> None:
    for agent in event.reported:
        for debt in state.debts_of(agent, "reported"):
            state.put_debt(replace(debt, announced=True))


# -- messages -------------------


@folds(ev.MessageSent)
def _sent(state: State, record: Record, event: ev.MessageSent) -> None:
    message = event.message
    state.run = replace(state.run, messages=state.run.messages + 1)
    for receiver in message.to:
        member = state.members.get(receiver)
        if member is not None and member.retired is None:
            state.put(replace(member, inbox=(*member.inbox, message)))
            if message.kind != "notice" and message.sender in (superior_of(receiver), ev.PERSON):
                state.habits[receiver] = hb.advised(state.habits_of(receiver))
    if message.kind == "talk" and message.sender in state.members:
        hb.talked(state.habits, record.step, message, counted_only=state.tried)


@folds(ev.MailSetAside)
def _set_aside(state: State, record: Record, event: ev.MailSetAside) -> None:
    member = state.members[record.agent]
    state.put(replace(member, inbox=tuple(m for m in member.inbox if m.id not in event.ids), failures=0))


# -- one step -------------------


@folds(ev.CallIntended)
def _intended(state: State, record: Record, event: ev.CallIntended) -> None:
    state.reserve(record.agent, event.call, event.tokens, event.cost)
    if event.purpose == "step":
        _stop_waiting(state, record.agent)
        state.change(record.agent, step=record.step, call=event.call, carried=event.mail)


@folds(ev.CallFailed)
def _call_failed(state: State, record: Record, event: ev.CallFailed) -> None:
    member = state.members.get(record.agent)
    if event.fault != "cancelled":  # a cancelled call may have been paid for: its reservation stays
        state.release(record.agent, event.call)
        state.keep_reserved(record.agent, event.tokens, event.cost)
    state.land(record.agent, event.call)
    if member is not None:
        failures = member.failures + (event.fault not in BLAMELESS)
        state.change(record.agent, call=None, carried=(), failures=failures)
        if event.fault not in ("cancelled", IN_BATCH):
            state.count(record.agent, calls=1, failures=1)


@folds(ev.CallRetried)
def _retried(state: State, record: Record, event: ev.CallRetried) -> None:
    state.keep_reserved(record.agent, event.tokens, event.cost)


@folds(ev.CallRerouted)
def _rerouted(state: State, record: Record, event: ev.CallRerouted) -> None:
    state.release(record.agent, event.call)
    state.reserve(record.agent, event.call, event.tokens, event.cost)


@folds(ev.BatchIntended)
def _batch_intended(state: State, record: Record, event: ev.BatchIntended) -> None:
    state.batches[event.batch] = Batch(event.model, event.calls, record.time)


@folds(ev.BatchSent)
def _batch_sent(state: State, record: Record, event: ev.BatchSent) -> None:
    state.batches[event.batch] = replace(state.batches[event.batch], name=event.name)


@folds(ev.BatchEnded)
def _batch_ended(state: State, record: Record, event: ev.BatchEnded) -> None:
    state.batches.pop(event.batch, None)


@folds(ev.TextsEmbedded)
def _embedded(state: State, record: Record, event: ev.TextsEmbedded) -> None:
    cost = event.cost or 0.0
    state.run = replace(
        state.run,
        usage=state.run.usage + ev.Usage(event.tokens),
        cost=state.run.cost + cost,
        unpriced=state.run.unpriced + (event.cost is None),
    )
    state.count(record.agent, tokens=event.tokens, cost=cost)


@folds(ev.ModelAnswered)
def _answered(state: State, record: Record, event: ev.ModelAnswered) -> None:
    cost = event.cost or 0.0
    tokens = event.usage.prompt + event.usage.completion
    member = state.members.get(record.agent)
    state.release(record.agent, event.call, answered=(tokens, cost) if member is not None else None)
    run = state.run
    state.run = replace(
        run,
        usage=run.usage + event.usage,
        cost=run.cost + cost,
        unpriced=run.unpriced + (event.cost is None),
        steps=run.steps + 1,
        simulated=run.simulated or event.model.startswith("sim:"),  # it may be served over HTTP
    )
    if member is None or member.call != event.call:
        return
    state.habits[record.agent] = hb.answered(state.habits_of(record.agent), event.calls)
    state.change(
        record.agent,
        usage=member.usage + event.usage,
        cost=member.cost + cost,
        inbox=tuple(m for m in member.inbox if m.id not in member.carried),
        call=None,
        carried=(),
        going=True,
        calls=len(event.calls) or 1,
        returned=0,
        corrections=0 if event.calls else member.corrections,
        failures=0,
        begun=None,
        ruling=None,
    )


@folds(ev.ToolBegun)
def _tool_begun(state: State, record: Record, event: ev.ToolBegun) -> None:
    state.change(record.agent, begun=event.index)


@folds(ev.ToolReturned)
def _tool_returned(state: State, record: Record, event: ev.ToolReturned) -> None:
    state.change(record.agent, returned=event.index + 1)
    if state.tried:
        return
    state.habits[record.agent] = hb.returned(state.habits_of(record.agent), record.step, event, state.run.head)


@folds(ev.AgentCorrected)
def _corrected(state: State, record: Record, event: ev.AgentCorrected) -> None:
    member = state.members[record.agent]
    state.put(replace(member, corrections=member.corrections + 1, returned=1))


@folds(ev.TurnEnded)
def _turn_ended(state: State, record: Record, event: ev.TurnEnded) -> None:
    agent = record.agent
    # Whatever of the answer was not run is told to the agent in the same transaction; nothing is left pending.
    state.change(agent, going=False, corrections=0, refusals=0, refused_state="", refused_waits=0, calls=0, returned=0)
    if event.how != "terminate":
        parked = event.how == "parked"
        waiting = Waiting(event.names, event.reason, event.until, event.timed, record.time, parked)
        state.change(agent, waiting=waiting)
        if not state.tried:
            for target in event.names:
                _add_waiter(state, target, agent)
    _touch_superior(state, agent)


@folds(ev.TurnRefused)
def _turn_refused(state: State, record: Record, event: ev.TurnRefused) -> None:
    member = state.members[record.agent]
    if event.how == "wait":
        state.put(replace(member, refused_waits=member.refused_waits + 1))
        return
    again = event.state == member.refused_state
    state.put(replace(member, refusals=member.refusals + 1 if again else 1, refused_state=event.state))


@folds(ev.ChecklistChanged)
def _checklist_changed(state: State, record: Record, event: ev.ChecklistChanged) -> None:
    member = state.members[record.agent]
    if event.items != member.checklist:  # the same list again is no progress
        state.put(replace(member, checklist=event.items, nudges=0))
        _progressed(state, record.agent)


@folds(ev.FileCommitted)
def _committed(state: State, record: Record, event: ev.FileCommitted) -> None:
    state.run = replace(state.run, commits=state.run.commits + 1, head=event.revision)
    member = state.members.get(record.agent)
    if member is None:
        return
    files = (*(path for path in member.files if path != event.path), event.path)[-KEPT_FILES:]
    seen = {**member.seen, event.path: event.revision}
    if len(seen) > len(files):
        seen = {path: revision for path, revision in seen.items() if path in files}
    disputed = tuple(path for path in member.disputed if path != event.path)
    state.put(replace(member, files=files, seen=seen, disputed=disputed, nudges=0))
    _progressed(state, record.agent)


@folds(ev.ConflictMet)
def _conflict_met(state: State, record: Record, event: ev.ConflictMet) -> None:
    member = state.members[record.agent]
    disputed = (*(path for path in member.disputed if path != event.path), event.path)
    state.put(replace(member, disputed=disputed, seen=member.seen | {event.path: event.theirs}))


@folds(ev.ProgramStarted)
def _program_started(state: State, record: Record, event: ev.ProgramStarted) -> None:
    member = state.members.get(record.agent)
    if member is not None:
        runs = (*member.runs, (" ".join(event.command), None))[-KEPT_RUNS:]
        state.put(replace(member, program=event.program, runs=runs))


@folds(ev.ProgramEnded)
def _program_ended(state: State, record: Record, event: ev.ProgramEnded) -> None:
    member = state.members.get(record.agent)
    if member is not None:
        runs = (*member.runs[:-1], (member.runs[-1][0], event.exit_code)) if member.runs else ()
        state.put(replace(member, program=None, runs=runs))


# -- supervision, verification, people ------------------------------------------------------------


@folds(ev.ContextCompacted)
def _compacted(state: State, record: Record, event: ev.ContextCompacted) -> None:
    state.habits[record.agent] = replace(state.habits_of(record.agent), refresh=False)


@folds(ev.AgentNudged)
def _nudged(state: State, record: Record, event: ev.AgentNudged) -> None:
    if event.sign == SPENT_UP:
        state.run = replace(state.run, spent_up=event.detail)
    member = state.members.get(event.id)
    if member is not None:
        told = (*member.told, event.sign) if event.sign.startswith("budget") else member.told
        nudges = member.nudges + (event.action == "nudge" and event.sign in PRESSED)
        state.put(replace(member, nudges=nudges, told=told, halted=member.halted or event.action == "pause"))
        state.habits[event.id] = hb.nudged(state.habits_of(event.id), event, member.step)


@folds(ev.VerificationOpened)
def _verification_opened(state: State, record: Record, event: ev.VerificationOpened) -> None:
    state.run = replace(state.run, rounds=event.round, verifying=True)


@folds(ev.VerdictGiven)
def _verdict_given(state: State, record: Record, event: ev.VerdictGiven) -> None:
    state.run = replace(state.run, gaps=event.gaps, verified=state.run.head, verifying=False)


@folds(ev.QuestionAsked)
def _question_asked(state: State, record: Record, event: ev.QuestionAsked) -> None:
    others = tuple(id for id in state.run.questions if id != event.id)  # an engine that died may have asked it
    state.run = replace(state.run, questions=(*others, event.id))


@folds(ev.QuestionAnswered)
def _question_answered(state: State, record: Record, event: ev.QuestionAnswered) -> None:
    state.run = replace(state.run, questions=tuple(id for id in state.run.questions if id != event.id))


@folds(ev.ApprovalAsked)
def _approval_asked(state: State, record: Record, event: ev.ApprovalAsked) -> None:
    asked = Approval(event.id, record.agent, event.tool, event.effect, record.time, event.until, event.unanswered)
    others = tuple(each for each in state.run.approvals if each.id != event.id)
    state.run = replace(state.run, approvals=(*others, asked))


@folds(ev.ApprovalAnswered)
def _approval_answered(state: State, record: Record, event: ev.ApprovalAnswered) -> None:
    left = tuple(each for each in state.run.approvals if each.id != event.id)
    state.run = replace(state.run, approvals=left)
    state.change(record.agent, ruling=event)


# -- shared by the folds ----------


def _progressed(state: State, *agents: AgentId) -> None:
    for agent in agents:
        if agent in state.members:
            state.progressed(agent)


def _begin_again(state: State) -> None:
    """Another engine has taken over: the calls and programs of the last one are gone, its pauses too."""
    away = state.land_all()
    for member in list(state.members.values()):
        if member.call is not None or member.program is not None or member.paused is not None:
            lost = member.program or member.lost  # two engines may have died in one step
            call, carried = (member.call, member.carried) if member.call in away else (None, ())
            state.put(replace(member, call=call, carried=carried, program=None, lost=lost, paused=None, halted=False))


def _close(state: State, debt: Debt, status: Literal["accepted", "dropped", "failed"]) -> None:
    if debt.status not in ("open", "reported"):
        return
    state.put_debt(replace(debt, status=status))
    state.run = replace(state.run, open_debts=state.run.open_debts - 1)
    member = state.members[debt.debtor]
    owes = tuple(id for id in member.owes if id != debt.id)
    state.put(replace(member, owes=owes))
    if not owes and member.purse is not None:
        state.set_aside(member.id, None)
    _touch_superior(state, debt.debtor)


def _settle_down(state: State, agent: AgentId, **fields: Any) -> None:
    _stop_waiting(state, agent)
    state.change(agent, **fields)


def _stop_waiting(state: State, agent: AgentId) -> None:
    member = state.members.get(agent)
    if member is None or member.waiting is None:
        return
    if not state.tried:
        for target in member.waiting.names:
            _drop_waiter(state, target, agent)
    state.put(replace(member, waiting=None))


def _add_waiter(state: State, target: AgentId, agent: AgentId) -> None:
    others = state.waiters.get(target, ())
    if isinstance(others, dict):
        others[agent] = None
    elif agent not in others:
        more = (*others, agent)
        state.waiters[target] = more if len(more) < MANY else dict.fromkeys(more)


def _drop_waiter(state: State, target: AgentId, agent: AgentId) -> None:
    others = state.waiters.get(target, ())
    if isinstance(others, dict):
        others.pop(agent, None)
    elif left := tuple(id for id in others if id != agent):
        state.waiters[target] = left
    else:
        state.waiters.pop(target, None)


def _touch_superior(state: State, agent: AgentId) -> None:
    superior = superior_of(agent)
    if superior is not None:
        state.touched.add(superior)
