"""Room for a bounded number at a time, which costs next to nothing while there is any."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """As `asyncio.Semaphore`, first come first served; but who finds room enters without waiting for anything.

    Args:
        size: how many may be inside at once.
    """

    def __init__(self, size: int):
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter_now(self) -> bool:
        """Enter if there is room and nobody waits; whether it was so."""
        if not self._free or self._waiting:
            return False
        self._free -= 1
        return True

    async def enter(self) -> None:
        """Wait for room and enter."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()  # it was given room and does not want it any more
            raise

    def leave(self) -> None:
        """Make room for the next."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
