"""The vocabulary: ids, Message, and every fact that a run can record.

A fact is a small frozen struct in the past tense. The journal stores it, the organization's state, the report and the
dashboard are folds of it. A field of type `Body` may be long; the journal keeps long bodies once, content-addressed,
outside the row (design §8).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias, Union

import msgspec

AgentId: TypeAlias = str  # a path in the tree: "boss/engine/search"
MessageId: TypeAlias = str  # "<sender>#<step>.<index>"
AssignmentId: TypeAlias = str  # "<creditor>#<step>.<index>"
CallId: TypeAlias = str  # one model call: "<agent>#<step>"
Revision: TypeAlias = str  # a Git commit, 40 hex digits
Body: TypeAlias = Annotated[str, msgspec.Meta(extra={"body": True})]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

BOSS: AgentId = "boss"
ENGINE: AgentId = "engine:"  # sender of what the engine itself says; no agent can be called so
PERSON: AgentId = "person:"
VERIFIER: AgentId = "verifier:"

Tier = Literal["boss", "admin", "worker", "judge", "summarizer"]
Status = Literal["completed", "exhausted", "stopped", "failed", "stalled", "paused"]
Verdict = Literal["accept", "return", "drop"]
Ruling = Literal["approve", "refuse"]
MessageKind = Literal["talk", "assignment", "review", "report", "notice", "person"]


def name_of(agent: AgentId) -> str:
    """The one-word name at the end of an agent's path."""
    return agent.rpartition("/")[2].rstrip(":")


def superior_of(agent: AgentId) -> AgentId | None:
    """The agent one level up, or None for the boss and for what is not in the tree."""
    return agent.rpartition("/")[0] or None


@lru_cache(8192)  # it is asked several times for each fact
def lineage(agent: AgentId) -> tuple[AgentId, ...]:
    """The agent and all above it, nearest first: `boss/a/b` -> (boss/a/b, boss/a, boss)."""
    above = [agent]
    while (end := agent.rfind("/")) >= 0:
        agent = agent[:end]
        above.append(agent)
    return tuple(above)


def storable(text: str) -> str:
    """The text with what neither JSON nor a file can carry (lone surrogates, NUL) replaced by U+FFFD."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of plain frozen values. They hold no cycles, so the collector need not look at them."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag=True, tag_field="kind"):
    """Base of every fact; the class name is the kind that the journal stores."""


class Message(Struct, frozen=True):
    """What one agent said to others.

    Attributes:
        to: the receivers; the text is stored once for all of them.
        answers: the message that this one answers, if any.
    """

    id: MessageId
    sender: AgentId
    to: tuple[AgentId, ...]
    text: Body
    kind: MessageKind = "talk"
    answers: MessageId | None = None


class ToolCall(Struct, frozen=True):
    """One tool call as the model wrote it; `arguments` is the JSON text, kept byte for byte."""

    id: str
    name: str
    arguments: Body = "{}"


class Usage(Struct, frozen=True):
    """Tokens of one call, as the provider counted them.

    Attributes:
        cached: of `prompt`, read from the provider's prompt cache.
        reasoning: of `completion`, thought and not said.
        written: of `prompt`, written to the prompt cache, for which some providers ask more.
        hour: of `written`, to be kept for an hour, for which they ask more again.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    written: int = 0
    hour: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.written + other.written,
            self.hour + other.hour,
        )


class ChecklistItem(Struct, frozen=True):
    text: str
    done: bool = False


# -- the run ------------------------------------------------------------


class RunStarted(Event, frozen=True):
    """Always the first fact. `settings` is the whole frozen tree as JSON, without secrets."""

    run: str
    goal: Body
    model: str
    simulated: bool
    settings: Body
    version: str
    scenario: str | None = None
    source: str | None = None  # what --from named
    revision: Revision | None = None  # the workspace's first commit
    prices: str = ""  # the table by which costs are reckoned where the settings give no price


class RunResumed(Event, frozen=True):
    """The engine was started again on this journal.

    Attributes:
        lost: programs that died with the last engine.
        adopted: commits on the branch of which the journal knew nothing any more, since its end was lost; their facts
            follow.
    """

    version: str
    lost: tuple[str, ...] = ()
    adopted: tuple[Revision, ...] = ()


class RunForked(Event, frozen=True):
    """The facts up to here are those of another run, the first `position` of its journal; from here on it goes its way.

    What was in flight stays with the parent. Model and settings hold from here on; `settings` is as in `RunStarted`.
    """

    run: str
    parent: str
    position: int
    model: str
    simulated: bool
    settings: Body
    version: str


