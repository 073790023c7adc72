"""megaagent stop: end a run in good order."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import RunName, Runs

HELP = """\b
Examples:
  megaagent stop
  megaagent stop 20261121-0931

Calls in flight are given a moment; go on later with: megaagent resume"""


def command(
    run: RunName = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the record.")] = "",
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("stop", text=reason))
