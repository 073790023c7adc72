"""What the commands ask of one run, wherever it is: here, or behind the dashboard of another machine.

Both ways give the same plain values, so a command does not know where its run is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from megaagent.events import AgentId, Event, Record, Struct

if TYPE_CHECKING:
    from megaagent.control import Answer, Request

BEYOND: Final = 10**14  # a position that no journal has: only the figures of the whole are asked for
LOOK: Final = 0.5  # seconds between two looks at a journal that is followed


class AgentRow(Struct, frozen=True, array_like=True):
    """One agent, as `readings.overview` tells it; fields are its columns, in their order."""

    index: int
    parent: int
    name: str
    stand: int
    since: float
    cost: float
    tokens: int
    failures: int
    steps: int
    born: float
    files: int
    done: int
    items: int
    inbox: int
    tier: str
    act: str


class Organization(Struct, frozen=True):
    """A run as it stands: figures of the whole, and a row for each agent that changed since it was last asked.

    Attributes:
        stands: the words for the numbers in `AgentRow.stand`.
        live: an engine is at work on it.
    """

    position: int
    header: dict[str, Any]
    rows: list[AgentRow]
    stands: list[str]
    live: bool


class Sight(AbstractContextManager["Sight"], Protocol):
    """One run. Every call may raise `RunError`: it cannot be read, or there is nothing of that name."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def called(self) -> str:
        """What a person adds to a command to name this run, options included."""
        ...

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        """Facts of the journal, as `JournalReader.records`."""
        ...

    def organization(self, after: int = 0) -> Organization:
        """The run as it is now; only the rows that changed after the fact at that position."""
        ...

    def agent(self, name: str) -> dict[str, Any]:
        """Everything about one agent, by its name or path (`readings.people.agent`)."""
        ...

    def costs(self, root: str) -> dict[str, Any]:
        """Where the money went (`readings.costs`); the groups below `root` one by one."""
        ...

    def files(self) -> dict[str, Any]:
        """The shared files, and what agents did to them (`readings.files`)."""
        ...

    def file(self, path: str, revision: str | None) -> dict[str, Any]:
        """One text file, each line with its writer."""
        ...

    def standing(self) -> str | None:
        """How the running engine says that it stands; None when none is at work."""
        ...

    def ask(self, request: Request) -> Answer:
        """Have the running engine do something."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
