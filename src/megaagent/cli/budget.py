"""megaagent budget: new caps for a run that is going on."""

from __future__ import annotations

from megaagent.cli.options import MaxCost, MaxTokens, RunName, Runs
from megaagent.errors import ConfigurationError

HELP = """\b
Example:
  megaagent budget --max-cost 20

A run that ended as exhausted is resumed instead: megaagent resume --max-cost 20"""


def command(
    run: RunName = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    runs: Runs = None,
) -> int:
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    if max_cost is None and max_tokens is None:
        raise ConfigurationError("no cap is given: use --max-cost DOLLARS or --max-tokens N")
    return tell(run, runs, Request("budget", cost=max_cost, tokens=max_tokens))
