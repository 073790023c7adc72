"""Facts in words: the one place where the command line says what a fact means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from megaagent import events as ev
from megaagent.cli.words import Glyphs, clean, duration, fit, money, plural
from megaagent.events import AgentId, AssignmentId, Record, ToolCall, name_of

NOTEWORTHY: Final = (
    ev.RunStarted,
    ev.RunResumed,
    ev.RunForked,
    ev.RunRepaired,
    ev.RunPaused,
    ev.RunUnpaused,
    ev.RunEnded,
    ev.AgentRecruited,
    ev.AgentPaused,
    ev.AgentUnpaused,
    ev.WorkReported,
    ev.WorkReviewed,
    ev.AssignmentFailed,
    ev.MessageSent,
    ev.MailSetAside,
    ev.CallRetried,
    ev.CallFailed,
    ev.CallRerouted,
    ev.BatchIntended,
    ev.BatchEnded,
    ev.EmbeddingFailed,
    ev.CircuitChanged,
    ev.FileCommitted,
    ev.ConflictMet,
    ev.ProgramEnded,
    ev.AgentNudged,
    ev.VerificationOpened,
    ev.CheckRun,
    ev.VerdictGiven,
    ev.QuestionAsked,
    ev.QuestionAnswered,
    ev.ApprovalAsked,
    ev.ApprovalAnswered,
    ev.ServerChanged,
    ev.HumanSpoke,
    ev.BudgetRaised,
)


def noteworthy(record: Record) -> bool:
    """Whether a person who watches wants to be told.

    The engine's own mail is left out: it repeats facts that are told themselves.
    """
    event = record.event
    if isinstance(event, ev.MessageSent):
        return event.message.kind in ("talk", "person")
    if isinstance(event, ev.CallFailed):
        return event.fault != "cancelled"
    return isinstance(event, NOTEWORTHY)


class Teller:
    """Tells facts; it remembers whose each assignment is, since later facts name an assignment by its id."""

    def __init__(self, glyphs: Glyphs):
        self._glyphs = glyphs
        self._debtors: dict[AssignmentId, AgentId] = {}

    def learn(self, record: Record) -> None:
        """Keep what later facts rely on; `words` does so too."""
        if isinstance(record.event, ev.AssignmentOpened):
            self._debtors[record.event.id] = record.event.debtor

    def line(self, record: Record, since: float, width: int) -> str:
        """One fact as a line of at most `width` cells, with the time since `since` (seconds since 1970)."""
        head = f"{duration(record.time - since):>6}  "
        return fit(f"{head}{clean(name_of(record.agent))}: {self.words(record)}", width, self._glyphs)

    def words(self, record: Record) -> str:
        """What a fact says, on one line, harmless to a terminal."""
        self.learn(record)
        event = record.event
        told = _of_run(event) or self._of_debts(event) or _of_people(event, self._glyphs) or _of_step(event)
        return clean(told)

    def _of_debts(self, event: ev.AnyEvent) -> str:
        match event:
            case ev.AssignmentOpened(debtor=debtor, creditor=creditor, task=task):
                return f"{name_of(debtor)} owes {name_of(creditor)}{_after(task)}"
            case ev.WorkReported(report=report, forced=forced):
                return f"handed in{' by the engine' if forced else ''}{_after(report)}"
            case ev.WorkReviewed(assignment=assignment, verdict=verdict, remarks=remarks):
                done = {"accept": "accepted", "return": "returned", "drop": "dropped"}[verdict]
                return f"{done} {self._work(assignment)}{_after(remarks)}"
            case ev.AssignmentFailed(assignment=assignment, reason=reason):
                return f"{self._work(assignment)} failed{_after(reason)}"
            case _:
                return ""

    def _work(self, assignment: AssignmentId) -> str:
        debtor = self._debtors.get(assignment)
        return f"the work of {name_of(debtor)}" if debtor is not None else f"assignment {assignment}"


def _of_run(event: ev.AnyEvent) -> str:
    match event:
        case ev.RunStarted(run=run, model=model, simulated=simulated):
            kind = f"simulated by {model}: no model is asked" if simulated else f"model {model or 'by tier'}"
            return f"run {run} began ({kind})"
        case ev.RunResumed(lost=lost, adopted=adopted):
            missing = f"; the journal's end was lost, {plural(len(adopted), 'commit')} found again" if adopted else ""
            return "the run goes on" + (f"; {plural(len(lost), 'program')} lost" if lost else "") + missing
        case ev.RunForked(run=run, parent=parent, position=position, model=model):
            return f"forked from fact {position} of {parent} (model {model or 'by tier'}), as run {run}"
        case ev.RunRepaired(parent=parent, rows=rows, commits=commits, problem=problem):
            lost = f"{plural(rows, 'row')} and {plural(len(commits), 'commit')} lost"
            return f"repaired from {parent}, {lost}{_after(problem)}"
        case ev.RunPaused(reason=reason, by=by):
            return f"paused by the {by}: {reason}"
        case ev.RunUnpaused():
            return "the run goes on"
        case ev.RunEnded(status=status, reason=reason):
            return f"the run ended, {status}: {reason}"
        case ev.StateDigested(position=position, digest=digest):
            return f"state after fact {position}: {digest}"
        case ev.VerificationOpened(round=number):
            return f"verification, round {number}"
        case ev.CheckRun(name=name, passed=passed, output=output):
            return f"check {'passed' if passed else 'FAILED'}: {name}{_after(output)}"
        case ev.VerdictGiven(confirmed=True):
            return "verdict: confirmed"
        case ev.VerdictGiven(gaps=gaps):
            return f"verdict: not confirmed, {plural(len(gaps), 'gap')}{_after('; '.join(gaps))}"
        case ev.ToolsPinned(server=server, digest=digest):
            return f"the tools of the MCP server {server} are held to be those that it offers now ({digest[:10]})"
        case ev.ServerChanged(server=server, position=position, detail=detail):
            stand = {"up": "is up", "down": "is down", "changed": "offers other tools"}[position]
            return f"the MCP server {server} {stand}{_after(detail)}"
        case ev.HumanSpoke(action=action, text=text):
            return f"a person: {action}{_after(text)}"
        case ev.BudgetRaised(tokens=tokens, cost=cost, seconds=seconds, agent=agent, steps=steps, disk=disk):
            caps = (
                money(cost) if cost is not None else "",
                plural(tokens, "token") if tokens is not None else "",
                duration(seconds) if seconds is not None else "",
                plural(steps, "step") if steps is not None else "",
                f"{disk:,} bytes" if disk is not None else "",
            )
            whose = f" of {name_of(agent)}" if agent is not None else ""
            return f"new caps{whose}: {', '.join(cap for cap in caps if cap) or 'none'}"
        case _:
            return ""


def _of_people(event: ev.AnyEvent, glyphs: Glyphs) -> str:
    match event:
        case ev.AgentRecruited(id=id, description=description):
            return f"recruited {name_of(id)}{_after(description)}"
        case ev.AgentRetired(id=id, reason=reason):
            return f"{name_of(id)} retired{_after(reason)}"
        case ev.AgentPaused(id=id, reason=reason):
            return f"{name_of(id)} paused{_after(reason)}"
        case ev.AgentUnpaused(id=id):
            return f"{name_of(id)} goes on"
        case ev.ReviewOpened(reported=reported, quiet=quiet):
            silent = f", quiet: {_names(quiet)}" if quiet else ""
            return f"is to review {_names(reported) or 'nothing handed in'}{silent}"
        case ev.MessageSent(message=message):
            sender = "" if message.kind == "talk" else f" ({message.kind} from {name_of(message.sender)})"
            return f"{glyphs.arrow} {_names(message.to)}{sender}{_after(message.text)}"
        case ev.MailSetAside(ids=ids, reason=reason):
            return f"{plural(len(ids), 'message')} set aside{_after(reason)}"
        case ev.AgentNudged(id=id, sign=sign, action=action, detail=detail):
            return f"supervisor {glyphs.arrow} {name_of(id)}: {sign} ({action}){_after(detail)}"
        case ev.QuestionAsked(id=id, question=question):
            return f"asks [{id}]{_after(question)}"
        case ev.QuestionAnswered(id=id, text=text, by=by):
            return f"the {by} answered [{id}]{_after(text)}"
        case ev.ApprovalAsked(id=id, tool=tool, effect=effect):
            return f"waits for approval of {tool} [{id}]{_after('; '.join(effect))}"
        case ev.ApprovalAnswered(id=id, ruling=ruling, by=by, remark=remark):
            return f"the {by} {'approved' if ruling == 'approve' else 'refused'} [{id}]{_after(remark)}"
        case _:
            return ""


def _paid(tokens: int) -> str:
    return f" (possibly paid for: {tokens:,} tokens stay reserved)" if tokens else ""


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _of_step(event: ev.AnyEvent) -> str:
    match event:
        case ev.CallIntended(purpose=purpose, model=model, tokens=tokens):
            return f"asks {model} ({purpose}, {tokens:,} tokens reserved)"
        case ev.CallRetried(attempt=attempt, fault=fault, wait=wait, detail=detail, tokens=tokens):
            return f"attempt {attempt} failed, {fault}{_paid(tokens)}; again in {wait:.1f}s{_after(detail)}"
        case ev.CallFailed(fault=fault, detail=detail, tokens=tokens):
            return f"the model could not be asked, {fault}{_paid(tokens)}{_after(detail)}"
        case ev.CallRerouted(model=model, instead_of=instead_of, reason=reason):
            return f"asks {model} in place of {instead_of}{_after(reason)}"
        case ev.BatchIntended(model=model, calls=calls):
            return f"hands {_calls(len(calls))} of {model} in by the batch"
        case ev.BatchSent(name=name):
            return f"the provider has taken the batch as {name}"
        case ev.BatchEnded(how="ended", answered=answered, reason=reason):
            return f"a batch has ended with {answered:,} {'answer' if answered == 1 else 'answers'}{_after(reason)}"
        case ev.BatchEnded(how=how, reason=reason):
            return f"a batch was {how}{_after(reason)}" if how != "late" else f"a batch was given up{_after(reason)}"
        case ev.TextsEmbedded(model=model, texts=texts, tokens=tokens):
            return f"{model} made vectors of {texts:,} texts ({tokens:,} tokens)"
        case ev.EmbeddingFailed(model=model, fault=fault, detail=detail):
            return f"recall goes by words alone: {model} cannot be asked, {fault}{_after(detail)}"
        case ev.CircuitChanged(endpoint=endpoint, position=position, reason=reason):
            stand = {"open": "is left alone", "half-open": "is tried by one call", "closed": "is asked again"}[position]
            return f"{endpoint} {stand}{_after(reason)}"
        case ev.ModelAnswered() as answer:
            acts = ", ".join(act(call) for call in answer.calls)
            return f"{acts or 'said'}{_after(answer.text)} ({answer.usage.prompt + answer.usage.completion:,} tokens)"
        case ev.ToolBegun(tool=tool):
            return f"begins {tool}"
        case ev.ToolReturned(tool=tool, text=text, ok=ok):
            return f"{tool} {'answered' if ok else 'refused'}{_after(text)}"
        case ev.AgentCorrected(text=text):
            return f"corrected{_after(text)}"
        case ev.TurnEnded(how="wait", names=names, reason=reason):
            return f"waits for {_names(names) or 'mail'}{_after(reason)}"
        case ev.TurnEnded(how=how, reason=reason):
            return f"{'rests' if how == 'terminate' else 'parked'}{_after(reason)}"
        case ev.TurnRefused(how=how, reasons=reasons):
            return f"{how} refused{_after('; '.join(reasons))}"
        case ev.ChecklistChanged(items=items):
            return f"checklist: {sum(item.done for item in items)} of {len(items)} done"
        case ev.FileCommitted(path=path, size=size, digest=digest, merged=merged, revision=revision):
            what = f"wrote {path} ({size:,} bytes{', merged' if merged else ''})" if digest else f"removed {path}"
            return f"{what} at {revision[:10]}"
        case ev.ConflictMet(path=path):
            return f"met a conflict in {path}"
        case _:
            return _of_program(event)


def _of_program(event: ev.AnyEvent) -> str:
    match event:
        case ev.ProgramStarted(command=command, level=level):
            return f"started {' '.join(command)} ({level})"
        case ev.ProgramSpokenTo(text=text):
            return f"typed{_after(text)}"
        case ev.ProgramEnded(exit_code=code, seconds=seconds, output=output, cut=cut):
            how = "outcome unknown" if code is None else f"exit code {code}"
            limits = f", cut by {' and '.join(cut)}" if cut else ""
            return f"its program ended, {how} after {seconds:.1f}s{limits}{_after(output)}"
        case ev.ContextCompacted(step=step):
            return f"conversation up to step {step} was summarized"
        case ev.NoteShared(text=text):
            return f"noted{_after(text)}"
        case _:
            return type(event).__name__


def _after(text: str, most: int = 500) -> str:
    """A text of somebody else's after a colon; only its beginning, since it stands in a line."""
    beginning = clean(text[:most])
    return f": {beginning}" if beginning else ""


