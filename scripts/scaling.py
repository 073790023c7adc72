"""Reckons on paper what organizations of many sizes need, from what was measured: the table in docs/scaling.md.

    python scripts/scaling.py          # prints the table; a test holds the page against it

Every figure comes from docs/performance.md, or follows from those by the formula beside it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from megaagent.models.simulated import Latency

# What one step brings with it: the policy run of 590 agents (2,026 steps, 16,721 facts, 8.10 MB, 2,301 messages, 627
# commits, 7.27 million prompt and 0.23 million completion tokens; simulated).
FACTS: Final = 16_721 / 2_026
BYTES: Final = 8_101_888 / 2_026
MESSAGES: Final = 2_301 / 2_026
COMMITS: Final = 627 / 2_026
PROMPT, COMPLETION = 3_590, 112
DOLLARS: Final = 6.97 / 2_026  # at the list price of GPT-4.1, with 86 % of the prompts cached

# Seconds of an answer: the law of the simulated model, fitted to a real run with GPT-4.1, times the mean of its factor.
LAW: Final = Latency()
ANSWER: Final = (LAW.fixed + LAW.per_completion * COMPLETION + LAW.per_prompt * PROMPT) * math.exp(LAW.sigma**2 / 2)

# How many are busy at once: the policy run by that law, 2,186 steps in 73.4 virtual seconds, 590 agents.
BUSY: Final = 2_186 / 73.4 * ANSWER / 590

# What one head bears.
WORK_MS: Final = 1.6  # CPU of the engine for a step of the policy run with its files and reviews (benchmarks policy)
CALL_MS, CALL_MS_RAY, DRIVER_MS = 0.21, 0.06, 0.15  # of one call: by itself; by Ray; beside the engine (benchmarks ray)
STEP_MS, STEP_MS_RAY = WORK_MS + CALL_MS, WORK_MS + CALL_MS_RAY
FACTS_S, COMMITS_S, MAIL_S = 45_947, 2_558, 9_266  # benchmarks journal, workspace, mail
AT_REST: Final = 4_287  # bytes of an agent (benchmarks rest, 100,000 agents)
RECRUITED_S: Final = 2_728

SIZES: Final = (1_000, 100_000, 10_000_000)


class Load(NamedTuple):
    """An organization of so many agents, of which so many are busy at once."""

    agents: int
    busy: float

    @property
    def steps(self) -> float:
        """Each second."""
        return self.busy / ANSWER


LIMITS: Final[dict[str, Callable[[Load], float]]] = {
    "the engine's CPU": lambda load: load.steps * STEP_MS_RAY / 1000,
    "the process beside it": lambda load: load.steps * DRIVER_MS / 1000,
    "the journal": lambda load: load.steps * FACTS / FACTS_S,
    "Git": lambda load: load.steps * COMMITS / COMMITS_S,
    "mail": lambda load: load.steps * MESSAGES / MAIL_S,
    "memory (8 GB)": lambda load: load.agents * AT_REST / 8e9,
}


def heads(load: Load) -> str:
    """How many heads are needed, and for what most of all."""
    reason, most = max(((name, limit(load)) for name, limit in LIMITS.items()), key=lambda each: each[1])
    return f"{math.ceil(most):,} ({reason})"


def short(value: float) -> str:
    """Two digits that count; no more was measured."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}"


ROWS: Final[dict[str, Callable[[Load], str]]] = {
    "busy at once": lambda load: short(load.busy),
    "steps a second": lambda load: short(load.steps),
    "cores of the head for the engine, calls by itself": lambda load: short(load.steps * STEP_MS / 1000),
    "the same, calls by Ray": lambda load: short(load.steps * STEP_MS_RAY / 1000),
    "cores of the head for the process beside it": lambda load: short(load.steps * DRIVER_MS / 1000),
    "facts a second": lambda load: short(load.steps * FACTS),
    "journal, GB a day": lambda load: short(load.steps * BYTES * 86_400 / 1e9),
    "messages a second": lambda load: short(load.steps * MESSAGES),
    "commits a second": lambda load: short(load.steps * COMMITS),
    "tokens a minute that the provider must allow, million": lambda load: short(
        load.steps * (PROMPT + COMPLETION) * 60 / 1e6
    ),
    "dollars an hour at GPT-4.1's list price": lambda load: short(load.steps * DOLLARS * 3600),
    "memory for agents at rest, GB": lambda load: short(load.agents * AT_REST / 1e9),
    "minutes to recruit them all, one head": lambda load: short(load.agents / RECRUITED_S / 60),
    "heads, and what asks for them": heads,
}


def table() -> Iterator[str]:
    loads = [load for agents in SIZES for load in (Load(agents, agents * BUSY), Load(agents, agents))]
    heads = [f"{load.agents:,}, {'all busy' if load.busy == load.agents else f'{BUSY:.0%} busy'}" for load in loads]
    yield f"| agents | {' | '.join(heads)} |"
    yield "|---" * (len(loads) + 1) + "|"
    for name, told in ROWS.items():
        yield f"| {name} | {' | '.join(map(told, loads))} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(table()) + "\n")
