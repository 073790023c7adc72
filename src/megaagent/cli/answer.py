"""megaagent answer: answer what an agent has asked."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import RunName, Runs

HELP = """\b
Example:
  megaagent answer "Use the MIT licence."

Which question is open is shown by the live view, and by: megaagent show --kind QuestionAsked"""


def command(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer.")],
    run: RunName = None,
    question: Annotated[
        str, typer.Option("--question", metavar="ID", help="Which question, when several are open.")
    ] = "",
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("answer", question, text))
