"""Between a fact and its row: canonical JSON, long bodies set aside, older facts understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from megaagent.events import AnyEvent, Event, Fact, Struct
from megaagent.journal.bodies import MARKED, Bodies, digest_of
from megaagent.journal.recall import searchable

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

# From a kind to what turns the JSON of an older release's fact into today's. Rows are never rewritten: their chain
# vouches for them as they were written. An upcaster leaves a fact of today's shape as it is. A kind's word is kept for
# ever: a renamed class keeps its old word as its tag.
UPCASTERS: Mapping[str, Upcaster] = MappingProxyType({})


class Row(Struct, frozen=True):
    """A fact ready to be written.

    Attributes:
        body: the event as canonical JSON, with markers in place of long bodies.
        contents: the long bodies by digest.
        words: what `recall` searches.
    """

    agent: str
    step: int
    kind: str
    body: bytes
    contents: tuple[tuple[str, bytes], ...]
    words: str


class Codec:
    """Turns facts into rows and rows into events.

    Args:
        upcasters: by kind.
    """

    def __init__(self, upcasters: Mapping[str, Upcaster] = UPCASTERS):
        self._upcasters = upcasters
        self._bodies = Bodies()
        self._encoder = msgspec.json.Encoder(order="deterministic")
        self._decoder = msgspec.json.Decoder(AnyEvent)

    def rows(self, facts: Sequence[Fact]) -> list[Row]:
        """The facts as rows.

        Raises:
            ValueError: a fact could not be read back as it is: a lone surrogate in a text, a number that is not
                finite, a field of the wrong type. What was accepted is what every later reading sees, so nothing is
                silently mended.
        """
        return [self._row(fact) for fact in facts]

    def event(self, kind: str, body: bytes, fetch: Callable[[str], bytes] | None = None) -> AnyEvent:
        """The event of a row.

        Args:
            fetch: gives a long body by its digest; without it the markers stay.

        Raises:
            msgspec.MsgspecError: it is not an event that this release knows.
        """
        upcast = self._upcasters.get(kind)
        if upcast is None:
            event = self._decoder.decode(body)
        else:
            event = msgspec.convert(upcast(msgspec.json.decode(body)), AnyEvent)  # pyright: ignore[reportArgumentType]
        return self._bodies.back(event, fetch) if fetch and MARKED in body else event

    def _row(self, fact: Fact) -> Row:
        contents: list[tuple[str, bytes]] = []

        def store(data: bytes) -> str:
            contents.append((digest_of(data), data))
            return contents[-1][0]

        kind = kind_of(type(fact.event))
        try:
            if "\0" in fact.agent or not 0 <= fact.step < 1 << 63:
                raise ValueError("its agent or step is impossible")
            fact.agent.encode()
            lean = self._bodies.out(fact.event, store)
            body = self._encoder.encode(lean)
            if self._decoder.decode(body) != lean:
                raise ValueError("it would be read back differently")
        except (ValueError, TypeError, AttributeError, msgspec.MsgspecError) as error:
            raise ValueError(f"{kind} of {fact.agent!r} in step {fact.step!r} cannot be recorded: {error}") from error
        return Row(fact.agent, fact.step, kind, body, tuple(contents), searchable(fact.event))


def kind_of(event: type[Event]) -> str:
    """The word by which the journal knows a kind of event."""
    return str(event.__struct_config__.tag)
