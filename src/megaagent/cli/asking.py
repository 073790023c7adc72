"""Sends one request to a running engine and prints its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from megaagent.cli.options import chosen_run
from megaagent.cli.words import clean
from megaagent.control import Request, ask
from megaagent.errors import RunError


def tell(run: str | None, runs: Path | None, request: Request) -> int:
    """Ask the run for something.

    Raises:
        RunError: it is not going on, or it refused; the message says why.
    """
    answer = asyncio.run(ask(chosen_run(run, runs).socket, request))
    if not answer.ok:
        raise RunError(answer.text)
    print(clean(answer.text))
    return 0
