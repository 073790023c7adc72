"""What a run came to: the part of its facts that every report tells, folded at the least cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.journal import JournalReader
from megaagent.journal.bodies import MARKER
from megaagent.organization.state import State
from megaagent.readings.thrift import Thrift
from megaagent.report.flights import Flights
from megaagent.report.happenings import Checks, Repairs

# Facts whose long texts are shown; those of all others stay where they are.
SHOWN: Final = (ev.RunStarted, ev.RunForked, ev.RunEnded, ev.CheckRun, ev.VerdictGiven, ev.HumanSpoke)
LOST: Final = "(this text cannot be read)"


class Outline:
    """The fold, as far as the journal can be read.

    Args:
        state: into which the facts are folded; a new one by default.

    Attributes:
        damage: why it could not be read to its end.
    """

    def __init__(self, state: State | None = None) -> None:
        self.state = State() if state is None else state
        self.flights = Flights()
        self.checks = Checks()
        self.repairs = Repairs()
        self.thrift = Thrift()
        self.damage: str | None = None
        self.began: ev.RunStarted | None = None
        self.first = self.last = 0.0

    @property
    def time(self) -> float:
        """Seconds from the first fact to the last, without the time between engines."""
        return max(0.0, self.last - self.first - self.flights.idle)

    def take_in(self, record: Record) -> None:
        """Fold one fact.

        Raises:
            RunError: the journal does not begin as a run, or the fact does not follow from those before it.
        """
        if self.began is None:
            if not isinstance(record.event, ev.RunStarted):
                raise RunError("the journal does not begin as a run")
            self.began, self.first = record.event, record.time
        try:
            self.apply(record)
        except (KeyError, AttributeError, IndexError) as error:
            raise RunError(f"fact {record.position} does not follow from those before it: {error!r}") from error
        self.flights.take_in(record)
        self.checks.take_in(record)
        self.repairs.take_in(record)
        self.thrift.take_in(record)
        self.last = max(self.last, record.time)

    def apply(self, record: Record) -> None:
        """Fold a fact into the state."""
        self.state.apply(record)

    def read(self, reader: JournalReader) -> None:
        """Take in what the journal tells; of a damaged one, as far as it can be read.

        Raises:
            RunError: not even its first fact can be read, or it is no run's.
        """
        try:
            for record in lean(reader, self.complain):
                self.take_in(record)
        except RunError as error:
            if self.began is None:
                raise
            self.complain(error)

    def complain(self, error: RunError) -> None:
        """Something of the journal cannot be read."""
        self.damage = self.damage or str(error)


def lean(reader: JournalReader, lost: Callable[[RunError], object]) -> Iterator[Record]:
    """All facts, with the long texts of those only that are shown.

    Args:
        lost: is told of a text that cannot be read; the fact comes without it.
    """
    for record in _as_far_as_can_be(reader):
        if isinstance(record.event, SHOWN):
            try:
                yield reader.record(record.position) or record
            except RunError as error:
                lost(error)
                yield without_texts(record)
        else:
            yield record


def _as_far_as_can_be(reader: JournalReader) -> Iterator[Record]:
    """All facts up to the first that cannot be read: many at once, and one by one where those cannot."""
    position = 0
    try:
        for record in reader.records(bodies=False):
            yield record
            position = record.position
    except RunError:
        while found := next(reader.records(position, limit=1, bodies=False), None):
            yield found
            position = found.position


def without_texts(record: Record) -> Record:
    """The fact with words in the place of long texts."""
    texts = {name: getattr(record.event, name) for name in record.event.__struct_fields__}
    marked = {name: LOST for name, text in texts.items() if isinstance(text, str) and text.startswith(MARKER)}
    return replace(record, event=replace(record.event, **marked))
