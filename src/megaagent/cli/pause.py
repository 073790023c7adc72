"""megaagent pause: let a run begin nothing new."""

from __future__ import annotations

from megaagent.cli.options import Reason, Seen, Subtree

HELP = """Calls in flight come home and their answers are kept; no new step begins. Nothing is spent until it goes on.

\b
Examples:
  megaagent pause
  megaagent pause 20261121-0931 --reason "lunch"
  megaagent pause --agent search"""


def command(seen: Seen, agent: Subtree = "", reason: Reason = "") -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(seen, Request("pause", agent, reason))
