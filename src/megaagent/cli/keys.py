"""Single keys of a terminal, without waiting for the end of a line."""

from __future__ import annotations

import os
import select
import termios
import tty
from typing import IO, Final

# What terminals send for keys that are no letters.
NAMED: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[1~": "home",
    b"\x1b": "q",
}


class Keys:
    """Reads keys while its context is open; Ctrl-C stays what it is."""

    def __init__(self, stream: IO[str]):
        self._descriptor = stream.fileno()
        self._before = termios.tcgetattr(self._descriptor)

    def __enter__(self) -> Keys:
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(self, *raised: object) -> None:
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def next(self, patience: float) -> str:
        """The key that is pressed within so many seconds, as its letter or its name; "" when none is."""
        if not select.select([self._descriptor], [], [], patience)[0]:
            return ""
        data = os.read(self._descriptor, 32)
        if not data:
            return "q"  # the terminal has gone
        return NAMED.get(data, data[:1].decode(errors="replace"))
