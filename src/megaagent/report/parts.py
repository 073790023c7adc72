"""What a page is put together from: texts, lists, tables that fold when they are long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from megaagent.report.picture import colour
from megaagent.report.words import markup, one_line

LONG: Final = 1_200  # characters of a text that stand open; the rest is folded
LONGEST: Final = 20_000  # characters of one text
FEW: Final = 12  # rows of a table that stand open
MANY: Final = 400  # rows of a table that are there at all; JSON has all

Cell = tuple[str, str]  # class, markup


def text(words: str) -> str:
    """A text of somebody's; a long one is folded."""
    cut = words if len(words) <= LONGEST else words[:LONGEST] + "\n… (cut)"
    if len(cut) <= LONG:
        return f'<div class="text">{markup(cut.strip())}</div>'
    begin = cut[:LONG].rsplit(None, 1)[0]
    return (
        f'<div class="text">{markup(begin.strip())} …</div><details><summary>the whole text, {len(words):,} characters'
        f'</summary><div class="text">{markup(cut.strip())}</div></details>'
    )


def listed(items: Iterable[str]) -> str:
    """A list, an item a line."""
    rows = "".join(f"<li>{markup(one_line(item, 2_000))}</li>" for item in items)
    return f'<ul class="plain">{rows}</ul>'


def bar(share: float, kind: str) -> str:
    """A share of 0 to 1 as a bar in the colour of a part."""
    width = max(0.0, min(1.0, share)) * 100
    return (
        f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="bar {kind}" width="{width:.1f}" height="8"/></svg>'
    )


def dot(part: int) -> str:
    """The colour of a part."""
    return (
        '<svg class="dot" viewBox="0 0 10 10" aria-hidden="true">'
        f'<circle class="bar {colour(part)}" cx="5" cy="5" r="4.5"/></svg>'
    )


def folded(heads: list[str], cells: list[list[Cell]], what: str, total: int | None = None) -> str:
    """A table; of a long one the first rows stand open, more are folded, and very many are only counted."""
    total = len(cells) if total is None else total
    few = table(heads, cells[:FEW])
    if len(cells) <= FEW:
        return few
    more = cells[FEW:MANY]
    left = total - FEW - len(more)
    beyond = f'<p class="soft">and {left:,} more; --format json has all.</p>' if left > 0 else ""
    return f"{few}<details><summary>{len(more):,} more {what}</summary>{table(heads, more)}{beyond}</details>"


def table(heads: list[str], cells: list[list[Cell]], total: list[Cell] | None = None) -> str:
    """A table; a head that begins with # is of numbers, and no head row is made of empty ones."""
    head = "".join(
        f'<th scope="col" class="num">{name[1:]}</th>' if name.startswith("#") else f'<th scope="col">{name}</th>'
        for name in heads
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in cells)
    foot = f"<tfoot><tr>{_cells(total)}</tr></tfoot>" if total else ""
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody>{foot}</table></div>'


def _cells(row: list[Cell]) -> str:
    return "".join(f'<td class="{kind}">{inner}</td>' if kind else f"<td>{inner}</td>" for kind, inner in row)


def flat(tree: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(cast("dict[str, Any]", value), f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)  # pyright: ignore[reportUnknownArgumentType]
