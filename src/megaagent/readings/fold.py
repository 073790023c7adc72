"""A run's journal, folded as far as it goes, with what the readings of it share."""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import Final

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import AgentId, Record
from megaagent.folder import RunFolder
from megaagent.journal import JournalReader, open_reader
from megaagent.readings.costs import Costs
from megaagent.readings.critical import CriticalPath
from megaagent.readings.lanes import Lanes
from megaagent.readings.overview import Overview

BATCH: Final = 2_000  # facts folded in one go: between two of them other questions are answered


class Readings:
    """Everything that is folded from one run's journal; used by one thread."""

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.reader: JournalReader = open_reader(folder.journal)
        self.overview = Overview()
        self.lanes = Lanes()
        self.costs = Costs()
        self.critical = CriticalPath()
        self.by_kind: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))  # positions
        self.by_agent: defaultdict[AgentId, array[int]] = defaultdict(lambda: array("Q"))

    def take_in_more(self, most: int = BATCH) -> bool:
        """Fold what is new, `most` facts at once; whether there was as much as that.

        Raises:
            RunError: the journal cannot be read on.
        """
        count = 0
        for record in self.reader.records(self.overview.position, limit=most, bodies=False):
            self._take_in(record)
            count += 1
        return count == most

    def _take_in(self, record: Record) -> None:
        try:
            self.overview.take_in(record)
        except (KeyError, AttributeError, IndexError) as error:
            raise RunError(
                f"{self.folder.journal}: fact {record.position} does not follow from those before it: {error!r}; "
                "see megaagent check-journal, then megaagent repair"
            ) from error
        if isinstance(record.event, ev.RunStarted | ev.RunForked):
            whole = self.reader.record(record.position)
            if whole is not None and isinstance(whole.event, ev.RunStarted | ev.RunForked):
                self.overview.know_budget(whole.event.settings)
        self.lanes.take_in(record)
        self.costs.take_in(record, self.overview)
        self.critical.take_in(record)
        self.by_kind[type(record.event).__name__].append(record.position)
        self.by_agent[record.agent].append(record.position)
