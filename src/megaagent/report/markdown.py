"""The report of a run as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from megaagent.events import name_of
from megaagent.organization.members import Member
from megaagent.organization.state import State
from megaagent.report.outline import Outline


def markdown(outline: Outline) -> str:
    """The report of a run, ended or not."""
    return "\n".join(_lines(outline)) + "\n"


def _lines(outline: Outline) -> Iterator[str]:
    began, state = outline.began, outline.state
    assert began is not None
    run = state.run
    ending = run.ending
    yield f"# {one_line(began.scenario or 'Run')}: {ending.status if ending else 'not ended'}"
    yield ""
    if run.simulated:
        yield "**This was a simulation: no model was asked. Answers, tokens, times and costs are made up by a script.**"
        yield ""
    if outline.damage is not None:
        yield f"**The journal is damaged; this is what could be read of it.** {one_line(outline.damage, 2000)}"
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
    yield from (f"- {line}" for line in _figures(outline))
    yield "\n## The organization\n"
    if "boss" in state.members:
        yield from _tree(state, state.members["boss"], 0)
    yield "\n## Checks\n"
    yield from _checks(outline)
    yield "\n## What went wrong and was put right\n"
    repairs = outline.repairs.told()
    yield from (f"- {repair.count} × {one_line(repair.what)}" for repair in repairs)
    if not repairs:
        yield "Nothing."


def _figures(outline: Outline) -> Iterator[str]:
    run = outline.state.run
    yield f"{run.agents} agents, {run.steps} model calls, {run.messages} messages, {run.commits} commits"
    yield f"{outline.last - outline.first:.1f} s from the first fact to the last"
    share = run.usage.cached / run.usage.prompt if run.usage.prompt else 0.0
    yield f"{run.usage.prompt:,} prompt tokens ({share:.0%} from the cache), {run.usage.completion:,} completion tokens"
    label = "simulated cost" if run.simulated else "cost"
    unpriced = f", and {run.unpriced} calls whose price is unknown" if run.unpriced else ""
    yield f"{label} ${run.cost:.4f}{unpriced}"
    thrift = outline.thrift
    if thrift.batches:
        yield f"economy: {thrift.answered} calls went by the batch, for ${thrift.saved:.4f} less than singly"
    if outline.repairs.doubtful:
        doubtful = f"{outline.repairs.doubtful:,} tokens"
        yield f"attempts that failed and may have been paid for: {doubtful}, which stay reserved"
    overlap = outline.flights.overlapped / outline.time if outline.time else 0.0
    yield f"at least two calls in flight during {overlap:.0%} of the time"


def _tree(state: State, member: Member, depth: int) -> Iterator[str]:
    files = f"; files: {', '.join(_code(path) for path in member.files)}" if member.files else ""
    words = one_line(member.description)
    yield f"{'  ' * depth}- **{name_of(member.id)}**: {words} ({member.step} steps, ${member.cost:.4f}{files})"
    for id in member.group:
        yield from _tree(state, state.members[id], depth + 1)


def _checks(outline: Outline) -> Iterator[str]:
    for round in outline.checks.told():
        yield f"Round {round.number}:\n"
        for check in round.checks:
            mark = "passed" if check.passed else "**failed**"
            yield f"- {mark}: {one_line(check.name)}{': ' + one_line(check.output) if check.output else ''}"
        if round.confirmed is not None:
            yield f"\nVerdict: {'confirmed' if round.confirmed else 'not confirmed'}"
            yield from (f"- gap: {one_line(gap)}" for gap in round.gaps)
            yield ""


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
