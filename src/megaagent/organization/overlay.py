"""A mapping with changes of its own over another that it leaves as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Overlay(MutableMapping[K, V]):
    """What a draft has changed, over what it shares; nothing can be taken out.

    As `collections.ChainMap` of two, but a look-up, of which a step makes hundreds, costs a third of it.
    """

    __slots__ = ("_below", "_own")

    def __init__(self, below: Mapping[K, V]):
        self._own: dict[K, V] = {}
        self._below = below

    def __getitem__(self, key: K) -> V:
        own = self._own
        return own[key] if key in own else self._below[key]

    def get(self, key: K, default: V | None = None) -> V | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        own = self._own
        return own[key] if key in own else self._below.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._below

    def __setitem__(self, key: K, value: V) -> None:
        self._own[key] = value

    def __delitem__(self, key: K) -> None:
        raise TypeError("nothing can be taken out of a draft")

    def __iter__(self) -> Iterator[K]:
        yield from self._below
        yield from (key for key in self._own if key not in self._below)

    def __len__(self) -> int:
        return len(self._below) + sum(key not in self._below for key in self._own)
