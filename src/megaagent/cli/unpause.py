"""megaagent unpause: let a paused run go on."""

from __future__ import annotations

from megaagent.cli.options import RunName, Runs, Subtree

HELP = """\b
Examples:
  megaagent unpause
  megaagent unpause 20261121-0931
  megaagent unpause --agent search

A run whose process has ended is resumed instead: megaagent resume"""


def command(
    run: RunName = None,
    agent: Subtree = "",
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(run, runs, Request("unpause", agent))
