"""megaagent stop: end a run in good order, or a part of it for good."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import RunName, Runs, Subtree

HELP = """\b
Examples:
  megaagent stop
  megaagent stop 20261121-0931
  megaagent stop --agent search

Calls in flight are given a moment; go on later with: megaagent resume

With --agent that agent and all below it leave: calls are called off, programs killed,
what they owed has failed, and their superior is told. The others go on."""


def command(
    run: RunName = None,
    agent: Subtree = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the record.")] = "",
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("stop", agent, reason))
