"""Draws a panorama as lines that fit a terminal: header, the tree folded to the height that is left, footer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from megaagent.cli.panorama import OVER, Panorama, Row, Stand
from megaagent.cli.words import Glyphs, amount, clean, duration, fit, money, pad, plural
from megaagent.events import name_of

_STYLES: Final[dict[Stand, str]] = {
    "new": "dim",
    "busy": "cyan",
    "waiting": "yellow",
    "handed in": "blue",
    "accepted": "green",
    "dropped": "dim",
    "failed": "red",
    "paused": "magenta",
}
_MOST_NAME: Final = 28  # cells of the tree's marks and the agent's name


def frame(panorama: Panorama, now: float, width: int, height: int, glyphs: Glyphs, notice: str = "") -> list[Text]:
    """The whole view.

    Args:
        now: seconds since 1970.
        width, height: cells of the terminal; no line is wider, and there are never more lines.
        notice: what the program itself has to say, such as that it is stopping.
    """
    top = _header(panorama, now, width, glyphs)
    bottom = _footer(panorama, now, width, glyphs, notice)
    room = max(1, height - len(top) - len(bottom))
    boss = panorama.boss
    tree = list(_tree(panorama, boss, room, width, glyphs)) if boss is not None else []
    return [*top, *tree[:room], *bottom][:height]


# -- header and footer ------------------------------------------------------------------------------------------------


def _header(panorama: Panorama, now: float, width: int, glyphs: Glyphs) -> list[Text]:
    status = f"{panorama.status}: {clean(panorama.paused)}" if panorama.paused else panorama.status
    right = fit(f"{duration(panorama.elapsed(now))}  {status}", max(8, width // 2), glyphs)
    title = pad(f"megaagent {clean(panorama.run)}", width - len(right) - 1, glyphs)
    first = Text(f"{title} ", style="bold").append(right, "bold")
    if panorama.simulated:
        second = Text(fit(f"a simulation ({clean(panorama.model)}): no model is asked", width, glyphs), "yellow")
    else:
        second = Text(fit(f"model {clean(panorama.model) or 'by tier'}", width, glyphs), "dim")
    return [first, second, Text("")]


def _footer(panorama: Panorama, now: float, width: int, glyphs: Glyphs, notice: str) -> list[Text]:
    between = f" {glyphs.dot} "
    work = [
        f"{plural(len(panorama.rows), 'agent')}",
        f"{plural(len(panorama.calls), 'call')} in flight",
        plural(panorama.messages, "message"),
        plural(panorama.commits, "commit"),
    ]
    if panorama.interventions:
        work.append(plural(panorama.interventions, "intervention"))
    if panorama.retries:
        work.append(plural(panorama.retries, "retry", "retries"))
    lines = [*_joined(work, between, width, glyphs), *_joined(_spent(panorama, now), between, width, glyphs)]
    if panorama.latest:
        files = f"files: {', '.join(reversed(panorama.latest))}"
        lines.append(fit(files, width, glyphs))
    texts = [Text(""), *(Text(line, "dim") for line in lines)]
    for id, question in list(panorama.questions.items())[:2]:
        texts.append(Text(fit(question, width, glyphs), "bold magenta"))
        which = f"--question '{clean(id)}' " if len(panorama.questions) > 1 else ""  # the only one needs no name
        texts.append(Text(fit(f"  answer with: megaagent answer {which}TEXT", width, glyphs)))
    for id, asked in list(panorama.approvals.items())[:2]:
        texts.append(Text(fit(asked, width, glyphs), "bold magenta"))
        which = f" '{clean(id)}'" if len(panorama.approvals) > 1 else ""
        texts.append(Text(fit(f"  megaagent approve{which} (or refuse)", width, glyphs)))
    if len(panorama.approvals) > 2:
        more = f"  and {len(panorama.approvals) - 2:,} more wait for approval: megaagent ps"
        texts.append(Text(fit(more, width, glyphs), "bold magenta"))
    if notice:
        texts.append(Text(fit(notice, width, glyphs), "bold yellow"))
    return texts


def _spent(panorama: Panorama, now: float) -> list[str]:
    tokens = f"{amount(panorama.tokens)} tokens"
    if panorama.max_tokens is not None:
        tokens += f" of {amount(panorama.max_tokens)}"
    label = "simulated cost" if panorama.simulated else "cost"
    rate = [] if panorama.ended else [f"{amount(panorama.rate(now))} tokens a minute"]
    if panorama.unpriced and not panorama.cost:
        return [tokens, f"{label} unknown", *rate]
    cost = f"{label} {money(panorama.cost)}"
    if panorama.max_cost is not None:
        cost += f" of {money(panorama.max_cost)}"
    return [tokens, cost, *rate]


def _joined(parts: Sequence[str], between: str, width: int, glyphs: Glyphs) -> list[str]:
    """The parts on as few lines as they need."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines.append(fit(part, width, glyphs))
    return lines


