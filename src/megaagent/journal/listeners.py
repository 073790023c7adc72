"""Who is told of committed records."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from megaagent.events import Record
from megaagent.journal.contract import Listener

log = logging.getLogger(__name__)


class Listeners:
    """Listeners in the order in which they came; watchers cannot hurt anybody."""

    def __init__(self) -> None:
        self._listeners: list[tuple[Listener, bool]] = []

    def add(self, listener: Listener, watcher: bool) -> None:
        self._listeners.append((listener, watcher))

    def tell(self, records: Sequence[Record]) -> None:
        """Tell all of them.

        Raises:
            Exception: whatever a listener that is no watcher raised; a `StopIteration`, which no future can hold,
                as the cause of a `RuntimeError`.
        """
        for entry in list(self._listeners):
            listener, watcher = entry
            try:
                listener(records)
            except Exception as error:
                if not watcher:
                    if isinstance(error, StopIteration):
                        raise RuntimeError("a listener of the journal let a StopIteration out") from error
                    raise
                log.exception("a watcher of the journal failed and is removed")
                self._listeners.remove(entry)
