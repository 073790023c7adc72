"""megaagent pause: let a run begin nothing new."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import RunName, Runs, Subtree

HELP = """\b
Examples:
  megaagent pause
  megaagent pause 20261121-0931
  megaagent pause --agent search

Calls in flight come home; go on with: megaagent unpause"""


def command(
    run: RunName = None,
    agent: Subtree = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the record.")] = "",
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("pause", agent, reason))
