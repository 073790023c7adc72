"""Drives a run from a terminal: shows it, hands Ctrl-C on to it, and says how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from megaagent.cli.ending import ending, opening
from megaagent.cli.exits import ENDINGS, INTERRUPTED, READER_GONE
from megaagent.cli.options import Look, how_to_name
from megaagent.cli.printer import say_now, target, write_at_once
from megaagent.cli.views import View, choose
from megaagent.cli.words import clean_json, program
from megaagent.errors import MegaAgentError
from megaagent.events import Record

if TYPE_CHECKING:
    from megaagent.running import Result, Run
    from megaagent.telemetry.sending import Sent


PATIENCE = 10.0  # seconds between a stop and the next look at whether the disk lets the run end


def drive(run: AbstractAsyncContextManager[Run], look: Look) -> int:
    """Live through a run; returns the exit code of its ending.

    Args:
        run: what `megaagent.run.start` or `resume` gave, not yet entered.
    """
    return asyncio.run(_drive(run, look))


async def _drive(opened: AbstractAsyncContextManager[Run], look: Look) -> int:
    view, reader = choose(look), target(sys.stdout)
    interrupts = Interrupts(view)
    interrupts.install()
    try:
        async with opened as live:
            interrupts.live = live
            async with _in_browser(live, look.web):
                result = await _watch(live, view, look)
            figures = live.state.run
        if live.follower is not None and live.follower.sent is not None:
            _tell_of_spans(live.follower.sent)
    except asyncio.CancelledError:
        if not interrupts.count:
            raise
        print("interrupted before anybody was asked", file=sys.stderr)
        return INTERRUPTED
    except MegaAgentError:
        raise
    except Exception as error:
        if interrupts.live is not None:
            name = how_to_name(interrupts.live.folder)
            error.add_note(f"The journal is intact; go on with: {program()} resume {name}")
        raise
    finally:
        interrupts.remove()
    if look.json:
        _print_json(result)
    else:
        say_now("\n".join(ending(result, figures)))
    code = ENDINGS[result.status]
    return READER_GONE if not code and target(sys.stdout) != reader else code


@asynccontextmanager
async def _in_browser(live: Run, web: bool) -> AsyncGenerator[None]:
    """Serve the run's dashboard. It reads the journal, and only while somebody looks."""
    if not web:
        yield
        return
    from megaagent.cli.serve import PORT
    from megaagent.dashboard.address import Place, is_free
    from megaagent.dashboard.serving import serving

    port = PORT if is_free(PORT) else 0
    async with serving(live.folder.path.parent, Place(port=port), only=live.folder.id) as links:
        print(f"to see and steer: {links.full}", file=sys.stderr)
        print(f"to look only:     {links.read}", file=sys.stderr, flush=True)
        yield


async def _watch(live: Run, view: View, look: Look) -> Result:
    """Show the run until it has ended."""
    if not (look.json or look.quiet):
        say_now("\n".join(opening(live)))
    await view.begin()
    try:
        arrivals = Arrivals(view)
        live.watch(arrivals.take_in)
        live.watch_disk(partial(_tell_of_disk, view))
        arrivals.catch_up(live.folder.journal)
        return await live.result()
    finally:
        await view.close()


def _tell_of_spans(sent: Sent) -> None:
    from megaagent.cli.words import clean

    if sent.problem:
        lost = f"{sent.lost:,} spans and requests with metrics" if sent.lost else "the last spans and metrics"
        print(f"{lost} were not sent: {clean(sent.problem)}", file=sys.stderr)
        print(f"the journal has them all; send them with: {program()} trace", file=sys.stderr)


def _tell_of_disk(view: View, reason: str | None) -> None:
    view.notice(f"paused: {reason}; tried again until it can be written" if reason else "writes are taken again")


class Arrivals:
    """Hands a view every fact once, in order: those recorded before it watched, then the news."""

    def __init__(self, view: View):
        self._view = view
        self._seen = 0

    def take_in(self, records: Sequence[Record]) -> None:
        fresh = [record for record in records if record.position > self._seen]
        if fresh:
            self._seen = fresh[-1].position
            self._view.take_in(fresh)

    def catch_up(self, journal: Path) -> None:
        """Read what is in the journal already; called on the event loop, so no news can come between."""
        from megaagent.journal import open_reader

        reader = open_reader(journal)
        try:
            past = list(reader.records())
        finally:
            reader.close()
        epoch = past[-1].epoch if past else 0
        self._view.recall([record for record in past if record.epoch < epoch])
        self.take_in([record for record in past if record.epoch == epoch])


class Interrupts:
    """Ctrl-C once ends the run in good order, twice leaves at once; SIGTERM is like the first.

    A run whose disk takes nothing cannot end in good order: it is left when it was waited for long enough.
    """

    def __init__(self, view: View):
        self.live: Run | None = None
        self.count = 0
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        self._stopping: asyncio.Task[str] | None = None

    def install(self) -> None:
        self._loop.add_signal_handler(signal.SIGINT, self._interrupted)
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)

    def remove(self) -> None:
        self._loop.remove_signal_handler(signal.SIGINT)
        self._loop.remove_signal_handler(signal.SIGTERM)

    def _interrupted(self) -> None:
        if self.count:
            self._leave()
        self._stop()

    def _stop(self) -> None:
        self.count += 1
        if self.count > 1:
            return
        if self.live is None:
            assert self._main is not None
            self._main.cancel()
            return
        self._view.notice("stopping: press Ctrl-C again to leave at once")
        if self.live.state.run.ending is None:
            self._stopping = asyncio.create_task(self.live.control.stop("interrupted"))
        self._loop.call_later(PATIENCE, self._leave_if_stuck, self.live)

    def _leave_if_stuck(self, live: Run) -> None:
        if live.waits_for_disk is None:
            self._loop.call_later(PATIENCE, self._leave_if_stuck, live)
        else:
            print(f"the end cannot be written: {live.waits_for_disk}", file=sys.stderr)
            self._leave()

    def _leave(self) -> None:
        """Nothing is waited for: every fact that was acknowledged is in the journal already."""
        self._view.abandon()
        if self.live is not None:
            name = how_to_name(self.live.folder)
            text = f"left at once; the journal is intact, go on with: {program()} resume {name}\n"
            write_at_once(2, text.encode(errors="replace"))
        os._exit(INTERRUPTED)


def _print_json(result: Result) -> None:
    document = msgspec.json.encode({"result": result}, enc_hook=str).decode()
    say_now(clean_json(document))
