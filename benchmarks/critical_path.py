"""The critical path of a run, from its journal: the longest chain of model calls and programs that had to wait for
each other. What the engine itself took is not in it, so that the run's time can be compared with it.

A call waits for the step of its agent before it, and for the steps that sent the mail that it carries. A report that
the engine brings counts from the step that handed it in; the judge waits for the boss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, VERIFIER, AgentId, MessageId, Record, Struct


class Path(Struct, frozen=True):
    """What a run's journal says about its time.

    Attributes:
        seconds: along the critical path; `calls` are the calls on it.
        work: seconds of all model calls together.
        answers: model calls that were answered.
    """

    seconds: float
    calls: int
    work: float
    answers: int


class _At(Struct, frozen=True, order=True):
    """A point of the graph: how long the longest chain to it takes, and how many calls it has."""

    seconds: float = 0.0
    calls: int = 0


def critical_path(
    records: Iterable[Record], *, seconds: Callable[[ev.ModelAnswered], float] = lambda answer: answer.seconds
) -> Path:
    """Go through the journal once; what a call waited for stands before it.

    Args:
        seconds: how long a call took; as it was measured unless told otherwise.
    """
    ends: dict[AgentId, _At] = {}  # after the newest step of each agent
    handed_in: dict[AgentId, _At] = {}
    mail: dict[MessageId, _At] = {}
    begins: dict[str, _At] = {}  # of calls in flight
    newest = last = _At()
    work, answers = 0.0, 0
    for record in records:
        agent = record.agent
        match record.event:
            case ev.MessageSent(message=message):
                engines = record.step == 0
                known = handed_in if engines and message.kind == "report" else ends
                sender = message.sender if engines else agent
                mail[message.id] = newest if sender == ENGINE else known.get(sender, _At())
            case ev.CallIntended(call=call, mail=ids):
                own = ends.get(BOSS if agent == VERIFIER else agent, _At())
                begins[call] = max([own, ends.get(agent, _At()), *(mail.pop(id, _At()) for id in ids)])
            case ev.ModelAnswered(call=call) as answer:
                begun, took = begins.pop(call, _At()), seconds(answer)
                ends[agent] = newest = _At(begun.seconds + took, begun.calls + 1)
                work, answers = work + took, answers + 1
            case ev.ProgramEnded(seconds=took):
                before = ends.get(agent, _At())
                ends[agent] = newest = _At(before.seconds + took, before.calls)
            case ev.WorkReported():
                handed_in[agent] = ends.get(agent, _At())
            case _:
                if agent in ends:
                    newest = ends[agent]
        last = max(last, newest)
    return Path(last.seconds, last.calls, work, answers)
