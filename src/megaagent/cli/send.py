"""megaagent send: write to an agent."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import RunName, Runs

HELP = """\b
Example:
  megaagent send boss "Please write the README in German as well."

The message reaches the agent before its next step."""


def command(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Its one-word name.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say.")],
    run: RunName = None,
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("send", agent, text))
