"""The independent judge of a run that was killed: does what is left keep the promises P1 to P6?

It shares no code with the engine. It reads the journal's tables through sqlite3 and JSON, the provider's own bill, the
Git store through the `git` command, and the effects that a user's tool left outside; what it knows of their meaning
is what the design says of facts.

P1  no answer that is in the journal was bought again, and nothing was bought without an intent
P2  every message is there once, was read once by each receiver, and in order
P3  every acknowledged write is in a reachable commit with its content; no line that somebody kept is gone
P4  every answer's calls have all their results, in order; no step is half recorded; no effect happened twice
P5  the run ended completed, with its deliverable
P6  one engine at a time

Of a run whose journal was cut short, as a power cut can, the promises are asked of what is left: it is the beginning of
what was there, without a torn transaction, and every commit that it has lost is a fact again, and reported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns.evidence import Git, Row, entries, read_journal

ENGINE, VERIFIER = "engine:", "verifier:"
KEPT = "keep "  # how a line begins that no part of the story takes away

# What a tool leaves in the journal; the same transaction holds the result of its call.
EFFECTS = frozenset(
    {
        *("MessageSent", "AgentRecruited", "AssignmentOpened", "WorkReported", "WorkReviewed", "ChecklistChanged"),
        *("FileCommitted", "ConflictMet", "ProgramEnded", "TurnRefused", "AgentRetired"),
    }
)


@dataclass
class Step:
    """The rows of one agent's step, from its answer on."""

    answer: Row
    rest: list[Row] = field(default_factory=list[Row])

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.answer.event.get("calls", [])


def check(run: Path, bill: Path, effects: Path, *, ended: bool, cut: Sequence[Row] = ()) -> list[str]:
    """What is wrong, each with the promise that it breaks.

    Args:
        run: the run's folder.
        bill: a line of JSON for each answer that the provider gave: `whole` and `kept`, hashes of the request.
        effects: a line of JSON for each effect of `deposit`, with its `key`.
        ended: the run is over; otherwise its engine was just killed, and only what holds at any time is asked for.
        cut: the rows that there were before the journal was cut short, if it was.
    """
    rows = read_journal(run / "journal.db")
    billed = entries(bill)
    steps = _steps(rows)
    found = [
        *engines(rows),
        *purchases(rows, billed, ended, cut=bool(cut)),
        *messages(rows, steps, ended),
        *half_steps(rows, steps, ended),
        *outside_effects(steps, entries(effects), cut=bool(cut)),
        *writes(rows, steps, Git(run / "workspace.git"), ended, cut=bool(cut)),
    ]
    if cut:
        found += losses(rows, cut, ended)
    if ended:
        found += ending(rows, run)
    return found


def _steps(rows: Iterable[Row]) -> dict[tuple[str, int], Step]:
    """The answered steps of agents, with what followed each."""
    steps: dict[tuple[str, int], Step] = {}
    for row in rows:
        if row.step == 0 or row.agent.endswith(":"):
            continue
        if row.kind == "ModelAnswered" and "/" not in row.event["call"].partition("#")[2]:
            steps.setdefault((row.agent, row.step), Step(row))
        elif (row.agent, row.step) in steps:
            steps[row.agent, row.step].rest.append(row)
    return steps


# -- P6: engines ------------------------------------------------------------------------------------------------------


def engines(rows: Sequence[Row]) -> Iterator[str]:
    """Positions without holes, epochs that never decrease, each begun by a start or a resume."""
    epoch = 0
    for number, row in enumerate(rows, 1):
        if row.position != number:
            yield f"P6: row {number} is missing, row {row.position} is there"
            return
        if row.epoch < epoch:
            yield f"P6: row {row.position} is of epoch {row.epoch}, after rows of epoch {epoch}"
        if row.epoch > epoch and row.kind != ("RunStarted" if number == 1 else "RunResumed"):
            yield f"P6: epoch {row.epoch} begins with {row.kind} at row {row.position}"
        epoch = max(epoch, row.epoch)


# -- P1: purchases ----------------------------------------------------------------------------------------------------


