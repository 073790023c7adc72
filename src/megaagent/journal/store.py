"""A journal's tables as those read them who walk it from end to end or copy it, whatever keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from megaagent.events import AnyEvent, Struct

Columns = tuple[Any, ...]  # of a row: `schema.COLUMNS`, then the chain
Content = tuple[int, Any, int]  # whether it is packed, what is kept, its size


class Unreadable(Exception):
    """The store cannot be read on; the text says why."""


class GoodRow(Struct, frozen=True):
    """A row that is as it was written.

    Attributes:
        columns: as they lie in the table, the chain last.
        contents: digests of the contents that it needs.
    """

    columns: Columns
    event: AnyEvent
    contents: tuple[str, ...]

    @property
    def position(self) -> int:
        return self.columns[0]


class Store(Protocol):
    """A journal to be read whole.

    Raises:
        Unreadable: by every method but `close`.
    """

    def rows(self) -> Iterator[Columns]:
        """Every row in the order of positions, as it lies there."""
        ...

    def moments(self, position: int, most: int) -> list[tuple[int, float, int]]:
        """Epoch, time and position of the first rows from a position on."""
        ...

    def count(self, after: int) -> int:
        """How many rows lie after a position."""
        ...

    def content(self, digest: str) -> Content | None: ...

    def digests(self) -> Iterable[str]:
        """Of every content."""
        ...

    def check(self) -> str:
        """What the store itself says is wrong with what it keeps; empty when nothing is."""
        ...

    def close(self) -> None: ...


class Target(Protocol):
    """A new journal that takes rows of another one as they are.

    Raises:
        RunError: by every method but `close`; nothing of the new journal is of use then.
    """

    def write(self, rows: Sequence[GoodRow], contents: Sequence[tuple[str, Content]]) -> None:
        """Add rows, and contents that they need and that are not there yet."""
        ...

    def finish(self, epoch: int) -> None:
        """Keep it; the next engine's epoch is the one after this."""
        ...

    def close(self) -> None:
        """Without `finish` before, what was written is of no use."""
        ...
