"""The money of a whole evaluation: nothing is begun whose own cap would pass what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import fsum

from megaagent.errors import MegaAgentError


class CapReachedError(MegaAgentError):
    """What is left is less than one item may use."""


class Purse:
    """Money that items share.

    Args:
        cap: US dollars for all items, those of earlier calls included.
        spent: what earlier calls have spent.
    """

    def __init__(self, cap: float, spent: float):
        self.cap = cap
        self.spent = spent
        self._set_aside: list[float] = []
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def share(self, wanted: float) -> AsyncGenerator[Share]:
        """Set money aside for one item; waits for what others give back.

        Raises:
            CapReachedError: the rest will not do, also when all has come back.
        """
        async with self._changed:
            while (left := self.cap - self.spent - fsum(self._set_aside)) < wanted:
                if not self._set_aside:
                    raise CapReachedError(f"${left:.2f} of ${self.cap:.2f} are left")
                await self._changed.wait()
            self._set_aside.append(wanted)
        given = Share(wanted)
        try:
            yield given
        finally:
            async with self._changed:
                self._set_aside.remove(wanted)
                self.spent += given.spent
                self._changed.notify_all()


class Share:
    """What one item may spend; `spent` is to be told before it is given back."""

    def __init__(self, amount: float):
        self.amount = amount
        self.spent = 0.0
