"""The paper's experiments: data, scores, and runs of many items; one table of what can be evaluated."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.evaluation.contract import Benchmark

BENCHMARKS: dict[str, str] = {
    "humaneval": "megaagent.evaluation.humaneval:HumanEval",
    "mbpp": "megaagent.evaluation.mbpp:Mbpp",
    "gsm8k": "megaagent.evaluation.gsm8k:Gsm8k",
    "math": "megaagent.evaluation.competition:CompetitionMath",
    "travelplanner": "megaagent.evaluation.travelplanner.benchmark:TravelPlanner",
    "gobang": "megaagent.evaluation.gobang:GobangGame",
    "policy": "megaagent.evaluation.policy:NationalPolicy",
}
"""Every benchmark by its name, as `module:class`; a new one is a line here."""


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigurationError: there is none; names the nearest.
    """
    place = BENCHMARKS.get(name)
    if place is None:
        near = get_close_matches(name, BENCHMARKS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigurationError(f"there is no evaluation called {name!r}; {hint}there are: {', '.join(BENCHMARKS)}")
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)()
