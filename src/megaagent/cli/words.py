"""Text for a terminal: what agents wrote made harmless, cut to a width in cells, and numbers in few characters."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import IO, Any, Final

from megaagent.events import Struct

# In JSON text these stand only inside strings, where an escape means the same.
_HIDDEN: Final = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Glyphs(Struct, frozen=True):
    """The marks that the views are drawn with."""

    branch: str
    last: str
    bar: str
    busy: str
    waiting: str
    done: str
    failed: str
    paused: str
    arrow: str
    dot: str
    ellipsis: str


UNICODE: Final = Glyphs("├ ", "└ ", "│ ", "●", "○", "✓", "✗", "‖", "→", "·", "…")
ASCII: Final = Glyphs("|- ", "`- ", "|  ", "*", ".", "+", "x", "=", "->", "-", "...")


def glyphs_for(stream: IO[str]) -> Glyphs:
    """The marks that a stream's encoding can show."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("_", "-")
    return UNICODE if encoding.startswith("utf") else ASCII


def program() -> str:
    """How this program is called from where the person is: by its name, or by the path that was used."""
    used = Path(sys.argv[0])
    found = shutil.which("megaagent")
    if found is not None or not used.name.startswith("megaagent") or not used.exists():
        return "megaagent"
    path = used.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def clean(text: str) -> str:
    """The text on one line, without anything that a terminal would obey or that reorders what is read."""
    return " ".join(text.split() if text.isprintable() else _harmless(text).split())


def clean_block(text: str) -> str:
    """The same for text of several lines, which keeps its lines and its indentation."""
    return "\n".join(_harmless(line).rstrip() for line in text.expandtabs(4).splitlines())


def _harmless(text: str) -> str:
    """Without controls (escape codes are made of them), bidi and zero-width marks, surrogates, and the unassigned."""
    return "".join(c if c.isprintable() else " " * c.isspace() for c in text)


def clean_json(text: str) -> str:
    """JSON text in which invisible characters are written as escapes; it means the same."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any) -> None:
    """Print a value for programs: one JSON document, indented, with invisible characters as escapes."""
    import msgspec

    print(clean_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def fit(text: str, width: int, glyphs: Glyphs) -> str:
    """The text, or its beginning and an ellipsis when it needs more than `width` cells."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    room = width - len(glyphs.ellipsis)
    return set_cell_size(text, room).rstrip() + glyphs.ellipsis if room > 0 else glyphs.ellipsis[: max(0, width)]


def pad(text: str, width: int, glyphs: Glyphs) -> str:
    """The text in exactly `width` cells."""
    from rich.cells import cell_len

    text = fit(text, width, glyphs)
    return text + " " * (width - cell_len(text))


def terminal_width() -> int | None:
    """Cells of a line of the terminal; None when the output is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def duration(seconds: float) -> str:
    """12s, 3m04s, 1h02m, 3d04h."""
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hours}h{minute:02}m"
    return f"{minutes}m{second:02}s" if minutes else f"{second}s"


def amount(number: int) -> str:
    """837, 12.3k, 4.5M: for counts whose size matters more than their digits."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            short = f"{number / size:.1f}"
            return f"{short.removesuffix('.0') if len(short) > 4 else short}{letter}"
    return str(number)


def money(dollars: float) -> str:
    """US dollars, with as many digits as small amounts need."""
    return f"${dollars:.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.4f}"


def plural(number: int, one: str, many: str = "") -> str:
    """1 agent, 2 agents."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def complain(text: str) -> None:
    """Say on standard error what is wrong, as one line that a terminal gets wrapped."""
    line = f"megaagent: error: {clean(text)}"
    if sys.stderr.isatty():
        width = max(20, shutil.get_terminal_size().columns - 1)
        line = textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(line, file=sys.stderr)