def _names(agents: Iterable[AgentId]) -> str:
    return ", ".join(name_of(agent) for agent in agents)


# -- one tool call ----------------------------------------------------------------------------------------------------


class _Arguments(msgspec.Struct):
    """The arguments that tell what a call is about; the others are skipped without being kept."""

    path: str = ""
    name: str = ""
    names: list[str] = []  # msgspec copies it
    to: str | list[str] = ""
    command: str = ""
    query: str = ""
    pattern: str = ""
    verdict: str = ""
    question: str = ""
    reason: str = ""


_arguments: Final = msgspec.json.Decoder(_Arguments)


def act(call: ToolCall) -> str:
    """A tool call as what the agent does: "writes search.py", "runs python -m pytest"."""
    try:
        given = _arguments.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        given = _Arguments()
    to = given.to if isinstance(given.to, str) else ", ".join(given.to)
    said = {
        "add_agent": f"recruits {given.name}",
        "assign": f"assigns to {given.name}",
        "review": f"reviews {', '.join(given.names)}",
        "talk": f"talks to {to}",
        "read_file": f"reads {given.path}",
        "list_files": f"lists {given.pattern or 'files'}",
        "search_files": f"searches {given.query}",
        "write_file": f"writes {given.path}",
        "edit_file": f"edits {given.path}",
        "exec_python_file": f"runs {given.path}",
        "run_command": f"runs {given.command}",
        "input": "types into its program",
        "stop_program": "stops its program",
        "change_task_status": "updates its checklist",
        "recall": f"recalls {given.query}",
        "ask_user": f"asks you: {given.question}",
        "wait": f"waits for {', '.join(given.names) or 'mail'}: {given.reason}",
        "terminate": "hands in",
        "verdict": "gives its verdict",
    }.get(call.name, f"calls {call.name}")
    return clean(said[:300])
