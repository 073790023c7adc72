"""What happened in a run that its report lists: files, checks, programs, interventions, and what was put right."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Final, Literal

from megaagent import events as ev
from megaagent.events import AgentId, Record, name_of
from megaagent.journal.bodies import MARKER
from megaagent.report import document as doc
from megaagent.report.words import one_line

LONGEST_OUTPUT: Final = 4_000  # characters of a check's output, the last ones
MOST_INTERVENTIONS: Final = 2_000
MOST_COMMANDS: Final = 500
MOST_RUNNERS: Final = 8  # agents named for one command


class _File:
    __slots__ = ("authors", "changed", "removed", "size")

    def __init__(self) -> None:
        self.authors: Counter[AgentId] = Counter()
        self.size, self.changed, self.removed = 0, 0.0, False


class Files:
    """Who wrote which file."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def take_in(self, record: Record) -> None:
        event = record.event
        if isinstance(event, ev.FileCommitted):
            file = self._files.setdefault(event.path, _File())
            file.authors[record.agent] += 1
            file.size, file.changed, file.removed = event.size, record.time, event.digest is None

    def told(self) -> tuple[doc.File, ...]:
        """All files, by path."""
        return tuple(
            doc.File(
                path,
                file.size,
                file.authors.total(),
                tuple(doc.Author(name_of(agent), count) for agent, count in file.authors.most_common()),
                file.changed,
                file.removed,
            )
            for path, file in sorted(self._files.items())
        )


class Checks:
    """Rounds of verification."""

    def __init__(self) -> None:
        self._rounds: list[doc.Round] = []
        self._checks: list[doc.Check] = []
        self._spans: list[tuple[float, float]] = []
        self._since: float | None = None

    def take_in(self, record: Record) -> None:
        match record.event:
            case ev.VerificationOpened(round=number):
                self._close()
                self._since = record.time
                self._rounds.append(doc.Round(number, ()))
            case ev.CheckRun(name=name, passed=passed, output=output):
                self._checks.append(doc.Check(name, passed, output[-LONGEST_OUTPUT:]))
            case ev.RunEnded() | ev.RunResumed() | ev.RunForked():
                self._finish(record.time if isinstance(record.event, ev.RunEnded) else None)
            case ev.VerdictGiven() as verdict:
                self._close()
                self._finish(record.time)
                self._rounds[-1:] = [
                    doc.Round(
                        verdict.round,
                        self._rounds[-1].checks if self._rounds else (),
                        verdict.confirmed,
                        verdict.gaps,
                        verdict.remarks,
                    )
                ]
            case _:
                pass

    def told(self) -> tuple[doc.Round, ...]:
        self._close()
        return tuple(self._rounds)

    def spans(self, now: float) -> list[tuple[float, float]]:
        """From when to when the deliverable was being verified; a verification that goes on ends now."""
        return [*self._spans, (self._since, now)] if self._since is not None else list(self._spans)

    def _finish(self, time: float | None) -> None:
        if self._since is not None and time is not None:
            self._spans.append((self._since, time))
        self._since = None

    def _close(self) -> None:
        """What was checked belongs to the newest round."""
        if self._checks:
            last = self._rounds[-1] if self._rounds else doc.Round(0, ())
            checks = (*last.checks, *self._checks)
            self._rounds[-1:] = [doc.Round(last.number, checks, last.confirmed, last.gaps, last.remarks)]
            self._checks = []


class _Command:
    __slots__ = ("agents", "failed", "last", "runs", "seconds")

    def __init__(self) -> None:
        self.agents: dict[str, None] = {}
        self.runs = self.failed = 0
        self.seconds = 0.0
        self.last: int | None = None


class Programs:
    """Which commands agents ran, and how they ended."""

    def __init__(self) -> None:
        self._commands: dict[str, _Command] = {}
        self._live: dict[str, _Command] = {}

    def take_in(self, record: Record) -> None:
        match record.event:
            case ev.ProgramStarted(program=program, command=words):
                command = self._commands.setdefault(one_line(shlex.join(words), 160), _Command())
                command.runs += 1
                command.last = None
                if len(command.agents) < MOST_RUNNERS:
                    command.agents[name_of(record.agent)] = None
                self._live[program] = command
            case ev.ProgramEnded(program=program, exit_code=code, seconds=seconds):
                command = self._live.pop(program, None)
                if command is not None:
                    command.seconds += seconds
                    command.last = code
                    command.failed += code not in (0, None)
            case _:
                pass

    def told(self) -> tuple[doc.Program, ...]:
        """The commands that were run most."""
        most = sorted(self._commands.items(), key=lambda item: -item[1].runs)[:MOST_COMMANDS]
        return tuple(
            doc.Program(words, it.runs, it.failed, round(it.seconds, 2), it.last, tuple(it.agents))
            for words, it in most
        )