def purchases(rows: Sequence[Row], billed: Sequence[dict[str, Any]], ended: bool, *, cut: bool) -> Iterator[str]:
    """The journal's calls against the provider's bill, request by request; a cut journal has not all of them."""
    intended, answered, crashed = Counter[str](), Counter[str](), Counter[str]()
    open_calls: dict[str, Row] = {}
    calls = Counter[str]()
    newest = rows[-1].epoch if rows else 0
    for row in rows:
        match row.kind:
            case "CallIntended":
                intended[row.event["request"]] += 1
                if row.event["call"] in open_calls:
                    crashed[open_calls[row.event["call"]].event["request"]] += 1
                open_calls[row.event["call"]] = row
            case "ModelAnswered":
                call = row.event["call"]
                calls[call] += 1
                intent = open_calls.pop(call, None)
                if intent is None:
                    yield f"P1: row {row.position} answers {call}, for which there is no open intent"
                elif intent.epoch != row.epoch:
                    yield f"P1: {call} was intended in epoch {intent.epoch} and answered in epoch {row.epoch}"
                else:
                    answered[intent.event["request"]] += 1
            case _:
                pass
    for row in open_calls.values():
        if not ended or row.epoch < newest:
            crashed[row.event["request"]] += 1  # in flight when its engine died
    bills = Counter(b["kept"] if intended[b["kept"]] or not intended[b["whole"]] else b["whole"] for b in billed)
    yield from (f"P1: the call {call} has {count} answers" for call, count in calls.items() if count > 1)
    yield from (f"P1: the request {r} was answered {count} times" for r, count in answered.items() if count > 1)
    for request, count in bills.items() if not cut else ():
        if not intended[request]:
            yield f"P1: the provider billed {request} {count} times, which nobody intended"
        elif count - answered[request] > crashed[request]:
            extra = count - answered[request]
            yield f"P1: {request} was billed {extra} times beyond its answers, {crashed[request]} were in flight"
    for request, count in answered.items():
        if bills[request] < count:
            yield f"P1: {request} has {count} answers, the provider gave {bills[request]}"


# -- P2: messages -----------------------------------------------------------------------------------------------------


def messages(rows: Sequence[Row], steps: dict[tuple[str, int], Step], ended: bool) -> Iterator[str]:
    """Who was sent what, and which answer took it in."""
    sent: dict[str, Row] = {}
    for row in rows:
        if row.kind == "MessageSent":
            id = row.event["message"]["id"]
            if id in sent:
                yield f"P2: the message {id} is there twice, rows {sent[id].position} and {row.position}"
            sent.setdefault(id, row)
            yield from _wrong_id(row, steps)
    readings: list[tuple[str, str]] = []
    yield from _readings(rows, sent, readings)
    yield from _order(sent, readings)
    yield from _said(steps)
    if ended:
        read = set(readings)
        retired = {row.event["id"] for row in rows if row.kind == "AgentRetired"}
        for id, row in sent.items():
            for receiver in row.event["message"]["to"]:
                if receiver not in retired and (receiver, id) not in read:
                    yield f"P2: {receiver} has never read {id}"


def _wrong_id(row: Row, steps: dict[tuple[str, int], Step]) -> Iterator[str]:
    """A message of a step is called after sender, step and call, so that a repetition would have the same name."""
    if row.step == 0 or row.agent.endswith(":"):
        return
    id = row.event["message"]["id"]
    found = re.fullmatch(rf"{re.escape(row.agent)}#{row.step}\.(\d+)\.\d+", id)
    step = steps.get((row.agent, row.step))
    if found is None or step is None or int(found[1]) >= max(1, len(step.calls)):
        yield f"P2: row {row.position}: the id {id} does not follow from sender, step and call"


def _readings(rows: Iterable[Row], sent: dict[str, Row], readings: list[tuple[str, str]]) -> Iterator[str]:
    """Fill in who has read which message, in the order of reading."""
    seen: set[tuple[str, str]] = set()
    carried: dict[str, list[str]] = {}
    for row in rows:
        if row.kind == "CallIntended" and row.event["purpose"] == "step":
            carried[row.event["call"]] = row.event.get("mail", [])
        elif row.kind == "ModelAnswered":
            for id in carried.pop(row.event["call"], []):
                if id not in sent or sent[id].position > row.position:
                    yield f"P2: {row.agent} read {id}, which nobody had sent"
                elif row.agent not in sent[id].event["message"]["to"]:
                    yield f"P2: {row.agent} read {id}, which is not for it"
                if (row.agent, id) in seen:
                    yield f"P2: {row.agent} read {id} twice, again at row {row.position}"
                seen.add((row.agent, id))
                readings.append((row.agent, id))


