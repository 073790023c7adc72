"""What the organization's state is made of: agents, their debts, why they wait, and the run itself.

Frozen values, replaced whole by the folds.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from megaagent import events as ev
from megaagent.events import AgentId, AssignmentId, ChecklistItem, Message, MessageId, Revision, Struct


class Debt(Struct, frozen=True):
    """An assignment and how it stands.

    Attributes:
        announced: the creditor was told of the report.
        returns: how often it was given back.
    """

    id: AssignmentId
    debtor: AgentId
    creditor: AgentId
    task: str
    status: Literal["open", "reported", "accepted", "dropped", "failed"] = "open"
    report: str = ""
    announced: bool = False
    returns: int = 0
    opened: float = 0.0


class Waiting(Struct, frozen=True):
    """Why an agent rests in mid-work.

    Attributes:
        timed: it asked for the time `until` itself.
        parked: the engine ended its turn; only mail wakes it.
    """

    names: tuple[AgentId, ...]
    reason: str
    until: float | None
    timed: bool
    since: float
    parked: bool = False


# Who waits for somebody, in their order. Few are kept in a tuple, which takes a fifth of the room; where there may be
# thousands each must come and go without a look at all, so from `MANY` on they are keys, which are changed in place.
Waiters = tuple[AgentId, ...] | dict[AgentId, None]
MANY = 8


class Approval(Struct, frozen=True):
    """A call that waits for a person's word; the fields are those of `ApprovalAsked`."""

    id: str
    agent: AgentId
    tool: str
    effect: tuple[str, ...]
    since: float
    until: float
    unanswered: ev.Ruling


class Purse(Struct, frozen=True):
    """What was set aside for an agent and all below it until its debts are closed; None where nothing was."""

    tokens: int | None = None
    cost: float | None = None


class Member(Struct, frozen=True):
    """One agent.

    Attributes:
        going: in the middle of a turn: it goes on without new mail.
        calls, returned: what followed or must follow from the last answer: its tool calls, and how many of them have
            their result; an answer without calls is one to be corrected or delivered.
        carried: the mail of the call in flight.
        refusals: refused ends of turn since anything of `refused_state` changed.
        nudges: how often the supervisor woke it since it last got anything done.
        failures: model calls in a row that came to nothing.
        begun: index of the last call of the answer that was about to be made and that the engine cannot look up.
        ruling: a person's last word on one of its calls.
    """

    id: AgentId
    description: str
    tier: ev.Tier = "worker"
    group: tuple[AgentId, ...] = ()
    retired: str | None = None
    inbox: tuple[Message, ...] = ()
    going: bool = False
    step: int = 0
    call: str | None = None
    carried: tuple[MessageId, ...] = ()
    calls: int = 0
    returned: int = 0
    waiting: Waiting | None = None
    handed_in: bool = False
    checklist: tuple[ChecklistItem, ...] = ()
    owes: tuple[AssignmentId, ...] = ()  # debts that are open or reported
    corrections: int = 0
    refusals: int = 0
    refused_state: str = ""
    refused_waits: int = 0
    nudges: int = 0
    failures: int = 0
    paused: str | None = None
    halted: bool = False  # it was the supervisor that paused it
    program: str | None = None
    lost: str | None = None  # a program that died with the last engine, its outcome unknown
    seen: dict[str, Revision] = field(default_factory=dict[str, Revision])
    disputed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    runs: tuple[tuple[str, int | None], ...] = ()
    usage: ev.Usage = ev.Usage()
    cost: float = 0.0
    told: tuple[str, ...] = ()  # budget marks that it has been told of
    purse: Purse | None = None
    tools: tuple[str, ...] | None = None  # by name or pattern, that its recruiter has left to it; None is all
    begun: int | None = None
    ruling: ev.ApprovalAnswered | None = None

    @property
    def acting(self) -> bool:
        """Something that it does is under way or can begin at once."""
        return self.going or self.call is not None or self.program is not None or bool(self.inbox)

    @property
    def pending(self) -> bool:
        """An answer was committed from which not all has followed yet."""
        return self.returned < self.calls


class Tally(Struct, frozen=True):
    """What an agent and everyone below it have done so far.

    Attributes:
        calls, failures: model calls that ended, and those of them that came to nothing.
        idle: answers since anyone of them changed a file, a checklist or a debt.
        reserved_tokens, reserved_cost: for calls in flight, and for those that were called off and may have been paid.
        flying: calls in flight.
        held_tokens, held_cost: what is left in purses that were set aside for some of those below.
    """

    calls: int = 0
    failures: int = 0
    tokens: int = 0
    cost: float = 0.0
    idle: int = 0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0
    flying: int = 0
    held_tokens: int = 0
    held_cost: float = 0.0


class Batch(Struct, frozen=True):
    """Calls that were handed to a provider together; `name` is the provider's, empty until it is known."""

    model: str
    calls: tuple[ev.CallId, ...]
    since: float
    name: str = ""


class RunState(Struct, frozen=True):
    """What belongs to the run and to no agent."""

    run: str = ""
    goal: str = ""
    status: Literal["new", "running", "ended"] = "new"
    simulated: bool = False  # a simulated model was asked for, or has answered
    ending: ev.RunEnded | None = None
    paused: str | None = None
    held: bool = False  # it was a person who paused it
    started: float = 0.0
    active_seconds: float = 0.0  # wall time of earlier engines, so that a resumed run does not pay for its sleep
    resumed: float = 0.0
    last: float = 0.0  # time of the newest record
    usage: ev.Usage = ev.Usage()
    cost: float = 0.0
    unpriced: int = 0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0
    steps: int = 0
    agents: int = 0
    messages: int = 0
    commits: int = 0
    head: Revision | None = None
    rounds: int = 0
    verifying: bool = False
    gaps: tuple[str, ...] = ()
    verified: Revision | None = None  # the revision that the last verdict was about
    questions: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()  # that somebody waits for now, in the order of asking
    open_debts: int = 0
    max_tokens: int | None = None
    max_cost: float | None = None
    max_seconds: float | None = None
    max_steps: int | None = None
    max_disk: int | None = None
    spent_up: str = ""  # why work was handed in as it is, when the run's own cap was met
