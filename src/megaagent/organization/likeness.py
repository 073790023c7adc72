"""What of the past means the same as a query: vectors of texts, made when somebody recalls and kept in the journal.

Nothing is made for a run in which nobody recalls. Vectors are a content of the fact that tells what they cost, so they
lie in the journal's file and come back from it when the run is opened again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from megaagent import events as ev
from megaagent.errors import ModelError, RunError
from megaagent.events import AgentId, Event, Fact, Record, Struct, Usage, storable
from megaagent.journal.bodies import digest_of
from megaagent.journal.recall import SHARED, searchable
from megaagent.models.prices import Price, cost_of
from megaagent.models.tokens import text_tokens
from megaagent.models.vectors import LONGEST, Embedded, Embedder, likeness
from megaagent.organization.budget import Exhausted, Ledger
from megaagent.organization.files import Blocking

MOST: Final = 20_000  # texts whose vectors are compared; older ones are found by their words
AT_ONCE: Final = 2_000  # texts that one recall makes vectors of; the newest first
KINDS: Final = (ev.MessageSent, ev.NoteShared, ev.WorkReported, ev.ModelAnswered, ev.TextsEmbedded)
SHARED_KINDS: Final = frozenset(kind for kind in KINDS if kind.__name__ in SHARED)

Append = Callable[[Sequence[Fact], Sequence[bytes]], Awaitable[object]]


class Reader(Protocol):
    """The part of a journal's reader that this needs."""

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]: ...
    def record(self, position: int) -> Record | None: ...
    def blob(self, digest: str) -> bytes | None: ...


class Source(Struct, frozen=True):
    """The embedding model of a run; `name` is `provider:model`."""

    embedder: Embedder
    name: str
    price: Price | None = None


class Likeness:
    """The texts that are most like a query.

    Args:
        read: opens the journal for reading, from the thread that `blocking` uses.
        append: puts facts into the journal, with contents.
    """

    def __init__(self, source: Source, read: Callable[[], Reader], blocking: Blocking, ledger: Ledger, append: Append):
        self._source = source
        self._read = read
        self._blocking = blocking
        self._ledger = ledger
        self._append = append
        self._lock = asyncio.Lock()
        self._seen = 0  # position up to which the journal was looked through
        self._whose: dict[int, AgentId] = {}  # of each text, who alone may find it; "" is everybody
        self._vectors: dict[int, bytes] = {}
        self._off = False

    async def nearest(self, agent: AgentId, query: str, limit: int) -> list[int]:
        """Positions of the facts whose texts are most like the query, of those that the agent may find; the best first.

        Nothing when the embedding model cannot be asked or paid: recall goes by words then.
        """
        async with self._lock:
            if self._off:
                return []
            try:
                await self._blocking(self._look)
                todo: list[tuple[int, str]] = await self._blocking(self._missing, agent)
                vector = await self._embed(agent, query, todo)
            except Exhausted:
                return []
            except ModelError as error:
                self._off = True
                facts: list[ev.AnyEvent] = []
                if error.usage is not None:  # it was paid, for nothing
                    tokens = error.usage.prompt
                    facts.append(ev.TextsEmbedded(self._source.name, 0, tokens, self._cost(tokens), (), ""))
                facts.append(ev.EmbeddingFailed(self._source.name, error.fault, storable(error.detail)))
                await self._append([Fact(agent, 0, fact) for fact in facts], ())
                return []
            return await self._blocking(self._ranked, agent, vector, limit)

    def _look(self) -> None:
        """Learn what the journal has got since."""
        reader = self._read()
        for record in reader.records(self._seen, kinds=KINDS, bodies=False):
            self._seen = record.position
            match record.event:
                case ev.TextsEmbedded(model=model, positions=positions, digest=digest):
                    known = kept(reader, digest) if digest and model == self._source.name else []
                    self._vectors.update(zip(positions, known, strict=False))
                case ev.ModelAnswered():
                    self._whose[record.position] = record.agent
                case _:
                    self._whose[record.position] = ""
        for position in sorted(self._whose)[:-MOST]:
            del self._whose[position]
            self._vectors.pop(position, None)

    def _found_by(self, agent: AgentId) -> list[int]:
        return [position for position, whose in self._whose.items() if whose in ("", agent)]

    def _missing(self, agent: AgentId) -> list[tuple[int, str]]:
        """The newest texts that the agent may find and that have no vector yet."""
        reader = self._read()
        lacking = [position for position in self._found_by(agent) if position not in self._vectors]
        texts: list[tuple[int, str]] = []
        for position in sorted(lacking, reverse=True)[:AT_ONCE]:
            record = reader.record(position)
            text = searchable(record.event).strip() if record is not None else ""
            if text:
                texts.append((position, text[:LONGEST]))
            else:
                del self._whose[position]
        return texts

    async def _embed(self, agent: AgentId, query: str, todo: Sequence[tuple[int, str]]) -> bytes:
        """The vector of the query; those of the texts are recorded with it."""
        texts = [query[:LONGEST], *(text for _, text in todo)]
        tokens = sum(map(text_tokens, texts))
        cost = self._cost(tokens)
        self._ledger.reserve(agent, tokens, cost, more=True)
        try:
            embedded = await self._source.embedder.embed(texts)
            await self._record(agent, embedded, [position for position, _ in todo])
        finally:
            self._ledger.noted(agent, tokens, cost)
        return embedded.vectors[0]

    async def _record(self, agent: AgentId, embedded: Embedded, positions: Sequence[int]) -> None:
        data = msgspec.msgpack.encode(embedded.vectors[1:])
        fact = ev.TextsEmbedded(
            self._source.name,
            len(embedded.vectors),
            embedded.tokens,
            self._cost(embedded.tokens),
            tuple(positions),
            digest_of(data) if positions else "",
        )
        await self._append([Fact(agent, 0, fact)], [data] if positions else [])
        self._vectors.update(zip(positions, embedded.vectors[1:], strict=True))

    def _cost(self, tokens: int) -> float | None:
        return cost_of(Usage(tokens), self._source.name, self._source.price)

    def _ranked(self, agent: AgentId, vector: bytes, limit: int) -> list[int]:
        near = [
            (likeness(vector, known), position)
            for position in self._found_by(agent)
            if (known := self._vectors.get(position)) is not None
        ]
        return [position for alike, position in sorted(near, reverse=True)[:limit] if alike > 0]


def kept(reader: Reader, digest: str) -> list[bytes]:
    """Vectors as a fact has kept them; none when they are damaged or were left behind by a fork: they are made anew."""
    try:
        data = reader.blob(digest)
        return msgspec.msgpack.decode(data, type=list[bytes]) if data is not None else []
    except (RunError, msgspec.MsgspecError):
        return []