class Interventions:
    """What the supervisor, people and the engine did to the run."""

    def __init__(self) -> None:
        self._told: list[doc.Intervention] = []
        self._asked: dict[str, str] = {}  # approvals: id -> tool
        self.count = 0

    def take_in(self, record: Record) -> None:
        match record.event:
            case ev.AgentNudged(id=id, sign=sign, action=action, detail=detail):
                self._add(record, "supervisor", id, f"{action}: {sign}", detail)
            case ev.MailSetAside(reason=reason):
                self._add(record, "supervisor", record.agent, "mail set aside", reason)
            case ev.HumanSpoke(action=action, text=text):
                self._add(record, "person", "", action, text)
            case ev.QuestionAnswered(text=text, by="person"):
                self._add(record, "person", record.agent, "answered a question", text)
            case ev.ApprovalAsked(id=id, tool=tool):
                self._asked[id] = tool
            case ev.ApprovalAnswered(id=id, ruling=ruling, remark=remark, by=by):
                said = {"approve": "approved", "refuse": "refused"}[ruling]
                self._add(record, by, record.agent, f"{said} {self._asked.pop(id, 'a call')}", remark)
            case ev.RunPaused(reason=reason, by="engine"):
                self._add(record, "engine", "", "the run was paused", reason)
            case ev.AgentPaused(id=id, reason=reason):
                self._add(record, "engine", id, "paused, with all below it", reason)
            case ev.BudgetRaised(agent=agent):
                self._add(record, "person", agent or "", "new caps", _caps(record.event))
            case _:
                pass

    def told(self) -> tuple[doc.Intervention, ...]:
        return tuple(self._told)

    def _add(
        self, record: Record, by: Literal["supervisor", "person", "engine"], whom: AgentId, what: str, detail: str
    ) -> None:
        self.count += 1
        detail = "" if detail.startswith(MARKER) else detail  # a long text that was left where it is
        if len(self._told) < MOST_INTERVENTIONS:
            name = name_of(whom) if whom else ""
            self._told.append(doc.Intervention(record.time, by, name, one_line(what), one_line(detail, 400)))


def _caps(raised: ev.BudgetRaised) -> str:
    caps = {
        "tokens": raised.tokens, "dollars": raised.cost, "seconds": raised.seconds, "steps": raised.steps,
        "bytes": raised.disk,
    }  # fmt: skip
    return ", ".join(f"{value:,} {unit}" for unit, value in caps.items() if value is not None)


class Repairs:
    """What went wrong and was put right, counted.

    Attributes:
        doubtful: tokens of failed attempts that may have to be paid for.
        refused: of each agent, calls that were refused or came to nothing.
    """

    def __init__(self) -> None:
        self.doubtful = 0
        self.refused: Counter[AgentId] = Counter()
        self._counts: Counter[str] = Counter()

    def take_in(self, record: Record) -> None:
        event = record.event
        if isinstance(event, ev.CallRetried | ev.CallFailed):
            self.doubtful += event.tokens
            self.refused[record.agent] += 1
        elif isinstance(event, ev.ToolReturned) and not event.ok:
            self.refused[record.agent] += 1
        what = went_wrong(event)
        if what is not None:
            self._counts[what] += 1

    def told(self) -> tuple[doc.Repair, ...]:
        """In the order of their words."""
        return tuple(doc.Repair(what, count) for what, count in sorted(self._counts.items()))


def went_wrong(event: ev.Event) -> str | None:
    """What went wrong and was put right, in words; None when nothing did."""
    match event:
        case ev.CallRetried(fault=fault):
            return f"model call tried again after {fault}"
        case ev.CallRerouted(model=model, instead_of=instead_of):
            return f"{one_line(model, 64)} asked in place of {one_line(instead_of, 64)}"
        case ev.CircuitChanged(endpoint=endpoint, position="open"):
            return f"{one_line(endpoint, 64)} left alone for a while, since it was out of order"
        case ev.ModelAnswered(repairs=repairs) if repairs:
            return "model answer mended"
        case ev.AgentCorrected():
            return "bare text without a tool call corrected"
        case ev.TurnRefused(how=how):
            return f"{how} refused"
        case ev.ToolReturned(ok=False, tool=tool):
            return f"{one_line(tool, 64)} answered with an error"
        case ev.ConflictMet():
            return "conflict met"
        case ev.FileCommitted(merged=True):
            return "write merged with another's"
        case ev.FileCommitted(settles=True):
            return "conflict settled"
        case ev.WorkReviewed(verdict="return"):
            return "work returned by a reviewer"
        case ev.AgentNudged(sign=sign, action=action):
            return f"supervisor: {sign} ({action})"
        case _:
            return None
