"""The ways to watch a run, and which of them fits where the output goes.

A view is told of facts and draws them. It reads and never asks, and nothing that it does can hold the run up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from megaagent import events as ev
from megaagent.cli.facts import Teller, noteworthy
from megaagent.cli.options import Look
from megaagent.cli.printer import Printer
from megaagent.cli.words import clean, clean_json, glyphs_for
from megaagent.errors import ConfigurationError
from megaagent.events import Record, name_of

# What a run waits for a person with, and what they can do.
WAITING: Final[dict[type[ev.Event], str]] = {
    ev.QuestionAsked: "answer with: megaagent answer TEXT",
    ev.ApprovalAsked: "say with: megaagent approve, or megaagent refuse",
    ev.RunPaused: "go on with: megaagent unpause",
}


class _Attended(msgspec.Struct):
    """What is read of the settings of a run."""

    attended: bool = False


class View(Protocol):
    """One way to watch."""

    async def begin(self) -> None:
        """Start to show."""
        ...

    def recall(self, records: Sequence[Record]) -> None:
        """Facts of earlier engines: to be known, not to be told."""
        ...

    def take_in(self, records: Sequence[Record]) -> None:
        """News, in the journal's order. Returns at once."""
        ...

    def notice(self, text: str) -> None:
        """Something that the program itself has to say."""
        ...

    async def close(self) -> None:
        """Show what is left, and give the terminal back."""
        ...

    def abandon(self) -> None:
        """Give the terminal back at once, whatever is under way: the process is about to leave."""
        ...


def choose(look: Look) -> View:
    """The view for these flags and this terminal.

    Raises:
        ConfigurationError: flags that exclude each other.
    """
    if look.plain + look.json + look.quiet > 1:
        raise ConfigurationError("--plain, --json and --quiet exclude each other: give one of them")
    if look.json:
        return JsonView()
    if look.quiet:
        return QuietView()
    if look.plain or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return PlainView()
    from megaagent.cli.screen import ScreenView

    return ScreenView()


class QuietView:
    """Shows nothing but what an attended run waits for a person with."""

    def __init__(self) -> None:
        self._teller = Teller(glyphs_for(sys.stderr))
        self._attended = False

    async def begin(self) -> None:
        pass

    def recall(self, records: Sequence[Record]) -> None:
        for record in records:
            self._know(record)

    def take_in(self, records: Sequence[Record]) -> None:
        for record in records:
            self._know(record)
            how = WAITING.get(type(record.event))
            if how is not None and self._attended:
                self.notice(f"{clean(name_of(record.agent))}: {self._teller.words(record)}")
                self.notice(f"  {how}")

    def _know(self, record: Record) -> None:
        self._teller.learn(record)
        if isinstance(record.event, ev.RunStarted | ev.RunForked):
            self._attended = msgspec.json.decode(record.event.settings or "{}", type=_Attended).attended

    def notice(self, text: str) -> None:
        with suppress(OSError):  # nobody reads it: the run goes on
            print(text, file=sys.stderr, flush=True)

    async def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class PlainView:
    """One line for each fact that a person wants to know."""

    def __init__(self) -> None:
        from rich.console import Console

        self._width = Console().width
        self._teller = Teller(glyphs_for(sys.stdout))
        self._printer = Printer(sys.stdout)
        self._began = 0.0

    async def begin(self) -> None:
        pass

    def recall(self, records: Sequence[Record]) -> None:
        for record in records:
            self._teller.learn(record)

    def take_in(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record.event, ev.RunStarted | ev.RunResumed | ev.RunForked):
                self._began = record.time
            self._teller.learn(record)
            if noteworthy(record):
                self._printer.say(self._teller.line(record, self._began, self._width))

    def notice(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    async def close(self) -> None:
        await self._printer.close()

    def abandon(self) -> None:
        pass


class JsonView:
    """Every fact as a line of JSON."""

    def __init__(self) -> None:
        self._printer = Printer(sys.stdout)
        self._encoder = msgspec.json.Encoder()

    async def begin(self) -> None:
        pass

    def recall(self, records: Sequence[Record]) -> None:
        pass

    def take_in(self, records: Sequence[Record]) -> None:
        for record in records:
            self._printer.say(clean_json(self._encoder.encode(record).decode()))

    def notice(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    async def close(self) -> None:
        await self._printer.close()

    def abandon(self) -> None:
        pass
