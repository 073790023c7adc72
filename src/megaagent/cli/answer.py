"""megaagent answer: answer what an agent has asked."""

from __future__ import annotations

from typing import Annotated

import typer

from megaagent.cli.options import Seen

HELP = """\b
Examples:
  megaagent answer "Use the MIT licence."
  megaagent answer "Both." --question 'boss/engine#7.1'

Which question is open is shown by the live view, and by: megaagent show --kind QuestionAsked"""


def command(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer.")],
    seen: Seen,
    question: Annotated[
        str,
        typer.Option("--question", metavar="ID", help="Which question, when several are open.", show_default=False),
    ] = "",
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(seen, Request("answer", question, text))
