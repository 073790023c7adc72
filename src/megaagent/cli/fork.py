"""megaagent fork: another run from any point of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.options import Caps, Chosen, Conduct, Look, Models

HELP = """\b
Examples:
  megaagent fork --at 120 --model openai:gpt-4.1
  megaagent fork 20261121-0931 --at 57 --say "Use only the standard library."
  megaagent fork --at 4 --prompts my-prompts --set limits.agents=20

\b
The facts, with their numbers, are listed by: megaagent show
The other run is only read; it may be going on. What it has spent up to
that fact counts towards the caps. Its journal is kept where that of the
other is, unless --journal says more."""


def command(
    at: Annotated[int, typer.Option("--at", metavar="EVENT", help="The last fact that both runs have in common.")],
    chosen: Chosen,
    models: Models,
    caps: Caps,
    conduct: Conduct,
    look: Look,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", metavar="DIR", help="A folder of prompts that replace the built-in ones.", show_default=False
        ),
    ] = None,
    say: Annotated[
        str | None, typer.Option("--say", metavar="TEXT", help="Mail to the boss, from you.", show_default=False)
    ] = None,
) -> int:
    from megaagent.cli.drive import drive
    from megaagent.fork import fork

    replaced = {"prompts": str(prompts.absolute())} if prompts is not None else {}
    changes = conduct.changes() | models.changes() | replaced | caps.changes()
    return drive(fork(chosen.folder(), at=at, changes=changes, say=say), look)
