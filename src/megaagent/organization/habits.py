"""What the supervisor remembers of each agent: a short trail of its calls, its talks, and what was done about them.

Folded from the journal like the rest of the state, in values that are replaced. They are bounded: eight steps of calls,
eight partners of talk.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence

from msgspec import field
from msgspec.structs import replace

from megaagent import events as ev
from megaagent.events import AgentId, Struct, ToolCall

WINDOW = 8  # steps looked back
REPEATS = 3  # of one call with one result, in different steps of the window
CIRCLE = 6  # messages that went back and forth between two agents while neither got anything done
CIRCLE_BLOCKED = 8
CIRCLE_RECEIVERS = 3  # a message to more is no talk between two
KEPT_DEEDS = 64
KEPT_CHATS = 8

REPETITION = "repetition"
CIRCLES = "talk in circles"
STARVING = "starving"

UNWATCHED = frozenset({"wait", "terminate", "input"})  # waiting is no loop, and the ends of turns have their own bounds
PROGRAMS = frozenset({"exec_python_file", "run_command"})  # to run them again after a change is what tests are for


class Deed(Struct, frozen=True):
    """One tool call with its result, as fingerprints."""

    step: int
    tool: str
    call: str
    result: str
    ok: bool


class Chat(Struct, frozen=True):
    """Talk between two agents since either got anything done.

    Attributes:
        turns: messages, each by the other one than the message before.
        stage: 0, then 1 both were nudged, 2 talk between them is blocked.
    """

    turns: int = 0
    last: AgentId = ""
    stage: int = 0


class Sent(Struct, frozen=True):
    """Talk of one agent in one step."""

    step: int
    messages: int
    deliveries: int


class Mark(Struct, frozen=True):
    """How often the supervisor stepped in for one sign, and in which step of the agent it last did."""

    times: int
    step: int


class Habits(Struct, frozen=True):
    """The trail of one agent.

    Attributes:
        asked: fingerprints of the calls of the last answer.
        blocked: calls that are answered with an error.
        recruited: step of the last recruiting, and how many were recruited in it.
        told: signs of which its superior was told.
        refresh: its conversation is to be replaced by a summary before its next step.
    """

    asked: tuple[str, ...] = ()
    deeds: tuple[Deed, ...] = ()
    blocked: tuple[str, ...] = ()
    chats: dict[AgentId, Chat] = field(default_factory=dict[AgentId, Chat])
    sent: tuple[Sent, ...] = ()
    recruited: tuple[int, int] = (0, 0)
    marks: dict[str, Mark] = field(default_factory=dict[str, Mark])
    told: tuple[str, ...] = ()
    refresh: bool = False

    @property
    def newest(self) -> Deed | None:
        return self.deeds[-1] if self.deeds else None

    def repeated(self) -> Deed | None:
        """The newest call, when it has brought the same result in three steps of the last eight."""
        newest = self.newest
        if newest is None:
            return None
        same = {d.step for d in self.deeds if (d.call, d.result) == (newest.call, newest.result)}
        return newest if len(same) >= REPEATS else None

    def refused(self) -> Deed | None:
        """The newest call, when it and all of that tool in at least three steps of the last eight were refused."""
        newest = self.newest
        if newest is None or newest.ok or newest.tool in PROGRAMS:  # a program that fails was not refused
            return None
        steps: set[int] = set()
        for deed in reversed(self.deeds):
            if deed.tool == newest.tool:
                if deed.ok:
                    break
                steps.add(deed.step)
        return newest if len(steps) >= REPEATS else None

    def times(self, sign: str) -> int:
        """How often the supervisor has stepped in for this sign since the agent last got anything done."""
        mark = self.marks.get(sign)
        return mark.times if mark is not None else 0

    def since(self, sign: str) -> int:
        """The agent's step when the supervisor last stepped in for this sign, or -1."""
        mark = self.marks.get(sign)
        return mark.step if mark is not None else -1


AllHabits = MutableMapping[AgentId, Habits]
NONE = Habits()


def fingerprint(call: ToolCall) -> str:
    """A short hash of what a call asks."""
    return _hash(f"{call.name}\0{call.arguments}")


def answered(habits: Habits, calls: Sequence[ToolCall]) -> Habits:
    """The agent asked for these calls."""
    return replace(habits, asked=tuple(map(fingerprint, calls)))


