"""Tables that fit a terminal: a name, columns that go when there is no room, and columns that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from megaagent.cli.words import Glyphs, clean, fit, pad
from megaagent.events import Struct

Row: TypeAlias = dict[str, Any]
LEAST: Final = 12  # cells of the name
ENDLESS: Final = 10_000  # cells of a line that goes into a file


class Column(Struct, frozen=True):
    """One column: its title, what it says of a row, and its cells; one that is not kept goes when there is no room."""

    title: str
    told: Callable[[Row], str]
    cells: int
    keep: bool = False


def table(
    title: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    width: int | None,
    glyphs: Glyphs,
    *,
    least: int = 24,
    tail: tuple[str, Callable[[Row], str]] | None = None,
) -> Iterator[str]:
    """The lines of a table.

    Args:
        title: of the first column, which is each row's `name`.
        columns: the later ones go first when the terminal is narrow.
        width: cells of a line; None in a file or pipe.
        least: cells of the name before which columns go.
        tail: words that get what room is left at the end of a line.
    """
    names = [clean(str(row["name"])) for row in rows]
    wide, room = max(map(len, [title, *names])), width or ENDLESS
    shown = list(columns)

    def used() -> int:
        return sum(column.cells + 1 for column in shown)

    for column in reversed(columns):
        if min(wide, least) + used() > room and not column.keep:
            shown.remove(column)
    wide = max(min(wide, room - used()), min(LEAST, room))
    heads = "".join(f" {column.title:>{column.cells}}" for column in shown)
    yield fit(f"{pad(title, wide, glyphs)}{heads}{'  ' + tail[0] if tail else ''}", room, glyphs)
    for name, row in zip(names, rows, strict=True):
        cells = "".join(f" {column.told(row):>{column.cells}}" for column in shown)
        words = f"  {clean(tail[1](row))}" if tail else ""
        yield fit(f"{pad(name, wide, glyphs)}{cells}{words}", room, glyphs).rstrip()
