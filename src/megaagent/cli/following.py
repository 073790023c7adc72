"""Facts as they come: what `-f` shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from megaagent.cli.sight import LOOK
from megaagent.events import AgentId, Event, Record

if TYPE_CHECKING:
    from megaagent.cli.sight import Sight


def followed(
    sight: Sight, after: int = 0, *, agent: AgentId | None = None, kinds: Collection[type[Event]] | None = None
) -> Iterator[Record]:
    """The facts that fit, and those that come, until nobody is at work on the run any more."""
    while True:
        live = sight.standing() is not None  # asked first: what is written before the end is read after it
        for record in sight.records(after, agent=agent, kinds=kinds):
            after = record.position
            yield record
        if not live:
            return
        sys.stdout.flush()
        time.sleep(LOOK)
