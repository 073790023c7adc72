"""Sends one request to a running engine and prints its answer."""

from __future__ import annotations

import asyncio
import os

from megaagent.cli.options import Place, Seen
from megaagent.cli.words import clean
from megaagent.control import Request
from megaagent.errors import ConfigurationError
from megaagent.folder import all_runs, runs_folder


def tell(place: Place, request: Request, run: str | None = None) -> int:
    """Ask the run for something.

    Args:
        run: its name, when the place does not say it. When neither does, it is the latest that is going on.

    Raises:
        RunError: it is not going on.
        ConfigurationError: it refused; the message says why.
    """
    named = place.run if isinstance(place, Seen) else run
    with place.sight_of(named or _latest_going_on(place)) as sight:
        answer = sight.ask(request)
    if not answer.ok:
        raise ConfigurationError(answer.text)
    print(clean(answer.text))
    return 0


def _latest_going_on(place: Place) -> str | None:
    """The run here that can be told something, should a later one have ended already."""
    from megaagent.readings.summary import standing

    if place.host is not None:
        return None
    for folder in reversed(all_runs(runs_folder(place.runs, os.environ))):
        if asyncio.run(standing(folder)) is not None:
            return str(folder.path)
    return None
