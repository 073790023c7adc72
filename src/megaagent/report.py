"""The report of a run as Markdown: one reading of its journal, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import Record, name_of
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.organization.members import Member
from megaagent.organization.state import State


def write_report(folder: RunFolder) -> None:
    """Write `report.md` into the run's folder."""
    reader = open_reader(folder.journal)
    try:
        making = folder.report.with_name(folder.report.name + ".making")
        making.write_text(report(reader.records()), encoding="utf-8")
        making.replace(folder.report)  # whole or not there: it is the sign that everything was closed
    finally:
        reader.close()


def report(records: Iterable[Record]) -> str:
    """The report of a run, ended or not.

    Args:
        records: its whole journal, with bodies.

    Raises:
        RunError: the journal does not begin as a run.
    """
    state = State()
    kept: list[Record] = []
    for record in records:
        state.apply(record)
        kept.append(record)
    if not kept or not isinstance(kept[0].event, ev.RunStarted):
        raise RunError("the journal does not begin as a run")
    return "\n".join(_lines(state, kept, kept[0].event)) + "\n"


def _lines(state: State, records: list[Record], began: ev.RunStarted) -> Iterator[str]:
    run = state.run
    ending = run.ending
    yield f"# {one_line(began.scenario or 'Run')}: {ending.status if ending else 'not ended'}"
    yield ""
    if run.simulated:
        yield "**This was a simulation: no model was asked. Answers, tokens, times and costs are made up by a script.**"
        yield ""
    yield f"Run {began.run}, MegaAgent {began.version}, model {one_line(began.model) or 'by tier'}."
    if ending is not None:
        yield f"It ended as **{ending.status}**: {one_line(ending.reason, 2000)}."
    yield ""
    yield from _quoted("The goal", began.goal)
    if ending is not None and ending.text:
        yield from _quoted("What the boss reported", ending.text)
    if ending is not None and ending.gaps:
        yield "## What is missing\n"
        yield from (f"- {one_line(gap, 2000)}" for gap in ending.gaps)
        yield ""
    yield "## Figures\n"
    yield from (f"- {line}" for line in _figures(state, records))
    yield "\n## The organization\n"
    if "boss" in state.members:
        yield from _tree(state, state.members["boss"], 0)
    yield "\n## Checks\n"
    yield from _checks(records)
    yield "\n## What went wrong and was put right\n"
    yield from _repairs(records)


def _figures(state: State, records: list[Record]) -> Iterator[str]:
    run = state.run
    yield f"{run.agents} agents, {run.steps} model calls, {run.messages} messages, {run.commits} commits"
    seconds = records[-1].time - records[0].time
    yield f"{seconds:.1f} s from the first fact to the last"
    share = run.usage.cached / run.usage.prompt if run.usage.prompt else 0.0
    yield f"{run.usage.prompt:,} prompt tokens ({share:.0%} from the cache), {run.usage.completion:,} completion tokens"
    label = "simulated cost" if run.simulated else "cost"
    unpriced = f", and {run.unpriced} calls whose price is unknown" if run.unpriced else ""
    yield f"{label} ${run.cost:.4f}{unpriced}"
    doubtful = sum(r.event.tokens for r in records if isinstance(r.event, ev.CallRetried | ev.CallFailed))
    if doubtful:
        yield f"attempts that failed and may have been paid for: {doubtful:,} tokens, which stay reserved"
    yield f"at least two calls in flight during {overlap(records):.0%} of the time"


def overlap(records: Iterable[Record]) -> float:
    """The share of a run's time in which at least two model calls were in flight, 0 to 1."""
    edges: list[tuple[float, int]] = []
    first = last = None
    for record in records:
        first = record.time if first is None else first
        last = record.time
        if isinstance(record.event, ev.CallIntended):
            edges.append((record.time, 1))
        elif isinstance(record.event, ev.ModelAnswered | ev.CallFailed):
            edges.append((record.time, -1))
    if first is None or last is None or last <= first:
        return 0.0
    busy, flying, since = 0.0, 0, first
    for time, change in sorted(edges):
        busy += (time - since) * (flying >= 2)
        flying, since = flying + change, time
    return busy / (last - first)


def _tree(state: State, member: Member, depth: int) -> Iterator[str]:
    files = f"; files: {', '.join(_code(path) for path in member.files)}" if member.files else ""
    words = one_line(member.description)
    yield f"{'  ' * depth}- **{name_of(member.id)}**: {words} ({member.step} steps, ${member.cost:.4f}{files})"
    for id in member.group:
        yield from _tree(state, state.members[id], depth + 1)


def _checks(records: Iterable[Record]) -> Iterator[str]:
    some = False
    for record in records:
        some = True
        match record.event:
            case ev.VerificationOpened(round=number):
                yield f"Round {number}:\n"
            case ev.CheckRun(name=name, passed=passed, output=output):
                mark = "passed" if passed else "**failed**"
                yield f"- {mark}: {one_line(name)}{': ' + one_line(output) if output else ''}"
            case ev.VerdictGiven(confirmed=confirmed, gaps=gaps):
                yield f"\nVerdict: {'confirmed' if confirmed else 'not confirmed'}"
                yield from (f"- gap: {one_line(gap)}" for gap in gaps)
                yield ""
            case _:
                pass
    if not some:
        yield "None."


def _repairs(records: Iterable[Record]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for record in records:
        match record.event:
            case ev.CallRetried(fault=fault):
                counts[f"model call tried again after {fault}"] += 1
            case ev.CallRerouted(model=model, instead_of=instead_of):
                counts[f"{one_line(model, 64)} asked in place of {one_line(instead_of, 64)}"] += 1
            case ev.CircuitChanged(endpoint=endpoint, position="open"):
                counts[f"{one_line(endpoint, 64)} left alone for a while, since it was out of order"] += 1
            case ev.ModelAnswered(repairs=repairs) if repairs:
                counts["model answer mended"] += 1
            case ev.AgentCorrected():
                counts["bare text without a tool call corrected"] += 1
            case ev.TurnRefused(how=how):
                counts[f"{how} refused"] += 1
            case ev.ToolReturned(ok=False, tool=tool):
                counts[f"{one_line(tool, 64)} answered with an error"] += 1
            case ev.ConflictMet():
                counts["conflict met"] += 1
            case ev.FileCommitted(merged=True):
                counts["write merged with another's"] += 1
            case ev.FileCommitted(settles=True):
                counts["conflict settled"] += 1
            case ev.WorkReviewed(verdict="return"):
                counts["work returned by a reviewer"] += 1
            case ev.AgentNudged(sign=sign, action=action):
                counts[f"supervisor: {sign} ({action})"] += 1
            case _:
                pass
    yield from (f"- {count} × {what}" for what, count in sorted(counts.items())) if counts else ("Nothing.",)


def _quoted(title: str, text: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield from (f"> {one_line(line, 2000)}" for line in text.splitlines())
    yield ""


def _code(path: str) -> str:
    """A path as code; one with a backtick in it would end that."""
    return f"`{one_line(path)}`" if "`" not in path else one_line(path)


def one_line(text: str, limit: int = 200) -> str:
    """Text of an agent's making on one line, without control characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split()).replace("<", "&lt;")
    return words if len(words) <= limit else words[: limit - 1] + "…"
