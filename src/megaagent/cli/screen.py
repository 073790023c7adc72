"""The live view: the terminal's alternate screen, redrawn when something changed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from megaagent.cli.drawing import frame
from megaagent.cli.panorama import Panorama
from megaagent.cli.printer import write_at_once
from megaagent.cli.words import glyphs_for
from megaagent.events import Record

LEAST: Final = 0.125  # seconds between two redraws
SHARE: Final = 20  # a redraw may cost one part in so many of the time
_RESTORE: Final = b"\x1b[?1049l\x1b[?25h\x1b[0m"  # leave the alternate screen, show the cursor, plain text


class ScreenView:
    """Draws the panorama of a run until it is closed.

    The picture is composed on the event loop, where the facts arrive, and written by a thread, so that a terminal that
    takes nothing (Ctrl-S, a stalled connection) holds up the pictures and not the run.
    """

    def __init__(self) -> None:
        self._panorama = Panorama()
        self._console = Console()
        self._glyphs = glyphs_for(sys.stdout)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._changed = asyncio.Event()
        self._closing = False
        self._notice = ""
        self._drawing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw_on(), name="screen")

    def recall(self, records: Sequence[Record]) -> None:
        self.take_in(records)

    def take_in(self, records: Sequence[Record]) -> None:
        for record in records:
            self._panorama.take_in(record)
        self._changed.set()

    def notice(self, text: str) -> None:
        self._notice = text
        self._changed.set()

    async def close(self) -> None:
        self._closing = True
        self._changed.set()
        if self._drawing is not None:
            await self._drawing
        await asyncio.to_thread(self._live.stop)

    def abandon(self) -> None:
        write_at_once(1, _RESTORE)

    async def _draw_on(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # the clock in the header ticks
                    await self._changed.wait()
            self._changed.clear()
            began = time.perf_counter()
            size = self._console.size
            lines = frame(self._panorama, time.time(), size.width, size.height, self._glyphs, self._notice)
            composed = time.perf_counter() - began
            try:
                await asyncio.to_thread(self._live.update, Group(*lines), refresh=True)
            except OSError:
                return  # the terminal has gone; the run goes on
            if not self._closing:
                await asyncio.sleep(max(LEAST, SHARE * composed))
