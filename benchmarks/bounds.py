"""What no order of the calls of a run could have beaten, from the run's own journal.

Max(critical path, all work / C) takes it for granted that C calls can be under way from the first second to the last.
Where one agent begins alone and one agent ends alone, they cannot. With the head of a call (the longest chain that
leads to it) and its tail (the longest that follows) more can be said: whatever has to happen later than `h` seconds
after the beginning and earlier than `q` seconds before the end has at most C places for all of that time, so that

    time >= h + q + (the work that fits neither into the first h seconds nor into the last q) / C

for every h and q. h = q = 0 is work / C; the critical path is a lower bound besides. It holds for who knows all calls
beforehand (Carlier and Pinson's bound for parallel machines; see also Fernandez and Bussell 1973).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, VERIFIER, AgentId, CallId, MessageId, Record, Struct

CUTS = 40  # values of h and of q that are tried


class Call(Struct, frozen=True):
    """One answered call: its seconds, and which calls it had to wait for (their places in the list)."""

    seconds: float
    after: tuple[int, ...]


def calls_of(records: Iterable[Record]) -> list[Call]:
    """The calls of a journal and what they waited for, by the rules of `readings/critical.py`; no programs."""
    calls: list[Call] = []
    ends: dict[AgentId, int] = {}
    handed_in: dict[AgentId, int | None] = {}
    mail: dict[MessageId, int | None] = {}
    flying: dict[CallId, tuple[int, ...]] = {}
    newest: int | None = None
    for record in records:
        agent = record.agent
        match record.event:
            case ev.MessageSent(message=message):
                if record.step:
                    mail[message.id] = ends.get(agent)
                elif message.sender == ENGINE:
                    mail[message.id] = newest
                else:
                    mail[message.id] = (handed_in if message.kind == "report" else ends).get(message.sender)
            case ev.CallIntended(call=call, mail=ids):
                own = ends.get(BOSS if agent == VERIFIER else agent)
                before = {own, ends.get(agent), *map(mail.get, ids)}
                flying[call] = tuple(sorted(place for place in before if place is not None))
            case ev.ModelAnswered(call=call, seconds=seconds):
                calls.append(Call(seconds, flying.pop(call)))
                ends[agent] = newest = len(calls) - 1
            case ev.WorkReported():
                handed_in[agent] = ends.get(agent)
            case _:
                newest = ends.get(agent, newest)
    return calls


def unbeatable(calls: Sequence[Call], at_once: int) -> tuple[float, float]:
    """Seconds that no order of these calls with so many at once could beat, and the critical path alone."""
    heads = [0.0] * len(calls)
    tails = [0.0] * len(calls)
    for place, call in enumerate(calls):
        heads[place] = max((heads[before] + calls[before].seconds for before in call.after), default=0.0)
    for place in range(len(calls) - 1, -1, -1):
        for before in calls[place].after:
            tails[before] = max(tails[before], tails[place] + calls[place].seconds)
    path = max(head + call.seconds for head, call in zip(heads, calls, strict=True))
    best = path
    for h in _cuts(path):
        late = [(call.seconds - max(0.0, h - head), tail) for head, tail, call in zip(heads, tails, calls, strict=True)]
        for q in _cuts(path):
            work = sum(max(0.0, left - max(0.0, q - tail)) for left, tail in late if left > 0.0)
            if work > 0.0:
                best = max(best, h + q + work / at_once)
    return best, path


def _cuts(path: float) -> list[float]:
    return [path / 2 * number / CUTS for number in range(CUTS + 1)]
