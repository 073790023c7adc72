"""megaagent send: write to an agent."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import AgentName, Seen

HELP = """The message reaches the agent before its next step, and wakes one that rests.

\b
Examples:
  megaagent send boss "Please write the README in German as well."
  megaagent send search "Depth 3 is enough." 20261121-0931
  megaagent send boss "Hurry." --host http://127.0.0.1:8642"""


def command(
    agent: AgentName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say.")],
    seen: Seen,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(seen, Request("send", agent, text))
