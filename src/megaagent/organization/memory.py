"""Recall: searching an agent's own past and what the organization has said and reported.

What is found is put in order by several rankings at once: by the words of the query, by meaning where there is an
embedding model, and with less weight by how new it is, how much it counts, and whether it is of the same task. They are
joined by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), which needs no common scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from megaagent import events as ev
from megaagent.events import AgentId, Record, lineage, name_of, superior_of
from megaagent.journal.recall import passage, searchable, words_of
from megaagent.organization.files import Blocking

HITS = 12
POOL: Final = 48  # that each ranking brings, of which the best are told
DAMPING: Final = 60  # of the fusion, as in its paper
NEWER, WEIGHTIER, NEARER = 0.2, 0.25, 0.3  # weights of what is beside the point of the query: age, kind, task


class Searcher(Protocol):
    """The part of a journal's reader that recall needs."""

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> Sequence[tuple[Record, str]]: ...
    def record(self, position: int) -> Record | None: ...


class Nearest(Protocol):
    """What finds by meaning."""

    async def nearest(self, agent: AgentId, query: str, limit: int) -> list[int]:
        """Positions of facts, the best first."""
        ...


class Memory:
    """What `recall` asks.

    Args:
        read: opens the journal for searching.
        blocking: runs a function that blocks.
        likeness: finds by meaning; None when there is no embedding model.
    """

    def __init__(self, read: Callable[[], Searcher], blocking: Blocking, likeness: Nearest | None = None):
        self._read = read
        self._blocking = blocking
        self._likeness = likeness

    async def recall(self, agent: AgentId, query: str) -> str:
        """Words on what fits the query best."""
        near = await self._likeness.nearest(agent, query, POOL) if self._likeness is not None else []
        hits = await self._blocking(self._found, agent, query, near)
        if not hits:
            return "Nothing of yours and nothing that was shared fits these words."
        return "\n".join(f"[{name_of(record.agent)}, {_what(record.event)}] {snippet}" for record, snippet in hits)

    def _found(self, agent: AgentId, query: str, near: Sequence[int]) -> list[tuple[Record, str]]:
        reader = self._read()
        found = {record.position: (record, text) for record, text in reader.search(query, agent=agent, limit=POOL)}
        by_words = list(found)
        words = words_of(query)
        for position in near:
            record = reader.record(position) if position not in found else None
            if record is not None:
                found[position] = (record, passage(searchable(record.event), words))
        records = {position: record for position, (record, _) in found.items()}
        return [found[position] for position in in_order(agent, records, by_words, near)[:HITS]]


def in_order(
    agent: AgentId, records: Mapping[int, Record], by_words: Sequence[int], by_meaning: Sequence[int]
) -> list[int]:
    """Positions of what was found, the best first."""
    scores = dict.fromkeys(records, 0.0)
    for ranking in (by_words, by_meaning):
        for rank, position in enumerate(ranking, 1):
            if position in scores:
                scores[position] += 1 / (DAMPING + rank)
    aside: tuple[tuple[float, Callable[[int], int]], ...] = (
        (NEWER, lambda position: -position),
        (WEIGHTIER, lambda position: -_weight(records[position].event)),
        (NEARER, lambda position: not _same_task(agent, records[position])),
    )
    for weight, key in aside:
        ranks = {value: rank for rank, value in enumerate(sorted({key(position) for position in scores}), 1)}
        for position in scores:
            scores[position] += weight / (DAMPING + ranks[key(position)])
    return sorted(scores, key=lambda position: (-scores[position], -position))


def _weight(event: ev.AnyEvent) -> int:
    """How much a text counts: what was decided or handed in more than what was said on the way."""
    match event:
        case ev.WorkReported() | ev.NoteShared():
            return 3
        case ev.MessageSent(message=message):
            return 3 if message.kind in ("assignment", "review", "person") else 1
        case _:
            return 0


def _same_task(agent: AgentId, record: Record) -> bool:
    """Whether it was said by or to the agent, its superiors, its group or those below it."""
    near = {*lineage(agent), superior_of(agent)}
    whose = [record.agent]
    if isinstance(record.event, ev.MessageSent):
        whose += [record.event.message.sender, *record.event.message.to]
    return any(who in near or superior_of(who) in (agent, superior_of(agent) or agent) for who in whose)


def _what(event: ev.AnyEvent) -> str:
    match event:
        case ev.MessageSent(message=message):
            return f"{message.kind} to {', '.join(map(name_of, message.to))}"
        case ev.WorkReported():
            return "report"
        case ev.ModelAnswered():
            return "your own words"
        case _:
            return "note"
