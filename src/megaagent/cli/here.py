"""A run whose folder is on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from megaagent.cli.options import how_to_name
from megaagent.cli.sight import AgentRow, Organization
from megaagent.events import AgentId, Event, Record
from megaagent.folder import RunFolder

if TYPE_CHECKING:
    from megaagent.control import Answer, Request
    from megaagent.journal import JournalReader
    from megaagent.readings.files import Files
    from megaagent.readings.fold import Readings


class Here:
    """`Sight` of a run's folder; what a question does not need is not opened."""

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self._reader: JournalReader | None = None
        self._readings: Readings | None = None
        self._files: Files | None = None

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def called(self) -> str:
        return how_to_name(self.folder)

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        from megaagent.journal import open_reader

        if self._reader is None:
            self._reader = open_reader(self.folder.journal)
        return self._reader.records(after, agent=agent, kinds=kinds, limit=limit, bodies=bodies)

    def organization(self, after: int = 0) -> Organization:
        from megaagent.readings.overview import STANDS

        live = self.standing() is not None  # asked first: a run that ends meanwhile is not taken for one cut off
        delta = self._read_on().overview.delta(after)
        rows = [AgentRow(*row) for row in delta.rows]
        return Organization(delta.position, delta.header, rows, list(STANDS), live)

    def agent(self, name: str) -> dict[str, Any]:
        from megaagent.readings import people

        return people.agent(self._read_on(), name)

    def costs(self, root: str) -> dict[str, Any]:
        readings = self._read_on()
        return readings.costs.told(readings.overview, root)

    def files(self) -> dict[str, Any]:
        from megaagent.events import FileCommitted
        from megaagent.readings.files import written

        names = self._opened().names()
        return {**names, "written": written(self.records(kinds=[FileCommitted], bodies=False))}

    def file(self, path: str, revision: str | None) -> dict[str, Any]:
        return self._opened().content(path, revision)

    def standing(self) -> str | None:
        from megaagent.readings.summary import standing

        return asyncio.run(standing(self.folder))

    def ask(self, request: Request) -> Answer:
        from megaagent.control import ask

        return asyncio.run(ask(self.folder.socket, request))

    def close(self) -> None:
        for opened in (self._reader, self._readings and self._readings.reader, self._files):
            if opened is not None:
                opened.close()

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _read_on(self) -> Readings:
        """Everything that the journal holds by now, folded."""
        from megaagent.organization.snapshots import no_collection
        from megaagent.readings.fold import Readings

        if self._readings is None:
            self._readings = Readings(self.folder)
        with no_collection():
            while self._readings.take_in_more():
                pass
        return self._readings

    def _opened(self) -> Files:
        from megaagent.readings.files import Files

        if self._files is None:
            self._files = Files(self.folder)
        return self._files