class RunRepaired(Event, frozen=True):
    """The facts up to here are what could be saved of the damaged journal of `parent`.

    Attributes:
        position: of the first bad row there; None when none could be named.
        problem: what is wrong with it.
        rows: that were lost.
        commits: on the branch that no saved fact speaks of.
    """

    parent: str
    position: int | None
    problem: str
    rows: int = 0
    commits: tuple[Revision, ...] = ()


class RunPaused(Event, frozen=True):
    """No new step until `RunUnpaused`. When the engine paused and nobody is attached, the run ends as paused."""

    reason: str
    by: Literal["person", "engine"] = "engine"


class RunUnpaused(Event, frozen=True):
    reason: str = ""


class RunEnded(Event, frozen=True):
    """Always the last fact of an ended run."""

    status: Status
    reason: str
    text: Body = ""
    revision: Revision | None = None
    gaps: tuple[str, ...] = ()


class StateDigested(Event, frozen=True):
    """The live engine's state after the fact at `position`, hashed, so that a replay can prove that it folds alike."""

    position: int
    digest: str


# -- agents and debts ------------------------------------------------------------


class AgentRecruited(Event, frozen=True):
    """An agent has joined the group of the one above it.

    Attributes:
        asked: the name that the recruiter wanted, when it was taken and changed.
        tools: by name or pattern, that it and those below it may use at most; None is all that its superior may.
    """

    id: AgentId
    description: str
    prompt: Body
    tier: Tier = "worker"
    asked: str | None = None
    tools: tuple[str, ...] | None = None


class AgentRetired(Event, frozen=True):
    id: AgentId
    reason: str


class AgentPaused(Event, frozen=True):
    """No new step in this agent's subtree until `AgentUnpaused`."""

    id: AgentId
    reason: str


class AgentUnpaused(Event, frozen=True):
    id: AgentId


class AssignmentOpened(Event, frozen=True):
    id: AssignmentId
    debtor: AgentId
    creditor: AgentId
    task: Body


class WorkReported(Event, frozen=True):
    """The agent handed in: its open assignments are now owed a review. `forced` when the engine handed in for it."""

    assignments: tuple[AssignmentId, ...]
    report: Body
    forced: bool = False


class WorkReviewed(Event, frozen=True):
    assignment: AssignmentId
    verdict: Verdict
    remarks: Body = ""


class AssignmentFailed(Event, frozen=True):
    assignment: AssignmentId
    reason: str


class ReviewOpened(Event, frozen=True):
    """Everyone whom the admin waited for has reported or can do no more; the admin was woken with the facts."""

    admin: AgentId
    reported: tuple[AgentId, ...]
    quiet: tuple[AgentId, ...] = ()


# -- messages ------------------------------------------------------------


class MessageSent(Event, frozen=True):
    message: Message


class MailSetAside(Event, frozen=True):
    """Mail that the agent could not digest; the sender and the superior were told."""

    ids: tuple[MessageId, ...]
    reason: str


# -- one step ------------------------------------------------------------


class CallIntended(Event, frozen=True):
    """Written before a call is paid for.

    Attributes:
        request: hash of the request as it will be sent, without the part that is not kept.
        mail: the messages that the request carries.
        tokens, cost: what was reserved, in tokens and US dollars.
    """

    call: CallId
    purpose: Literal["step", "verify", "summary"]
    model: str
    request: str
    mail: tuple[MessageId, ...] = ()
    tokens: int = 0
    cost: float = 0.0


class CallRetried(Event, frozen=True):
    """An attempt failed and another will be made after `wait` seconds.

    Attributes:
        tokens, cost: what stays reserved for the attempt that failed, since it may have been paid for.
    """

    call: CallId
    attempt: int
    fault: str
    detail: str
    wait: float = 0.0
    tokens: int = 0
    cost: float = 0.0


class CallFailed(Event, frozen=True):
    """No attempt succeeded; the reservation is returned and the mail stays unread.

    Attributes:
        tokens, cost: what stays reserved for the last attempt, since it may have been paid for; of a call that was
            called off everything does.
    """

    call: CallId
    fault: str
    detail: str
    tokens: int = 0
    cost: float = 0.0


class CallRerouted(Event, frozen=True):
    """A fallback is asked in place of a model that is not available.

    Attributes:
        model, instead_of: each `provider:model`.
        tokens, cost: what is reserved for the call from now on.
    """

    call: CallId
    model: str
    instead_of: str
    reason: str
    tokens: int = 0
    cost: float = 0.0


class BatchIntended(Event, frozen=True):
    """Written before calls are handed to a provider by the batch; their own intents stand before it.

    Attributes:
        batch: our name of it, by which the provider knows it too where it can.
        model: `provider:model`.
    """

    batch: str
    model: str
    calls: tuple[CallId, ...]


class BatchSent(Event, frozen=True):
    """The provider has taken the batch and calls it `name`; written before anybody waits for it."""

    batch: str
    name: str


