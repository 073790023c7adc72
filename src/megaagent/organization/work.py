"""One step's work under way: a draft of the state that the step's tools act on, and the facts that they made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from difflib import get_close_matches

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.events import ENGINE, AgentId, Fact, Message, name_of, superior_of
from megaagent.organization.members import Member
from megaagent.organization.state import State

Append = Callable[[Sequence[Fact], Sequence[bytes]], Awaitable[object]]


class Work:
    """What one step of one agent has done so far.

    Args:
        state: the organization as it is; the step sees it as it changes, with its own effects on top.
        agent, step: whose step this is.
        now: the time that the step's facts are tried with.
        append: puts facts into the journal, in one transaction.
    """

    def __init__(self, state: State, agent: AgentId, step: int, now: float, append: Append):
        self.agent = agent
        self.step = step
        self.call = 0  # index of the tool call being answered
        self.now = now
        self.draft = state.draft()
        self.ended = False
        self.carried_on = False  # the step was begun by an engine that died
        self.companions: set[str] = set()  # names recruited in the same answer
        self._facts: list[Fact] = []
        self._blobs: list[bytes] = []
        self._append = append
        self._ids = 0

    @property
    def me(self) -> Member:
        return self.draft.members[self.agent]

    def record(self, *events: ev.AnyEvent, blob: bytes | None = None) -> None:
        """Add facts of this step; the draft shows them at once."""
        facts = [Fact(self.agent, self.step, event) for event in events]
        self.draft.try_facts(facts, self.now)
        self._facts += facts
        if blob is not None:
            self._blobs.append(blob)
        self.ended = self.ended or any(isinstance(event, ev.TurnEnded) for event in events)

    async def commit(self) -> bool:
        """Put everything recorded so far into the journal, in one transaction; False when the agent has left."""
        facts, self._facts = self._facts, []
        blobs, self._blobs = self._blobs, []
        return not facts or await self._append(facts, blobs) is not False

    def new_id(self) -> str:
        """Sender, step, call, and which of the call: the same when the step is carried on after a crash."""
        self._ids += 1
        return f"{self.agent}#{self.step}.{self.call}.{self._ids}"

    def begin_call(self, index: int) -> None:
        """The tool call with this index is answered next."""
        self.call, self._ids = index, 0

    def send(self, to: Sequence[AgentId], text: str, kind: ev.MessageKind = "talk") -> None:
        """Send a message; a notice is in the engine's name, as a consequence of what this agent did."""
        sender = ENGINE if kind == "notice" else self.agent
        self.record(ev.MessageSent(Message(self.new_id(), sender, tuple(to), text, kind)))

    def find(self, name: str) -> Member:
        """The live agent called `name` (or by its path).

        Raises:
            ToolError: nobody is, or it has left; names the nearest.
        """
        member = self.look_up(name)
        if member is None:
            raise ToolError(self.unknown([name]))
        if member.retired is not None:
            raise ToolError(
                f"{name_of(member.id)} has left the organization ({member.retired}) and reads no more mail."
            )
        return member

    def look_up(self, name: str) -> Member | None:
        id = self.draft.names.get(name.strip()) or (name.strip() if name.strip() in self.draft.members else None)
        return self.draft.members[id] if id is not None else None

    def unknown(self, names: Sequence[str]) -> str:
        """Words for names that nobody has, with the nearest real ones."""
        parts: list[str] = []
        for name in names:
            near = get_close_matches(name, list(self.draft.names), n=3, cutoff=0.5)
            parts.append(f"nobody is called {name!r}" + (f" (nearest: {', '.join(near)})" if near else ""))
        around = ", ".join(name_of(id) for id in self.neighbours())
        return "; ".join(parts) + f". Around you are: {around or 'nobody yet'}."

    def left_to(self, agent: AgentId) -> tuple[str, ...] | None:
        """The tools that an agent was recruited with; None is all of its superior's."""
        return self.draft.members[agent].tools

    def neighbours(self) -> list[AgentId]:
        """The superior, the colleagues and the subordinates that are there."""
        superior = superior_of(self.agent)
        colleagues = [m.id for m in self.draft.subordinates(superior) if m.id != self.agent] if superior else []
        above = [superior] if superior else []
        return [*above, *colleagues, *(member.id for member in self.draft.subordinates(self.agent))]
