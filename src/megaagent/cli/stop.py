"""megaagent stop: end a run in good order, or a part of it for good."""

from __future__ import annotations

from megaagent.cli.options import Reason, Seen, Subtree

HELP = """Calls in flight are given a moment; go on later with: megaagent resume

With --agent that agent and all below it leave: calls are called off, programs killed, what they owed has failed, and
their superior is told. The others go on, and those who left do not come back.

\b
Examples:
  megaagent stop
  megaagent stop 20261121-0931
  megaagent stop --agent search --reason "not needed any more"
"""


def command(seen: Seen, agent: Subtree = "", reason: Reason = "") -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    return tell(seen, Request("stop", agent, reason))
