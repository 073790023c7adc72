"""Text and numbers as a report shows them: what agents wrote made harmless, figures in few characters."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape


def plain(text: str) -> str:
    """Text of any lines without what a reader cannot see: controls, marks that reorder or hide, surrogates."""
    lines = text.expandtabs(4).splitlines()
    return "\n".join(line if line.isprintable() else _printable(line) for line in lines)


def one_line(text: str, limit: int = 200) -> str:
    """The same on one line, cut to `limit` characters."""
    words = " ".join(plain(text).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def markup(text: object) -> str:
    """Text that stands for itself in HTML and SVG, in contents and in quoted attributes."""
    return escape(plain(str(text)), quote=True)


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 04 s, 1 h 02 min, 3 d 04 h."""
    if 0 < seconds < 10:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02} h"
    if hours:
        return f"{hours} h {minute:02} min"
    return f"{minutes} min {second:02} s" if minutes else f"{second} s"


def amount(number: float) -> str:
    """837, 12.3k, 4.5M, 1.2G: for counts whose size matters more than their digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.99995:
            short = f"{number / size:.1f}"
            return f"{short.removesuffix('.0')}{letter}"
    return f"{number:,.0f}"


def money(dollars: float) -> str:
    """US dollars, with as many digits as small amounts need."""
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.4f}"


def percent(share: float) -> str:
    """A share of 0 to 1; small ones keep a digit."""
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def plural(number: int, one: str, many: str = "") -> str:
    """1 agent, 2 agents."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def moment(time: float) -> str:
    """Seconds since 1970 as a date that reads the same everywhere."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " * c.isspace() for c in line)
