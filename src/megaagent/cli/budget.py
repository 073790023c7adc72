"""megaagent budget: new caps for a run that is going on, or for a part of it."""

from __future__ import annotations

from megaagent.cli.options import MaxCost, MaxDisk, MaxSteps, MaxTime, MaxTokens, RunName, Runs, Subtree
from megaagent.errors import ConfigurationError

HELP = """\b
Examples:
  megaagent budget --max-cost 20
  megaagent budget --agent search --max-cost 2

With --agent that much is set aside for the agent and all below it, out of its superior's;
what it has not used flows back when its work is accepted.

A run that ended as exhausted is resumed instead: megaagent resume --max-cost 20"""


def command(
    run: RunName = None,
    agent: Subtree = "",
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    max_time: MaxTime = None,
    max_steps: MaxSteps = None,
    max_disk: MaxDisk = None,
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    if all(cap is None for cap in (max_cost, max_tokens, max_time, max_steps, max_disk)):
        raise ConfigurationError("no cap is given: use --max-cost DOLLARS or --max-tokens N, or another of --help")
    request = Request("budget", agent, "", max_cost, max_tokens, max_time, max_steps, max_disk)
    return tell(run, runs, request)
