"""How late the event loop is, and how much memory the process holds."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from megaagent.events import BOSS
from megaagent.organization.state import State

PERIOD = 0.005  # seconds


class Lag:
    """Measures while the block lasts by how much a sleep of 5 ms is late.

    async with Lag() as lag:
        ...
    print(lag.p99_ms())
    """

    def __init__(self) -> None:
        self._late: list[float] = []

    async def __aenter__(self) -> Lag:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD
            await asyncio.sleep(PERIOD)
            self._late.append(loop.time() - due)

    def p99_ms(self) -> float:
        """The lateness that one look in a hundred passed, by time and not by number: a long stop counts its length."""
        total = sum(self._late) + PERIOD * len(self._late)
        over = 0.0
        for late in sorted(self._late, reverse=True):
            over += late + PERIOD
            if over >= total / 100:
                return round(1000 * late, 1)
        return 0.0


def resident_mb() -> float:
    """Resident memory of this process in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def quiet(state: State) -> None:
    """Until nobody but the boss acts any more; of many some are looked at in a round of the event loop."""
    waited = True
    while waited:
        waited = False
        for number, agent in enumerate(list(state.members)):
            if number % 500 == 0:
                await asyncio.sleep(0)
            while agent != BOSS and state.members[agent].acting:
                await asyncio.sleep(0.05)
                waited = True
