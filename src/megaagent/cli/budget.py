"""megaagent budget: new caps for a run that is going on, or for a part of it."""

from __future__ import annotations

from megaagent.cli.options import Caps, Seen, Subtree
from megaagent.errors import ConfigurationError

HELP = """With --agent that much is set aside for the agent and all below it, out of its superior's; what it has not
used flows back when its work is accepted. An agent has caps of money and tokens only.

A run that ended as exhausted is resumed instead: megaagent resume --max-cost 20

\b
Examples:
  megaagent budget --max-cost 20
  megaagent budget --max-tokens 900000 --max-time 3600
  megaagent budget --agent search --max-cost 2"""


def command(seen: Seen, caps: Caps, agent: Subtree = "") -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    given = (caps.max_cost, caps.max_tokens, caps.max_time, caps.max_steps, caps.max_disk)
    if all(cap is None for cap in given):
        raise ConfigurationError("no cap is given: use --max-cost DOLLARS or --max-tokens N, or another of --help")
    return tell(seen, Request("budget", agent, "", *given))
