"""Pages of a run's journal: facts as they are, by kind, by agent, by what they say, newest or oldest first."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast, get_args

import msgspec

from megaagent.errors import RunError
from megaagent.events import AgentId, AnyEvent, Record, Struct
from megaagent.journal.bodies import MARKER
from megaagent.readings.fold import Readings

MOST: Final = 200  # facts of a page
LOOKED_AT: Final = 20_000  # facts that are searched for a text, for one page
CUT: Final = 600  # characters of a text in a page; the whole fact is one question away
LONGEST: Final = 400_000  # characters of a text in a whole fact
MOST_RAW: Final = 1_000  # facts of a page for programs
HEAVY: Final = 4 << 20  # bytes of such a page after which it ends
KINDS: Final = {kind.__name__ for kind in get_args(AnyEvent)}
INTERVENTIONS: Final = (
    "AgentNudged", "MailSetAside", "HumanSpoke", "RunPaused", "RunUnpaused", "AgentPaused", "AgentUnpaused",
    "BudgetRaised", "RunResumed", "RunForked", "RunRepaired",
)  # fmt: skip


class Wanted(Struct, frozen=True):
    """Which facts a page is to hold.

    Attributes:
        before, after: only facts between these positions; a page begins at the newest unless `oldest`.
        kinds: of these kinds only; all when it is empty.
        agent: of this one only; of the verifier and the engine too.
        text: whose JSON contains this, whatever its case.
    """

    before: int | None = None
    after: int = 0
    kinds: tuple[str, ...] = ()
    agent: AgentId | None = None
    text: str = ""
    limit: int = 60
    oldest: bool = False


def page(readings: Readings, wanted: Wanted) -> dict[str, Any]:
    """A page of facts, each short enough to be listed; `next` is where to go on, None at the end."""
    limit = max(1, min(MOST, wanted.limit))
    needle = wanted.text.casefold()
    found: list[dict[str, Any]] = []
    seen = 0
    last: int | None = None
    for position in _positions(readings, wanted):
        if len(found) == limit or seen == LOOKED_AT:
            return {"facts": found, "next": last, "last": readings.overview.position}
        seen += 1
        last = position
        record = readings.reader.record(position) if needle else _light(readings, position)
        if record is None or (needle and needle not in msgspec.json.encode(record).decode().casefold()):
            continue
        found.append(shown(readings, record, CUT))
    return {"facts": found, "next": None, "last": readings.overview.position}


def raw(records: Iterable[Record]) -> list[Record]:
    """As many of the facts as make one page for programs; at least one, when there is one."""
    found: list[Record] = []
    weight = 0
    for record in records:
        found.append(record)
        weight += len(msgspec.json.encode(record))
        if weight > HEAVY:
            break
    return found


def whole(readings: Readings, position: int) -> dict[str, Any]:
    """One fact with its bodies.

    Raises:
        RunError: there is none at that position.
    """
    record = readings.reader.record(position)
    if record is None:
        raise RunError(f"there is no fact {position}")
    return shown(readings, record, LONGEST)


def shown(readings: Readings, record: Record, cut: int) -> dict[str, Any]:
    """A fact as JSON values whose texts have at most `cut` characters."""
    told = cast("dict[str, Any]", msgspec.to_builtins(record))
    return {name: _cut(readings, value, cut) for name, value in told.items()}


def text_of(readings: Readings, text: str) -> str:
    """A body that was read without its content."""
    if not text.startswith(MARKER):
        return text
    data = readings.reader.blob(text.removeprefix(MARKER))
    return "" if data is None else data.decode(errors="replace")


def _light(readings: Readings, position: int) -> Record | None:
    return next(readings.reader.records(position - 1, limit=1, bodies=False), None)


def _cut(readings: Readings, value: Any, cut: int) -> Any:
    if isinstance(value, str):
        text = text_of(readings, value)
        return text if len(text) <= cut else f"{text[:cut]}… ({len(text):,} characters)"
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        return {name: _cut(readings, inner, cut) for name, inner in told.items()}
    if isinstance(value, list | tuple):
        return [_cut(readings, inner, cut) for inner in cast("Sequence[Any]", value)]
    return value


def _positions(readings: Readings, wanted: Wanted) -> Iterator[int]:
    """Positions of the facts that may fit, in the order of the page."""
    low, high = wanted.after, wanted.before if wanted.before is not None else readings.overview.position + 1
    if wanted.agent is not None and not wanted.kinds:
        yield from _between(readings.by_agent.get(wanted.agent, array("Q")), low, high, wanted.oldest)
        return
    if wanted.kinds:
        lists = [_between(readings.by_kind.get(kind, array("Q")), low, high, wanted.oldest) for kind in wanted.kinds]
        merged = sorted((position for each in lists for position in each), reverse=not wanted.oldest)
        if wanted.agent is not None:
            own = set(_between(readings.by_agent.get(wanted.agent, array("Q")), low, high, True))
            merged = [position for position in merged if position in own]
        yield from merged
        return
    yield from range(low + 1, high) if wanted.oldest else range(high - 1, low, -1)


def _between(positions: array[int], low: int, high: int, oldest: bool) -> Sequence[int]:
    part = positions[bisect_right(positions, low) : bisect_left(positions, high)]
    return part if oldest else part[::-1]
