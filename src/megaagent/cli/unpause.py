"""megaagent unpause: let a paused run go on."""

from __future__ import annotations

from megaagent.cli.options import Seen, Subtree

HELP = """A run whose process has ended is resumed instead: megaagent resume

\b
Examples:
  megaagent unpause
  megaagent unpause 20261121-0931
  megaagent unpause --agent search"""


def command(seen: Seen, agent: Subtree = "") -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(seen, Request("unpause", agent))