# -- the tree ---------------------------------------------------------------------------------------------------------


def outline(panorama: Panorama, width: int, glyphs: Glyphs) -> list[Text]:
    """The whole tree, unfolded."""
    boss = panorama.boss
    return list(_tree(panorama, boss, boss.below + 1, width, glyphs)) if boss is not None else []


def _tree(panorama: Panorama, boss: Row, room: int, width: int, glyphs: Glyphs) -> Iterator[Text]:
    shown = list(_unfold(panorama, boss, room, "", "", glyphs))
    widest = max((len(lead) + len(name_of(row.id)) for row, lead, _ in shown if row is not None), default=0)
    column = min(widest, _MOST_NAME, width // 3)
    for row, lead, note in shown:
        yield _row(row, lead, note, column, width, glyphs) if row is not None else _more(lead, note, width, glyphs)


def _unfold(
    panorama: Panorama, row: Row, room: int, lead: str, below: str, glyphs: Glyphs
) -> Iterator[tuple[Row | None, str, str]]:
    """The lines that a subtree gets: rows, and where it does not fit, what is hidden.

    Yields:
        row (None for a line that only counts), the marks before it, and a note about what it hides.
    """
    if row.below == 0 or room < 2:
        yield row, lead, f"+{row.below:,}" if row.below else ""
        return
    yield row, lead, ""
    group = [panorama.rows[id] for id in row.group]
    rooms = _share(group, room - 1)
    shown = [(member, share) for member, share in zip(group, rooms, strict=True) if share]
    hidden = [member for member, share in zip(group, rooms, strict=True) if not share]
    for index, (member, share) in enumerate(shown):
        last = index == len(shown) - 1 and not hidden
        yield from _unfold(
            panorama,
            member,
            share,
            below + (glyphs.last if last else glyphs.branch),
            below + (" " * len(glyphs.bar) if last else glyphs.bar),
            glyphs,
        )
    if hidden:
        yield None, below + glyphs.last, _counted(hidden)


def _share(group: Sequence[Row], room: int) -> list[int]:
    """How many lines each member's subtree gets: small ones whole, the biggest give way, 0 hides a member.

    Those that have work before them are shown first; the order in which they joined decides between equals, so that
    lines do not jump about.
    """
    if len(group) > room:
        first = sorted(range(len(group)), key=lambda n: (group[n].stand in OVER and not group[n].busy_below, n))
        kept = set(first[: room - 1])  # one line counts the others
        return [1 if n in kept else 0 for n in range(len(group))]
    left = room
    rooms = [0] * len(group)
    for done, n in enumerate(sorted(range(len(group)), key=lambda n: group[n].below)):
        rooms[n] = min(group[n].below + 1, left // (len(group) - done))
        left -= rooms[n]
    return rooms


def _counted(hidden: Sequence[Row]) -> str:
    agents = len(hidden) + sum(row.below for row in hidden)
    busy = sum((row.stand == "busy") + row.busy_below for row in hidden)
    over = sum(row.stand in OVER for row in hidden)
    parts = [f"{agents:,} more"]
    if busy:
        parts.append(f"{busy:,} at work")
    if over:
        parts.append(f"{over:,} done")
    return ", ".join(parts)


def _more(lead: str, note: str, width: int, glyphs: Glyphs) -> Text:
    return Text(fit(f"{lead}{glyphs.ellipsis} {note}", width, glyphs), "dim")


def _row(row: Row, lead: str, note: str, column: int, width: int, glyphs: Glyphs) -> Text:
    figures = f"{row.steps:>4} steps {amount(row.tokens):>6}" if width >= 76 else f"{amount(row.tokens):>6}"
    name = pad(lead + name_of(row.id), column, glyphs)
    said = f"({note}) {row.act}" if note else row.act
    room = width - column - len(figures) - 4
    style = _STYLES[row.stand]
    line = Text(name, style="" if row.stand not in OVER else "dim")
    line.append(f" {_mark(row, glyphs)} ", style)
    line.append(pad(said, max(0, room), glyphs), style if row.stand in ("failed", "paused") else "")
    return line.append(f" {figures}", "dim")


def _mark(row: Row, glyphs: Glyphs) -> str:
    match row.stand:
        case "busy":
            return glyphs.busy
        case "accepted":
            return glyphs.done
        case "failed" | "dropped":
            return glyphs.failed
        case "paused":
            return glyphs.paused
        case "handed in":
            return glyphs.arrow[-1]
        case "new" | "waiting":
            return glyphs.waiting
