"""What a watcher sees of a run: a small model folded from the facts, from which the views are drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from megaagent import events as ev
from megaagent.cli.facts import act
from megaagent.cli.words import clean
from megaagent.events import BOSS, AgentId, AssignmentId, CallId, Record, lineage, name_of, superior_of

Stand = Literal["new", "busy", "waiting", "handed in", "accepted", "dropped", "failed", "paused"]
OVER: frozenset[Stand] = frozenset({"accepted", "dropped", "failed"})
LATEST = 6  # files remembered
WINDOW = 60.0  # seconds over which the rate is taken


@dataclass
class Row:
    """One agent.

    Attributes:
        act: what it did last or waits for, in words.
        since: when it came to this stand, seconds since 1970.
        settled: how its work was judged, until it is given more.
        below, busy_below: agents in its subtree without itself, and those of them at work.
    """

    id: AgentId
    description: str = ""
    stand: Stand = "new"
    act: str = "joins"
    settled: Stand | None = None
    since: float = 0.0
    steps: int = 0
    tokens: int = 0
    cost: float = 0.0
    files: int = 0
    group: list[AgentId] = field(default_factory=list[AgentId])
    below: int = 0
    busy_below: int = 0


class _Caps(msgspec.Struct):
    class Budget(msgspec.Struct):
        cost: float | None = 10.0
        tokens: int | None = None
        seconds: float | None = None

    budget: Budget = msgspec.field(default_factory=Budget)


class Panorama:
    """The view model; every figure is a fold of the facts that it was given with `take_in`."""

    def __init__(self) -> None:
        self.rows: dict[AgentId, Row] = {}
        self.run = ""
        self.scenario: str | None = None
        self.model = ""
        self.simulated = False
        self.status = "starting"
        self.paused: str | None = None
        self._active = 0.0  # seconds that earlier engines were at work
        self._since: float | None = None  # when this one began
        self.last = 0.0
        self.position = 0
        self.calls: set[CallId] = set()
        self.steps = 0
        self.messages = 0
        self.commits = 0
        self.tokens = 0
        self.cost = 0.0
        self.unpriced = 0
        self.retries = 0
        self.interventions = 0
        self._recent: deque[tuple[float, int]] = deque()  # time and tokens of the answers of the last minute
        self.latest: deque[str] = deque(maxlen=LATEST)
        self.questions: dict[str, str] = {}
        self.approvals: dict[str, str] = {}
        self._acts: dict[str, str] = {}  # what an agent goes on with once it is let, by approval
        self.max_cost: float | None = None
        self.max_tokens: int | None = None
        self.max_seconds: float | None = None
        self._debtors: dict[AssignmentId, AgentId] = {}

    def take_in(self, record: Record) -> None:
        """Fold one fact; one that was seen already changes nothing."""
        if record.position <= self.position:
            return
        self.position = record.position
        self.last = record.time
        self._of_run(record)
        self._of_people(record)
        self._of_step(record)

    @property
    def ended(self) -> bool:
        """Whether the last thing that the run did was to end."""
        return self._since is None

    def elapsed(self, now: float) -> float:
        """Seconds that the run has been at work."""
        return self._active + (now - self._since if self._since is not None else 0.0)

    def rate(self, now: float) -> int:
        """Tokens per minute, over the last minute of the run's work."""
        spent = sum(tokens for time, tokens in self._recent if time > now - WINDOW)
        return int(60 * spent / max(1.0, min(WINDOW, self.elapsed(now))))

    # -- folds --------------------------------------------------------------------------------------------------

    def _of_run(self, record: Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
                self.run, self.scenario, self.model = began.run, began.scenario, began.model
                self.simulated, self._since, self.status = began.simulated, record.time, "working"
                budget = msgspec.json.decode(began.settings or "{}", type=_Caps).budget
                self.max_cost, self.max_tokens, self.max_seconds = budget.cost, budget.tokens, budget.seconds
            case ev.RunForked() as forked:
                self.run, self.model = forked.run, forked.model
                self.simulated = self.simulated or forked.simulated
                self._begin_again(record.time)
            case ev.RunResumed():
                self._begin_again(record.time)
            case ev.RunPaused(reason=reason):
                self.status, self.paused = "paused", reason
            case ev.RunUnpaused():
                self.status, self.paused = "working", None
            case ev.RunEnded(status=status):
                self._active, self._since, self.status = self.elapsed(record.time), None, status
                self.calls.clear()
                self.approvals.clear()
            case ev.VerificationOpened(round=number):
                self.status = f"verifying, round {number}"
            case ev.VerdictGiven(confirmed=confirmed):
                self.status = "confirmed" if confirmed else "working"
            case ev.BudgetRaised(tokens=tokens, cost=cost, seconds=seconds, agent=None):
                self.max_tokens = self.max_tokens if tokens is None else tokens
                self.max_cost = self.max_cost if cost is None else cost
                self.max_seconds = self.max_seconds if seconds is None else seconds
            case ev.QuestionAsked(id=id, question=question):
                self.questions[id] = f"{name_of(record.agent)} asks: {clean(question)}"
            case ev.QuestionAnswered(id=id):
                self.questions.pop(id, None)
            case ev.ApprovalAsked() as asked:
                what = f"{clean(asked.tool)}: {clean('; '.join(asked.effect))}"
                self.approvals[asked.id] = f"{name_of(record.agent)} waits for your approval of {what}"
                if (row := self.rows.get(record.agent)) is not None:
                    self._acts[asked.id] = row.act
                    self._stand(row, "waiting", f"asks a person to let it {clean(asked.tool)}", record.time)
            case ev.ApprovalAnswered(id=id, ruling=ruling):
                self.approvals.pop(id, None)
                then = self._acts.pop(id, None)
                row = self.rows.get(record.agent)
                if row is not None and row.stand == "waiting" and then is not None:
                    self._stand(row, "busy", then if ruling == "approve" else "may not do it", record.time)
            case _:
                pass

    def _begin_again(self, time: float) -> None:
        self.status, self.paused, self._since = "working", None, time
        self.calls.clear()
        self.approvals.clear()
        asking = {id.partition("#")[0] for id in self._acts}
        self._acts.clear()
        for row in self.rows.values():
            if row.stand in ("busy", "paused") or (row.stand == "waiting" and row.id in asking):
                self._stand(row, "new", "begins again", time)

    def _of_people(self, record: Record) -> None:
        match record.event:
            case ev.AgentRecruited(id=id, description=description):
                self._join(Row(id, clean(description), since=record.time))
            case ev.AgentPaused(id=id, reason=reason):
                self._change(id, "paused", f"paused: {clean(reason)}", record.time)
            case ev.AgentUnpaused(id=id):
                self._change(id, "new", "goes on", record.time)
            case ev.AgentRetired(id=id, reason=reason):
                row = self.rows.get(id)
                self.approvals = {key: asked for key, asked in self.approvals.items() if not key.startswith(f"{id}#")}
                if row is not None and row.stand not in OVER:
                    self._stand(row, row.settled or "dropped", row.settled or f"left: {clean(reason)}", record.time)
            case ev.AssignmentOpened(id=id, debtor=debtor):
                self._debtors[id] = debtor
                self._settle(debtor, None)
                self._change(debtor, "new", "has a task", record.time)
            case ev.WorkReviewed(assignment=id, verdict=verdict, remarks=remarks):
                self._reviewed(self._debtors.get(id, ""), verdict, remarks, record.time)
            case ev.AssignmentFailed(assignment=id, reason=reason):
                self._settle(self._debtors.get(id, ""), "failed")
                self._change(self._debtors.get(id, ""), "failed", f"failed: {clean(reason)}", record.time)
            case ev.MessageSent():
                self.messages += 1
            case ev.AgentNudged():
                self.interventions += 1
            case _:
                pass

    def _of_step(self, record: Record) -> None:
        row = self.rows.get(record.agent)
        match record.event:
            case ev.CallIntended(call=call, purpose=purpose):
                self.calls.add(call)
                if row is not None and purpose == "step":
                    self._stand(row, "busy", row.act if row.stand == "busy" else "thinks", record.time)
            case ev.CallRetried():
                self.retries += 1
            case ev.CallFailed(call=call, fault=fault):
                self.calls.discard(call)
                if row is not None and row.stand == "busy" and fault != "cancelled":
                    self._stand(row, "waiting", f"no answer: {fault}", record.time)
            case ev.ModelAnswered() as answer:
                self._answered(row, answer, record.time)
            case ev.TurnEnded(how="wait" | "parked" as how, names=names, reason=reason):
                whom = ", ".join(name_of(name) for name in names) or "mail"
                said = "parked" if how == "parked" else f"waits for {whom}"
                if row is not None:
                    self._stand(row, "waiting", f"{said}: {clean(reason)}".rstrip(": "), record.time)
            case ev.WorkReported() | ev.TurnEnded():
                if row is not None:
                    rests = row.settled or "handed in"
                    self._stand(row, rests, rests, record.time)
            case ev.FileCommitted(path=path):
                self._committed(row, clean(path))
            case _:
                pass

    def _answered(self, row: Row | None, answer: ev.ModelAnswered, now: float) -> None:
        tokens = answer.usage.prompt + answer.usage.completion
        self.calls.discard(answer.call)
        self._recent.append((now, tokens))
        while self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        self.simulated = self.simulated or answer.model.startswith("sim:")  # also when it is served over HTTP
        self.steps += 1
        self.tokens += tokens
        self.cost += answer.cost or 0.0
        self.unpriced += answer.cost is None
        if row is None:
            return
        row.steps += 1
        row.tokens += tokens
        row.cost += answer.cost or 0.0
        if row.stand not in OVER:
            # The last act shows what the step was for: housekeeping comes first, `wait` and `terminate` are told by
            # the facts that follow.
            acts = [call for call in answer.calls if call.name not in ("wait", "terminate")]
            self._stand(row, "busy", act(acts[-1]) if acts else row.act, now)

    def _committed(self, row: Row | None, path: str) -> None:
        self.commits += 1
        if path in self.latest:
            self.latest.remove(path)
        self.latest.append(path)
        if row is not None:
            row.files += 1

    def _reviewed(self, debtor: AgentId, verdict: ev.Verdict, remarks: str, now: float) -> None:
        if verdict == "return":
            self._settle(debtor, None)
            self._change(debtor, "new", f"returned: {clean(remarks[:200])}", now)
        else:
            done: Stand = "accepted" if verdict == "accept" else "dropped"
            self._settle(debtor, done)
            self._change(debtor, done, done, now)

    def place(self, row: Row) -> None:
        """Put an agent in as it stands; its superior is there already."""
        self._join(row)
        if row.stand == "busy":
            for id in lineage(row.id)[1:]:
                self.rows[id].busy_below += 1

    # -- the rows -----------------------------------------------------------------------------------------------

    def _join(self, row: Row) -> None:
        self.rows[row.id] = row
        superior = self.rows.get(superior_of(row.id) or "")
        if superior is not None:
            superior.group.append(row.id)
        for id in lineage(row.id)[1:]:
            self.rows[id].below += 1

    def _change(self, agent: AgentId, stand: Stand, words: str, now: float) -> None:
        row = self.rows.get(agent)
        if row is not None:
            self._stand(row, stand, words, now)

    def _settle(self, agent: AgentId, settled: Stand | None) -> None:
        if agent in self.rows:
            self.rows[agent].settled = settled

    def _stand(self, row: Row, stand: Stand, words: str, now: float) -> None:
        change = (stand == "busy") - (row.stand == "busy")
        if change:
            for id in lineage(row.id)[1:]:
                self.rows[id].busy_below += change
        if stand != row.stand:
            row.since = now
        row.stand, row.act = stand, words

    @property
    def boss(self) -> Row | None:
        return self.rows.get(BOSS)
