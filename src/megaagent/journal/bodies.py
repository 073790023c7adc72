"""Long bodies leave the row: a fold reads rows without them, and equal texts are stored once.

A string in a field of type `Body` that is longer than `LONGEST` bytes is kept as a content-addressed blob, and the row
holds a marker in its place. A string that looks like a marker is kept out of the row whatever its length, so a marker
in a row is always one of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from msgspec import inspect
from msgspec.structs import replace

from megaagent.events import AnyEvent

LONGEST = 1024  # bytes kept in the row
MARKER = "\x1ablob:"
MARKED = b"\\u001ablob:"  # how JSON writes a marker

Move = Callable[[str], str]


class Bodies:
    """Finds the bodies in events."""

    def __init__(self) -> None:
        self._plans = _plans()

    def out(self, event: AnyEvent, store: Callable[[bytes], str]) -> AnyEvent:
        """The event with long bodies replaced by markers; `store` keeps a text and gives its digest.

        Raises:
            UnicodeEncodeError: a text has lone surrogates, which no encoding can hold.
        """

        def move(text: str) -> str:
            if len(text) <= LONGEST // 4 and not text.startswith(MARKER):
                return text  # even at 4 bytes a character it is short: do not encode it to see
            data = text.encode()
            return MARKER + store(data) if len(data) > LONGEST or text.startswith(MARKER) else text

        return cast("AnyEvent", self._moved(event, move))

    def back(self, event: AnyEvent, fetch: Callable[[str], bytes]) -> AnyEvent:
        """The event as it was.

        Most rows have no marker: look for `MARKED` in a row's bytes first.
        """

        def move(text: str) -> str:
            return fetch(text.removeprefix(MARKER)).decode() if text.startswith(MARKER) else text

        return cast("AnyEvent", self._moved(event, move))

    def _moved(self, value: Any, move: Move) -> Any:
        changes: dict[str, Any] = {}
        for name, is_body in self._plans.get(type(value), ()):  # pyright: ignore[reportUnknownArgumentType]
            old = getattr(value, name)
            new = move(old) if is_body else self._moved_within(old, move)
            if new is not old:
                changes[name] = new
        return replace(value, **changes) if changes else value

    def _moved_within(self, value: Any, move: Move) -> Any:
        """A field that is no body itself: a struct with bodies, or a tuple of such."""
        if not isinstance(value, tuple):
            return self._moved(value, move)
        old = cast("tuple[Any, ...]", value)
        new = tuple(self._moved(item, move) for item in old)
        return old if all(a is b for a, b in zip(new, old, strict=True)) else new


@cache  # they follow from the types alone, and reading those takes 10 ms
def _plans() -> dict[type, tuple[tuple[str, bool], ...]]:
    """For each kind of struct the fields that lead to bodies, and whether they are such themselves."""
    plans: dict[type, tuple[tuple[str, bool], ...]] = {}
    _learn(inspect.type_info(AnyEvent), plans)
    return plans


def _learn(kind: inspect.Type, plans: dict[type, tuple[tuple[str, bool], ...]]) -> bool:
    """Work out which fields of a type lead to bodies; whether there are any."""
    match kind:
        case inspect.Metadata(type=inner):
            return _learn(inner, plans)
        case inspect.UnionType(types=types):
            return sum(_learn(each, plans) for each in types) > 0  # all of them, not only the first that has any
        case inspect.VarTupleType(item_type=item):
            return _learn(item, plans)
        case inspect.StructType(cls=cls, fields=fields):
            if cls not in plans:
                plans[cls] = ()
                plan = [(f.name, _is_body(f.type)) for f in fields if _is_body(f.type) or _learn(f.type, plans)]
                plans[cls] = tuple(plan)
            return bool(plans[cls])
        case _:
            return False


def _is_body(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.Metadata) and "body" in (kind.extra or {})  # pyright: ignore[reportUnknownMemberType]


def digest_of(data: bytes) -> str:
    """The name of a blob: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
