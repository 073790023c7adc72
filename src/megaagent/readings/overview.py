"""An organization as a table of short rows, one for each agent, and which of them changed since when.

A row is an absolute value, never a difference, and knows the fact at which it last changed. So whoever has seen the
journal up to some fact is brought up to date by the rows that changed since, after a lost connection or a restart of
the server just as in the ordinary course.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal, TypeAlias

import msgspec

from megaagent import events as ev
from megaagent.events import AgentId, Record, Struct, name_of, superior_of
from megaagent.organization.budget import Ledger
from megaagent.organization.limits import Budget, Limits
from megaagent.organization.members import Member
from megaagent.organization.state import State

Stand = Literal[
    "calling", "running", "acting", "ready", "waiting", "parked", "asking", "handed in", "idle", "paused",
    "accepted", "dropped", "failed", "left",
]  # fmt: skip
STANDS: Final[tuple[Stand, ...]] = (
    "calling", "running", "acting", "ready", "waiting", "parked", "asking", "handed in", "idle", "paused",
    "accepted", "dropped", "failed", "left",
)  # fmt: skip
RESTING: Final = ("ready", "waiting", "parked", "handed in", "idle", "accepted")
LONGEST_ACT: Final = 90  # characters
MOST_PAIRS: Final = 50_000  # of agents who talk, that are counted
ENOUGH_POINTS: Final = 600  # of the curve of spending

Row: TypeAlias = tuple[Any, ...]
COLUMNS: Final = (
    "index", "parent", "name", "stand", "since", "cost", "tokens", "failures", "steps", "born", "files", "done",
    "items", "inbox", "tier", "act",
)  # fmt: skip


class Trait:
    """What a row needs and the state does not keep."""

    __slots__ = ("act", "born", "failures", "files", "index", "parent", "settled", "since", "stand", "todo")

    def __init__(self, index: int, parent: int, born: float):
        self.index = index
        self.parent = parent
        self.born = born
        self.since = born
        self.stand: Stand = "idle"
        self.settled: Stand | None = None
        self.act = "joins"
        self.failures = 0
        self.files = 0
        self.todo: dict[str, float] = {}  # open items of its checklist, since when


class Delta(Struct, frozen=True):
    """What changed after a fact: the header as it is now, and the rows that are not what they were."""

    position: int
    header: dict[str, Any]
    rows: list[Row]


class _Limits(msgspec.Struct):
    subtree_spend: float = Limits().subtree_spend  # settings leave out what is as ever


class _Settings(msgspec.Struct):
    budget: Budget = Budget()
    limits: _Limits = msgspec.field(default_factory=_Limits)


class Overview:
    """The fold; reads facts whose long bodies are left out."""

    def __init__(self) -> None:
        self.state = State()
        self.traits: dict[AgentId, Trait] = {}
        self.agents: list[AgentId] = []  # by index
        self.model = ""
        self.scenario: str | None = None
        self.budget = Budget()
        self.purses = Ledger(self.state, self.budget)
        self.interventions = 0
        self.retries = 0
        self.first = 0.0
        self.talks: Counter[tuple[int, int]] = Counter()
        self.spending: list[tuple[float, float]] = []  # time, dollars spent until then
        self._rows: list[Row] = []
        self._changed: dict[int, int] = {}  # index -> position, the newest change last
        self._asking: set[AgentId] = set()  # who waits for a person's word

    @property
    def position(self) -> int:
        return self.state.position

    def take_in(self, record: Record) -> None:
        """Fold one fact."""
        state = self.state
        state.apply(record)
        self._of_run(record)
        self._of_agents(record)
        if state.dirty:
            for id in state.dirty:
                if id in self.traits:
                    self._renew(id, record)
            state.dirty.clear()
        state.touched.clear()

    def delta(self, after: int) -> Delta:
        """What changed after the fact at a position; after 0, everything."""
        fresh: list[Row] = []
        for index in reversed(self._changed):
            if self._changed[index] <= after:
                break
            fresh.append(self._rows[index])
        return Delta(self.position, self.header(), fresh[::-1] if after else self._rows.copy())

    def header(self) -> dict[str, Any]:
        """Figures of the whole run."""
        run, purses = self.state.run, self.purses
        return {
            "run": run.run,
            "model": self.model,
            "scenario": self.scenario,
            "simulated": run.simulated,
            "status": run.ending.status if run.ending else ("paused" if run.paused is not None else run.status),
            "ended": run.ending is not None,
            "reason": run.ending.reason if run.ending else run.paused,
            "verifying": run.verifying,
            "gaps": run.gaps,
            "first": self.first,
            "last": run.last,
            "agents": run.agents,
            "steps": run.steps,
            "messages": run.messages,
            "commits": run.commits,
            "calls": len(self.state.calls) if run.ending is None else 0,
            "debts": run.open_debts,
            "interventions": self.interventions,
            "retries": self.retries,
            "questions": len(run.questions),
            "approvals": len(run.approvals),
            "prompt": run.usage.prompt,
            "completion": run.usage.completion,
            "cached": run.usage.cached,
            "cost": round(run.cost, 6),
            "unpriced": run.unpriced,
            "reserved": round(run.reserved_cost, 6),
            "max_cost": purses.cost,
            "max_tokens": purses.tokens,
            "max_seconds": purses.seconds,
            "max_steps": purses.steps,
        }

    def stands(self) -> dict[Stand, int]:
        """How many agents stand how; every state is named."""
        counts = Counter(trait.stand for trait in self.traits.values())
        return {stand: counts[stand] for stand in STANDS}

    # -- folds --------------------------------------------------------------------------------------------------

    def _of_run(self, record: Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
                self.model, self.scenario, self.first = began.model, began.scenario, record.time
            case ev.RunForked() as forked:
                self.model = forked.model
            case ev.AgentNudged() | ev.MailSetAside() | ev.HumanSpoke():
                self.interventions += 1
            case (
                ev.RunResumed()
                | ev.AgentPaused()
                | ev.AgentUnpaused()
                | ev.RunPaused()
                | ev.RunUnpaused()
                | ev.RunEnded()
            ):
                for id in self.traits:  # it is seen on everyone below
                    self._renew(id, record)
            case ev.QuestionAsked() | ev.QuestionAnswered() | ev.ApprovalAsked() | ev.ApprovalAnswered():
                run = self.state.run
                asked = [*run.questions, *(each.id for each in run.approvals)]
                self._asking = {id.partition("#")[0] for id in asked}
                self.state.dirty.add(record.agent)
            case ev.ModelAnswered():
                self._spent(record.time)
            case ev.MessageSent(message=message) if message.kind == "talk":
                self._talked(message)
            case _:
                pass

    def know_budget(self, settings: str) -> None:
        """The caps that the run began with, from the JSON of its settings."""
        told = msgspec.json.decode(settings or "{}", type=_Settings)
        self.budget = told.budget
        self.purses = Ledger(self.state, told.budget, told.limits.subtree_spend)

    def _of_agents(self, record: Record) -> None:
        event = record.event
        if isinstance(event, ev.AgentRecruited):
            self._joined(event, record)
            return
        if isinstance(event, ev.WorkReviewed | ev.AssignmentFailed):
            debt = self.state.debts[event.assignment]
            settled = {"accepted": "accepted", "dropped": "dropped", "failed": "failed"}.get(debt.status)
            trait = self.traits[debt.debtor]
            trait.settled = settled  # pyright: ignore[reportAttributeAccessIssue]  # one of the three, or None
            trait.act = settled or "returned"
            trait.failures += debt.status == "failed"
            self.state.dirty.add(debt.debtor)
        elif isinstance(event, ev.AssignmentOpened) and event.debtor in self.traits:
            self.traits[event.debtor].settled = None
            self.state.dirty.add(event.debtor)
        trait = self.traits.get(record.agent)
        if trait is None:
            return
        match event:
            case ev.CallIntended(purpose="step") if trait.stand in RESTING:
                trait.act = "thinks"  # what it waited for is no longer what it does
            case ev.ModelAnswered(calls=calls) if calls:
                trait.act = ", ".join(dict.fromkeys(call.name for call in calls))
            case ev.FileCommitted(path=path, digest=digest):
                trait.files += 1
                trait.act = f"{'wrote' if digest else 'removed'} {path}"
            case ev.ProgramStarted(command=command):
                trait.act = f"runs {' '.join(command)}"
            case ev.QuestionAsked():
                trait.act = "asks a person"
            case ev.ApprovalAsked(tool=tool):
                trait.act = f"asks a person to let it {tool}"
            case ev.ApprovalAnswered(ruling=ruling, by=by):
                trait.act = f"the {by} {'approved' if ruling == 'approve' else 'refused'}"
            case ev.ChecklistChanged(items=items):
                open_ones = [item.text for item in items if not item.done]
                trait.todo = {text: trait.todo.get(text, record.time) for text in open_ones}
                return
            case ev.TurnEnded(how="wait" | "parked" as how, names=names, reason=reason):
                whom = ", ".join(name_of(name) for name in names[:6]) or "mail"
                trait.act = f"{'parked' if how == 'parked' else f'waits for {whom}'}: {reason}"
            case ev.WorkReported() | ev.TurnEnded(how="terminate"):
                trait.act = trait.settled or "handed in"
            case ev.CallFailed(fault=fault) if fault != "cancelled":
                trait.act, trait.failures = f"no answer: {fault}", trait.failures + 1
            case ev.CallRetried(fault=fault):
                self.retries += 1
                trait.act, trait.failures = f"asked again after {fault}", trait.failures + 1
            case ev.ToolReturned(ok=False, tool=tool):
                trait.act, trait.failures = f"{tool} refused", trait.failures + 1
            case _:
                return
        trait.act = trait.act[:LONGEST_ACT]
        self.state.dirty.add(record.agent)

    def _joined(self, event: ev.AgentRecruited, record: Record) -> None:
        superior = self.traits.get(superior_of(event.id) or "")
        self.traits[event.id] = Trait(len(self.agents), superior.index if superior else -1, record.time)
        self.agents.append(event.id)
        self._rows.append(())
        self._renew(event.id, record)

    def _talked(self, message: ev.Message) -> None:
        sender = self.traits.get(message.sender)
        for receiver in message.to:
            trait = self.traits.get(receiver)
            if sender is None or trait is None:
                continue
            pair = (sender.index, trait.index)
            if pair in self.talks or len(self.talks) < MOST_PAIRS:
                self.talks[pair] += 1

    def _spent(self, time: float) -> None:
        self.spending.append((time, self.state.run.cost))
        if len(self.spending) > 2 * ENOUGH_POINTS:
            self.spending = self.spending[1::2]

    # -- the rows -----------------------------------------------------------------------------------------------

    def _renew(self, id: AgentId, record: Record) -> None:
        trait, member = self.traits[id], self.state.members[id]
        stand = self.stand(member)
        if stand != trait.stand:
            trait.stand, trait.since = stand, record.time
        row: Row = (
            trait.index,
            trait.parent,
            name_of(id),
            STANDS.index(stand),
            round(trait.since, 2),
            round(member.cost, 6),
            member.usage.prompt + member.usage.completion,
            trait.failures,
            member.step,
            round(trait.born, 2),
            trait.files,
            sum(item.done for item in member.checklist),
            len(member.checklist),
            len(member.inbox),
            member.tier,
            trait.act,
        )
        if row != self._rows[trait.index]:
            self._rows[trait.index] = row
            self._changed.pop(trait.index, None)
            self._changed[trait.index] = record.position

    def stand(self, member: Member) -> Stand:
        """How an agent stands, in one word."""
        settled = self.traits[member.id].settled
        if member.retired is not None:
            return settled or "left"
        if member.call is not None and self.state.run.ending is None:
            return "calling"
        if member.program is not None:
            return "running"
        if self.state.paused_above(member.id):
            return "paused"
        if member.id in self._asking:
            return "asking"
        if member.going:
            return "acting"
        if member.inbox:
            return "ready"
        if member.waiting is not None:
            return "parked" if member.waiting.parked else "waiting"
        if settled is not None:
            return settled
        return "handed in" if member.handed_in else "idle"
