"""A thousand random histories of a budget: calls reserved, intended, answered and given up in any order, 500 at once.

After every act what is spent and reserved is held against the caps (promise P7), and each refusal against what was
left.
"""

from __future__ import annotations

import sys
from random import Random

from tests.organization.test_budget_properties import IN_FLIGHT, Bench


def run(full: bool, seed: int) -> dict[str, object]:
    """Play the histories."""
    cases, violations, most_at_once, calls = (20_000 if full else 1_000), 0, 0, 0
    for each in range(seed, seed + cases):
        try:
            at_once, made = _history(Random(each))
            most_at_once, calls = max(most_at_once, at_once), calls + made
        except AssertionError as error:
            violations += 1
            sys.stdout.write(f"seed {each}: {error}\n    again: python -m campaigns budget --seed {each}\n")
    return {"cases": cases, "violations": violations, "calls": calls, "most_in_flight": most_at_once}


def _history(random: Random) -> tuple[int, int]:
    """One history; the most calls that were under way at once, and how many were made."""
    tokens = random.choice([None, random.randrange(1, 2_000_000)])
    cost = random.choice([None, random.uniform(0.01, 20.0)])
    bench = Bench(tokens, cost, random.choice([0.0, 0.05, 0.5]))
    most, calls = 0, 0
    for number in range(random.choice([100, 1_500])):
        act = random.random()
        if act < 0.5 and len(bench.under_way) + len(bench.coming) < IN_FLIGHT:
            bench.reserve(f"boss#{number}", random.randrange(1, 5_000), random.random() / 20, random.random() < 0.1)
        elif act < 0.9 and bench.coming:
            bench.intend()
            calls += 1
        elif bench.under_way and random.random() < 0.8:
            bench.answer(random.randrange(IN_FLIGHT), random.random())
        elif bench.under_way:
            bench.give_up(random.randrange(IN_FLIGHT), random.choice(["timeout", "broken", "cancelled"]))
        most = max(most, len(bench.under_way) + len(bench.coming))
        spent, paid = bench.committed()
        assert tokens is None or spent <= tokens, f"{spent} tokens are beyond the cap of {tokens}"
        assert cost is None or paid <= cost + 1e-6, f"${paid} is beyond the cap of ${cost}"
    return most, calls