class BatchEnded(Event, frozen=True):
    """Nothing more comes of the batch; what became of its calls is recorded before.

    Attributes:
        how: "refused" it was never taken, "lost" nobody knows it, "late" it was given up, "called off" the run has
            ended.
        answered: of its calls.
    """

    batch: str
    how: Literal["ended", "refused", "lost", "late", "called off"]
    answered: int = 0
    reason: str = ""


class TextsEmbedded(Event, frozen=True):
    """Texts were made vectors of, since the agent whose fact it is recalled something.

    Attributes:
        model: `provider:model`.
        texts: how many, the query among them.
        tokens, cost: as the provider counted, in US dollars; the cost is None when the price is unknown.
        positions: of the facts whose texts they were; `digest` is of the content that holds their vectors.
    """

    model: str
    texts: int
    tokens: int
    cost: float | None = None
    positions: tuple[int, ...] = ()
    digest: str = ""


class EmbeddingFailed(Event, frozen=True):
    """The embedding model cannot be asked; from here on this engine's recall goes by words alone."""

    model: str
    fault: str
    detail: str


class CircuitChanged(Event, frozen=True):
    """The circuit breaker of an endpoint took another position.

    `open`: it is left alone; `half-open`: one call tries it.

    Attributes:
        wait: seconds from an opening to the next probe.
    """

    endpoint: str
    position: Literal["closed", "open", "half-open"]
    reason: str
    wait: float = 0.0


class ModelAnswered(Event, frozen=True):
    """The answer, before anything acts on it; consumes exactly the mail of its `CallIntended`.

    Attributes:
        cost: US dollars; None when the price of the model is unknown.
        seconds: from the first attempt to the answer.
        repairs: what had to be mended in the answer to make it valid.
        echo: what the provider wants sent back with it, in its adapter's own format.
        batch: in which it came, if it did; `saved` is by how much less than a single call it cost, in US dollars.
    """

    call: CallId
    text: Body = ""
    calls: tuple[ToolCall, ...] = ()
    reasoning: Body = ""
    finish: str = "stop"
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    seconds: float = 0.0
    repairs: tuple[str, ...] = ()
    echo: Body = ""
    batch: str = ""
    saved: float = 0.0


class ToolReturned(Event, frozen=True):
    """The answer to the call with this index in the step's answer; `ok` is False when it was refused or failed."""

    index: int
    call_id: str
    tool: str
    text: Body
    ok: bool = True


class AgentCorrected(Event, frozen=True):
    """Bare text without a call was answered with a correction."""

    text: str


class TurnEnded(Event, frozen=True):
    """The agent stopped of its own will or was parked.

    Attributes:
        names: whom it waits for.
        until: run-clock time at which it is woken without mail.
        timed: the agent asked for that time itself, so it counts as something that will happen.
    """

    how: Literal["wait", "terminate", "parked"]
    names: tuple[AgentId, ...] = ()
    reason: str = ""
    until: float | None = None
    timed: bool = False


class TurnRefused(Event, frozen=True):
    """`wait` or `terminate` was not allowed; `state` is a hash of what would have to change."""

    how: Literal["wait", "terminate"]
    reasons: tuple[str, ...]
    state: str = ""


class ChecklistChanged(Event, frozen=True):
    items: tuple[ChecklistItem, ...]


class FileCommitted(Event, frozen=True):
    """A write that is in a reachable commit. `digest` names the content's blob (None: the file was removed)."""

    path: str
    revision: Revision
    digest: str | None
    size: int = 0
    base: Revision | None = None
    merged: bool = False
    settles: bool = False  # the agent had met a conflict on this path


class ConflictMet(Event, frozen=True):
    """A write that could not be merged; the agent got both texts and nothing was changed."""

    path: str
    base: Revision | None
    theirs: Revision


class ProgramStarted(Event, frozen=True):
    program: str
    command: tuple[str, ...]
    level: str
    revision: Revision


class ProgramSpokenTo(Event, frozen=True):
    program: str
    text: Body


class ProgramEnded(Event, frozen=True):
    """`exit_code` is negative for a signal, None when the outcome is unknown (the engine died with it)."""

    program: str
    exit_code: int | None
    seconds: float = 0.0
    output: Body = ""
    cut: tuple[str, ...] = ()  # which limits cut it: "time", "output", "memory", ...


class ContextCompacted(Event, frozen=True):
    """The conversation up to and including `step` is from now on represented by `summary`."""

    step: int
    summary: Body


class NoteShared(Event, frozen=True):
    """Something that an agent's work left for all to recall."""

    text: Body


# -- supervision, verification, people ------------------------------------------------------------


class AgentNudged(Event, frozen=True):
    """The supervisor stepped in. `sign` names what it saw, `action` what it did."""

    id: AgentId
    sign: str
    action: Literal["nudge", "block", "refresh", "park", "report", "pause", "fail"]
    detail: str = ""