def _order(sent: dict[str, Row], readings: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Mail of one sender is read in the order in which it was sent; `readings` are receiver and message, as read."""
    newest: dict[tuple[str, str], int] = {}
    for receiver, id in readings:
        if id not in sent:
            continue
        pair = sent[id].event["message"]["sender"], receiver
        if newest.get(pair, 0) > sent[id].position:
            yield f"P2: {receiver} read {id} after younger mail from {pair[0]}"
        newest[pair] = max(newest.get(pair, 0), sent[id].position)


def _said(steps: dict[tuple[str, int], Step]) -> Iterator[str]:
    """A talk that was acknowledged is a message, once."""
    for (agent, number), step in steps.items():
        results = {row.event["index"]: row for row in step.rest if row.kind == "ToolReturned"}
        for index, call in enumerate(step.calls):
            if call["name"] != "talk" or index not in results or not results[index].event.get("ok", True):
                continue
            words = json.loads(call["arguments"])["message"]
            said = [r for r in step.rest if r.kind == "MessageSent" and r.event["message"]["text"] == words]
            if len(said) != 1:
                yield f"P2: call {index} of {agent}#{number} said {words!r}, which is there {len(said)} times"


# -- P4: steps --------------------------------------------------------------------------------------------------------


def half_steps(rows: Sequence[Row], steps: dict[tuple[str, int], Step], ended: bool) -> Iterator[str]:
    """Results in order, all of them when the run is over, and no effect without its result."""
    left = {row.event["id"]: row.position for row in rows if row.kind == "AgentRetired"}
    for (agent, number), step in steps.items():
        name = f"{agent}#{number}"
        results = [row.event for row in step.rest if row.kind == "ToolReturned"]
        if [result["index"] for result in results] != list(range(len(results))):
            yield f"P4: the results of {name} are those of the calls {[result['index'] for result in results]}"
        elif [r["call_id"] for r in results] != [call["id"] for call in step.calls][: len(results)]:
            yield f"P4: the results of {name} do not answer its calls"
        if ended and agent not in left and len(results) < len(step.calls):
            yield f"P4: {name} made {len(step.calls)} calls and has {len(results)} results"
        if ended and not step.calls and not {"AgentCorrected", "TurnEnded"} & {row.kind for row in step.rest}:
            yield f"P4: nothing followed from {name}, an answer without calls"
        yield from _alone(name, step, left.get(agent))


def _alone(name: str, step: Step, left: int | None) -> Iterator[str]:
    """Effects that stand in another transaction than the result of their call, or in no step's order."""
    closing = "ToolReturned" if step.calls else "TurnEnded"
    rows = step.rest
    for index, row in enumerate(rows):
        if row.kind not in EFFECTS or (left is not None and row.position > left):
            continue
        end = next((other for other in rows[index:] if other.kind == closing), None)
        if end is None:
            yield f"P4: row {row.position}: {row.kind} of {name} is there without the result of its call"
        elif (end.time, end.epoch) != (row.time, row.epoch):
            yield f"P4: rows {row.position} and {end.position}: one call of {name} was recorded in two parts"


def outside_effects(
    steps: dict[tuple[str, int], Step], effects: Sequence[dict[str, Any]], *, cut: bool
) -> Iterator[str]:
    """The user's tool did what it was called for once, and never without a call that a cut journal may have lost."""
    done = Counter(effect["key"] for effect in effects)
    asked = set[str]()
    for (agent, number), step in steps.items():
        results = {row.event["index"]: row.event for row in step.rest if row.kind == "ToolReturned"}
        for index, call in enumerate(step.calls):
            if call["name"] != "deposit":
                continue
            key = json.loads(call["arguments"])["key"]
            asked.add(key)
            result = results.get(index)
            if result is not None and result.get("ok", True) and not done[key]:
                yield f"P4: deposit {key} of {agent}#{number} was acknowledged and has no effect"
    if cut:
        return
    yield from (f"P4: deposit {key} was made {count} times" for key, count in done.items() if count > 1)
    yield from (f"P4: deposit {key} was made, nobody called for it" for key in done.keys() - asked)


# -- P3: writes -------------------------------------------------------------------------------------------------------


def writes(
    rows: Sequence[Row], steps: dict[tuple[str, int], Step], git: Git, ended: bool, *, cut: bool
) -> Iterator[str]:
    """The journal's files against the Git store."""
    try:
        history = git.history()
        commits = [row for row in rows if row.kind == "FileCommitted"]
        contents = list(git.contents([f"{row.event['revision']}:{row.event['path']}" for row in commits]))
        if ended:
            git.run("fsck", "--connectivity-only", "--no-dangling", "main")
    except OSError as error:
        if rows:
            yield f"P3: the store cannot be read: {error}"
        return
    place = {revision: index for index, (revision, _) in enumerate(history)}
    for row, data in zip(commits, contents, strict=True):
        path, revision = row.event["path"], row.event["revision"]
        if revision not in place:
            yield f"P3: row {row.position}: the commit {revision} of {path} is not on the branch"
        elif (None if data is None else hashlib.sha256(data).hexdigest()) != row.event.get("digest"):
            yield f"P3: row {row.position}: {path} at {revision} is not what was acknowledged"
    yield from _unknown_commits(history, rows, commits, ended, cut)
    yield from _lost_lines(steps, git, cut)


def _unknown_commits(
    history: Sequence[tuple[str, dict[str, str]]], rows: Sequence[Row], commits: Sequence[Row], ended: bool, cut: bool
) -> Iterator[str]:
    """Each call made one commit, and in the end the journal knows of every one."""
    recorded = {row.event["revision"]: row for row in commits}
    adopted = {id for row in rows if row.kind == "RunResumed" for id in row.event.get("adopted", [])}
    seen: dict[tuple[str, ...], str] = {}
    for revision, trailers in history[1:]:
        stamp = tuple(trailers.get(key, "") for key in ("Agent", "Step", "Call"))
        if stamp in seen and seen[stamp] not in adopted:  # what a lost step has done may be done again
            yield f"P3: the commits {seen[stamp]} and {revision} are both by {'#'.join(stamp)}"
        seen[stamp] = revision
        row = recorded.get(revision)
        if row is None:
            if ended:
                yield f"P3: the commit {revision} by {'#'.join(stamp)} is in no row"
        elif not cut and (row.agent, str(row.step)) != stamp[:2]:  # a lost write that is made again changes nothing
            yield f"P3: row {row.position} says that {row.agent}#{row.step} made {revision}, the commit {stamp}"


def _lost_lines(steps: dict[tuple[str, int], Step], git: Git, cut: bool) -> Iterator[str]:
    """Lines that an acknowledged call wrote and that are to stay."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for step in steps.values():
        results = {row.event["index"]: row.event for row in step.rest if row.kind == "ToolReturned"}
        for index, call in enumerate(step.calls):
            if index not in results or not results[index].get("ok", True):
                continue
            if call["name"] in ("write_file", "edit_file"):
                arguments = json.loads(call["arguments"])
                words = arguments.get("content") or arguments.get("new", "")
                wanted[arguments["path"]] |= {line for line in words.splitlines() if line.startswith(KEPT)}
    paths = sorted(wanted)
    for path, data in zip(paths, git.contents([f"main:{path}" for path in paths]), strict=True):
        lines = Counter((data or b"").decode(errors="replace").splitlines())
        for line in sorted(wanted[path]):
            if lines[line] != 1 and not (cut and lines[line]):  # what was lost may have been added again
                yield f"P3: {path}: the line {line!r} is there {lines[line]} times"


# -- a journal that was cut short -------------------------------------------------------------------------------------


def losses(rows: Sequence[Row], before: Sequence[Row], ended: bool) -> Iterator[str]:
    """What is left is how the journal began, and what it has lost of the shared files is told."""
    newest = before[-1].epoch
    left = [row for row in rows if row.epoch <= newest]
    if left != list(before[: len(left)]):
        yield "P4: what is left of the cut journal is not how it began"
        return
    if (
        left
        and len(left) < len(before)
        and (before[len(left)].epoch, before[len(left)].time)
        == (
            left[-1].epoch,
            left[-1].time,
        )
    ):
        yield f"P4: the cut tore the transaction of row {left[-1].position}"
    if not ended:
        return
    answered = {(row.agent, row.step) for row in left if row.kind == "ModelAnswered"}
    told = {id for row in rows if row.kind == "RunResumed" for id in row.event.get("adopted", [])}
    for row in before[len(left) :]:
        lost = row.kind == "FileCommitted" and (row.agent, row.step) not in answered
        if lost and row.event["revision"] not in told:
            yield f"P3: the commit {row.event['revision']} of the lost row {row.position} is not reported"


# -- P5: the end ------------------------------------------------------------------------------------------------------


def ending(rows: Sequence[Row], run: Path) -> Iterator[str]:
    """It ended as completed, and what it made lies there as files."""
    last = rows[-1] if rows else None
    if last is None or last.kind != "RunEnded" or last.event["status"] != "completed":
        yield f"P5: the run did not end completed: its last row is {last and (last.kind, last.event)}"
        return
    git, folder = Git(run / "workspace.git"), run / "deliverable"
    if git.run("rev-parse", "main").decode().strip() != last.event["revision"]:
        yield "P5: the branch is not where the run ended"
    paths = git.run("ls-tree", "-r", "--name-only", "-z", last.event["revision"]).decode().split("\0")[:-1]
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if sorted(paths) != there:
        yield f"P5: the deliverable has the files {there}, its revision {paths}"
        return
    for path, data in zip(paths, git.contents([f"{last.event['revision']}:{path}" for path in paths]), strict=True):
        if (folder / path).read_bytes() != data:
            yield f"P5: {path} of the deliverable is not as it was committed"
    report = run / "report.md"
    if not report.exists() or "ended as **completed**" not in report.read_text():
        yield "P5: there is no report of the end"
