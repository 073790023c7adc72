"""The critical path of a run: the longest chain of model calls and programs that had to wait for each other.

A call waits for the step of its agent before it, and for the steps that sent the mail that it carries. A report that
the engine brings counts from the step that handed it in; other mail of the engine's own from whoever recorded the fact
right before it. The judge waits for the boss. What the engine itself took is not in the path, so that the run's time
can be compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, VERIFIER, AgentId, CallId, MessageId, Record, Struct

LONGEST: Final = 2_000  # links of the path that are told, the last ones


class Link(Struct, frozen=True):
    """One call or program on the path; `start` and `end` are seconds since 1970."""

    agent: AgentId
    step: int
    start: float
    end: float
    what: Literal["call", "program"] = "call"


class Path(Struct, frozen=True):
    """What a run's journal says about its time.

    Attributes:
        seconds: along the critical path; `calls` are the calls on it.
        work: seconds of all model calls together.
        answers: model calls that were answered.
        links: of the path, the first one first; at most `LONGEST`.
    """

    seconds: float
    calls: int
    work: float
    answers: int
    links: tuple[Link, ...] = ()


class _At:
    """A point of the graph: the longest chain that leads to it."""

    __slots__ = ("before", "calls", "link", "seconds")

    def __init__(self, seconds: float = 0.0, calls: int = 0, link: Link | None = None, before: _At | None = None):
        self.seconds = seconds
        self.calls = calls
        self.link = link
        self.before = before

    def after(self, seconds: float, link: Link) -> _At:
        """The point that a call or program of this length leads to."""
        return _At(self.seconds + seconds, self.calls + (link.what == "call"), link, self)


class _Letter:
    """Mail under way: from which point, and how many have yet to read it."""

    __slots__ = ("at", "readers")

    def __init__(self, at: _At, readers: int):
        self.at = at
        self.readers = readers


_NOWHERE: Final = _At()


class CriticalPath:
    """The fold; what a call waited for stands before it in the journal.

    Args:
        seconds: how long a call took; as it was measured unless told otherwise.
    """

    def __init__(self, seconds: Callable[[ev.ModelAnswered], float] = lambda answer: answer.seconds):
        self._seconds = seconds
        self._ends: dict[AgentId, _At] = {}  # after the newest step of each agent
        self._handed_in: dict[AgentId, _At] = {}
        self._mail: dict[MessageId, _Letter] = {}
        self._flying: dict[CallId, tuple[_At, Record]] = {}
        self._newest = self._last = _NOWHERE
        self._work = 0.0
        self._answers = 0

    def take_in(self, record: Record) -> None:
        """Fold one fact."""
        agent, ends = record.agent, self._ends
        match record.event:
            case ev.MessageSent(message=message):
                self._mail[message.id] = _Letter(self._sent(record, message), len(message.to))
            case ev.CallIntended(call=call, mail=ids):
                own = ends.get(BOSS if agent == VERIFIER else agent, _NOWHERE)
                points = [own, ends.get(agent, _NOWHERE), *(self._mail[id].at for id in ids if id in self._mail)]
                self._flying[call] = max(points, key=_length), record
            case ev.ModelAnswered(call=call) as answer:
                begun, intended = self._flying.pop(call, (_NOWHERE, record))
                self._consume(intended)
                took = self._seconds(answer)
                self._arrive(agent, begun.after(took, Link(agent, record.step, intended.time, record.time)))
                self._work += took
                self._answers += 1
            case ev.CallFailed(call=call):
                self._flying.pop(call, None)
            case ev.ProgramEnded(seconds=took):
                link = Link(agent, record.step, record.time - took, record.time, "program")
                self._arrive(agent, ends.get(agent, _NOWHERE).after(took, link))
            case ev.WorkReported():
                self._handed_in[agent] = ends.get(agent, _NOWHERE)
            case ev.RunEnded() | ev.RunResumed() | ev.RunForked():
                self._flying.clear()
            case _:
                self._newest = ends.get(agent, self._newest)

    def path(self, now: float | None = None) -> Path:
        """The path so far.

        Args:
            now: seconds since 1970; calls in flight count up to then. Without it they do not count.
        """
        last = self._last
        if now is not None:
            for begun, intended in self._flying.values():
                link = Link(intended.agent, intended.step, intended.time, now)
                last = max(last, begun.after(max(0.0, now - intended.time), link), key=_length)
        links: list[Link] = []
        at: _At | None = last
        while at is not None and at.link is not None and len(links) < LONGEST:
            links.append(at.link)
            at = at.before
        return Path(last.seconds, last.calls, self._work, self._answers, tuple(reversed(links)))

    def _sent(self, record: Record, message: ev.Message) -> _At:
        if record.step:
            return self._ends.get(record.agent, _NOWHERE)
        if message.sender == ENGINE:
            return self._newest
        known = self._handed_in if message.kind == "report" else self._ends
        return known.get(message.sender, _NOWHERE)

    def _consume(self, intended: Record) -> None:
        """Forget mail that all its receivers have read; a call that failed has read nothing."""
        for id in intended.event.mail if isinstance(intended.event, ev.CallIntended) else ():
            letter = self._mail.get(id)
            if letter is not None:
                letter.readers -= 1
                if letter.readers <= 0:
                    del self._mail[id]

    def _arrive(self, agent: AgentId, at: _At) -> None:
        self._ends[agent] = self._newest = at
        self._last = max(self._last, at, key=_length)


def critical_path(
    records: Iterable[Record], *, seconds: Callable[[ev.ModelAnswered], float] = lambda answer: answer.seconds
) -> Path:
    """Go through a journal once.

    Args:
        seconds: how long a call took; as it was measured unless told otherwise.
    """
    fold = CriticalPath(seconds)
    for record in records:
        fold.take_in(record)
    return fold.path()


def _length(at: _At) -> tuple[float, int]:
    return at.seconds, at.calls