class VerificationOpened(Event, frozen=True):
    round: int
    revision: Revision


class CheckRun(Event, frozen=True):
    """An executed check of the deliverable."""

    name: str
    passed: bool
    output: Body = ""


class VerdictGiven(Event, frozen=True):
    round: int
    confirmed: bool
    gaps: tuple[str, ...] = ()
    remarks: Body = ""


class QuestionAsked(Event, frozen=True):
    id: str
    question: Body


class QuestionAnswered(Event, frozen=True):
    id: str
    text: Body
    by: Literal["person", "engine"]


class ApprovalAsked(Event, frozen=True):
    """A call waits for a person's word, since the settings say so. Nothing of it has been done.

    Attributes:
        id: `<agent>#<step>.<index of the call>`; what a change of a server's tools waits for begins with `mcp:`.
        arguments: as JSON, canonical: what will be done if it is approved, exactly.
        effect: what it would touch (files, commands, receivers), in the engine's words and never in the agent's.
        rule: the setting that asks for approval.
        unanswered: what holds when nobody has answered by the time `until` of the run's clock.
    """

    id: str
    tool: str
    arguments: Body = "{}"
    effect: tuple[str, ...] = ()
    rule: str = ""
    until: float = 0.0
    unanswered: Ruling = "refuse"


class ApprovalAnswered(Event, frozen=True):
    """The call may be made, or not; by the engine when nobody was there or nobody answered in time.

    Attributes:
        remark: for the agent.
    """

    id: str
    ruling: Ruling
    remark: Body = ""
    by: Literal["person", "engine"] = "person"


class ToolBegun(Event, frozen=True):
    """A call whose effects the engine cannot look up is about to be made: without its result its outcome is unknown."""

    index: int
    tool: str


class ToolsPinned(Event, frozen=True):
    """A server of tools is held to what it offers now; a change must be approved by a person.

    Attributes:
        digest: hash of what it offers, hexadecimal.
        offers: that, as JSON: name, description, schema.
    """

    server: str
    digest: str
    offers: Body


class ServerChanged(Event, frozen=True):
    """A server of tools has died, was begun again, or offers other tools than those that it is held to."""

    server: str
    position: Literal["up", "down", "changed"]
    detail: str = ""


class HumanSpoke(Event, frozen=True):
    """A person acted on the run: what was asked of the engine, in words."""

    action: str
    text: Body = ""


class BudgetRaised(Event, frozen=True):
    """New caps; None leaves a cap as it was.

    Attributes:
        agent: whose purse it is, which is set aside out of its superior's for it and all below it; None is the run.
        steps: model calls that are answered.
        disk: bytes of the run's folder.
    """

    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    agent: AgentId | None = None
    steps: int | None = None
    disk: int | None = None


AnyEvent = Union[
    RunStarted,
    RunResumed,
    RunForked,
    RunRepaired,
    RunPaused,
    RunUnpaused,
    RunEnded,
    StateDigested,
    AgentRecruited,
    AgentRetired,
    AgentPaused,
    AgentUnpaused,
    AssignmentOpened,
    WorkReported,
    WorkReviewed,
    AssignmentFailed,
    ReviewOpened,
    MessageSent,
    MailSetAside,
    CallIntended,
    CallRetried,
    CallFailed,
    CallRerouted,
    BatchIntended,
    BatchSent,
    BatchEnded,
    TextsEmbedded,
    EmbeddingFailed,
    CircuitChanged,
    ModelAnswered,
    ToolReturned,
    AgentCorrected,
    TurnEnded,
    TurnRefused,
    ChecklistChanged,
    FileCommitted,
    ConflictMet,
    ProgramStarted,
    ProgramSpokenTo,
    ProgramEnded,
    ContextCompacted,
    NoteShared,
    AgentNudged,
    VerificationOpened,
    CheckRun,
    VerdictGiven,
    QuestionAsked,
    QuestionAnswered,
    HumanSpoke,
    BudgetRaised,
    ApprovalAsked,
    ApprovalAnswered,
    ToolBegun,
    ToolsPinned,
    ServerChanged,
]


class Fact(Struct, frozen=True):
    """An event with whose it is, on its way into the journal. `step` is 0 for what happens between steps."""

    agent: AgentId
    step: int
    event: AnyEvent


class Record(Struct, frozen=True):
    """A fact with its place in the journal.

    Attributes:
        position: 1, 2, 3, ... without holes.
        epoch: which engine wrote it; each start of an engine on a journal is a new one.
        time: seconds since 1970, of the run's clock.
    """

    position: int
    epoch: int
    time: float
    agent: AgentId
    step: int
    event: AnyEvent