def returned(habits: Habits, step: int, event: ev.ToolReturned, head: str | None) -> Habits:
    """One of its calls has its result; `head` is the workspace's revision."""
    if event.tool in UNWATCHED or event.index >= len(habits.asked):
        return habits
    result = _hash(f"{event.ok}{head if event.tool in PROGRAMS else ''}\0{event.text}")
    deed = Deed(step, event.tool, habits.asked[event.index], result, event.ok)
    kept = tuple(deed for deed in habits.deeds if deed.step > step - WINDOW)
    return replace(habits, deeds=(*kept, deed)[-KEPT_DEEDS:])


def talked(all_habits: AllHabits, step: int, message: ev.Message, *, counted_only: bool = False) -> None:
    """An agent has written to others.

    Args:
        counted_only: keep how much it wrote, and not who wrote to whom in turn.
    """
    habits = all_habits.get(message.sender, NONE)
    if habits.sent and habits.sent[-1].step == step:
        *kept, before = habits.sent
    else:
        kept, before = [sent for sent in habits.sent if sent.step > step - WINDOW], Sent(step, 0, 0)
    now = Sent(step, before.messages + 1, before.deliveries + len(message.to))
    all_habits[message.sender] = replace(habits, sent=(*kept, now))
    if len(message.to) <= CIRCLE_RECEIVERS and not counted_only:
        for receiver in message.to:
            _chatted(all_habits, message.sender, receiver)


def _chatted(all_habits: AllHabits, sender: AgentId, receiver: AgentId) -> None:
    ours, theirs = all_habits.get(sender, NONE), all_habits.get(receiver, NONE)
    chat = ours.chats.get(receiver, Chat())
    if theirs.chats.get(sender) != chat:
        chat = Chat()  # one of them got something done since
    if chat.last == sender:
        return
    chat = replace(chat, turns=chat.turns + 1, last=sender)
    all_habits[sender] = replace(ours, chats=_with(ours.chats, receiver, chat))
    all_habits[receiver] = replace(theirs, chats=_with(theirs.chats, sender, chat))


def _with(chats: dict[AgentId, Chat], partner: AgentId, chat: Chat) -> dict[AgentId, Chat]:
    kept = chats.copy()
    kept.pop(partner, None)
    kept[partner] = chat  # the newest is last
    while len(kept) > KEPT_CHATS:
        del kept[next(iter(kept))]
    return kept


def progressed(habits: Habits) -> Habits:
    """It changed a file, its checklist or a debt: whatever it does again now, it does in another situation."""
    if not (habits.deeds or habits.blocked or habits.chats or habits.marks or habits.told):
        return habits
    return replace(habits, deeds=(), blocked=(), chats={}, marks={}, told=())


def advised(habits: Habits) -> Habits:
    """Its superior or a person wrote to it: it may try again what it was kept from."""
    return replace(habits, deeds=(), blocked=(), marks={}, told=())


def recruited(habits: Habits, step: int) -> Habits:
    """It has recruited one more agent."""
    last, count = habits.recruited
    return replace(habits, recruited=(step, count + 1 if last == step else 1))


def nudged(habits: Habits, event: ev.AgentNudged, step: int) -> Habits:
    """The supervisor stepped in."""
    marks = habits.marks | {event.sign: Mark(habits.times(event.sign) + 1, step)}
    told = (*habits.told, event.sign) if event.action == "report" else habits.told
    habits = replace(habits, marks=marks, told=told, refresh=habits.refresh or event.action == "refresh")
    if event.sign == REPETITION and event.action == "block":
        again = habits.repeated()
        if again is not None:
            habits = replace(habits, blocked=(*habits.blocked, again.call))
    if event.sign == CIRCLES:
        habits = replace(habits, chats={partner: next_stage(chat) for partner, chat in habits.chats.items()})
    return habits


def next_stage(chat: Chat) -> Chat:
    """What the supervisor's stepping in means for one talk."""
    return replace(chat, stage=chat.stage + 1) if goes_in_circles(chat) else chat


def goes_in_circles(chat: Chat) -> bool:
    """Whether the supervisor must step in (again): first to nudge both, then to block the talk."""
    return (chat.stage == 0 and chat.turns >= CIRCLE) or (chat.stage == 1 and chat.turns >= CIRCLE_BLOCKED)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=6).hexdigest()
