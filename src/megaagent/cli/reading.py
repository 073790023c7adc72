"""Reads what is in a run's journal."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from megaagent import events as ev
from megaagent.errors import ConfigurationError
from megaagent.events import AgentId, Event, Record, name_of
from megaagent.folder import RunFolder

if TYPE_CHECKING:
    from megaagent.journal import JournalReader

OTHERS = (ev.ENGINE, ev.VERIFIER, ev.PERSON)


@contextmanager
def opened(folder: RunFolder) -> Generator[JournalReader]:
    """The run's journal, for reading.

    Raises:
        RunError: it cannot be read.
    """
    from megaagent.journal import open_reader

    reader = open_reader(folder.journal)
    try:
        yield reader
    finally:
        reader.close()


class Records(Protocol):
    """Where facts are read from: a journal, or a run wherever it is."""

    def records(self, after: int = 0, *, kinds: Collection[type[Event]] | None = None) -> Iterator[Record]:
        """As `JournalReader.records`."""
        ...


def agent_named(reader: Records, name: str) -> AgentId:
    """The id of an agent by its name or its path; also the engine's and the verifier's.

    Raises:
        ConfigurationError: nobody is called so; names the nearest.
    """
    ids = {name_of(other): other for other in OTHERS}
    for record in reader.records(kinds=[ev.AgentRecruited]):
        if isinstance(record.event, ev.AgentRecruited):
            ids[name_of(record.event.id)] = record.event.id
            ids[record.event.id] = record.event.id
    if name not in ids:
        near = get_close_matches(name, ids, n=3, cutoff=0.4) or list(ids)[:8]
        raise ConfigurationError(f"no agent {name!r} is in this run; nearest are {', '.join(near)}")
    return ids[name]
