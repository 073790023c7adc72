"""Recall: searching an agent's own past and what the organization has said and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from megaagent import events as ev
from megaagent.events import AgentId, Record, name_of
from megaagent.organization.files import Blocking

HITS = 12


class Searcher(Protocol):
    """The part of a journal's reader that recall needs."""

    def search(self, query: str, *, agent: AgentId | None = None, limit: int = 20) -> Sequence[tuple[Record, str]]: ...


class Memory:
    """What `recall` asks.

    Args:
        read: opens the journal for searching.
        blocking: runs a function that blocks.
    """

    def __init__(self, read: Callable[[], Searcher], blocking: Blocking):
        self._read = read
        self._blocking = blocking

    async def recall(self, agent: AgentId, query: str) -> str:
        """Words on what fits the query best, newest of equals first."""
        hits = await self._blocking(lambda: list(self._read().search(query, agent=agent, limit=HITS)))
        if not hits:
            return "Nothing of yours and nothing that was shared fits these words."
        return "\n".join(f"[{name_of(record.agent)}, {_what(record.event)}] {snippet}" for record, snippet in hits)


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
