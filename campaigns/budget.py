"""Random histories of a budget over random trees, with up to 500 calls under way and a provider that over-reports.

Agents are recruited, given purses, stopped; calls are reserved, intended, answered, failed, called off and given up in
any order. Plain books beside the ledger judge each act (promise P7), and at the end that all came back and that the
journal folds to the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from random import Random

from campaigns.purses import Books, Caps, play

IN_FLIGHT = 500


def run(full: bool, seed: int) -> dict[str, object]:
    """Play the histories."""
    cases, violations, most = (6_000 if full else 300), 0, 0
    counts: Counter[str] = Counter()
    for each in range(seed, seed + cases):
        random = Random(each)
        books = Books(_caps(random))
        try:
            play(books, random, 3_000 if each % 25 == 0 else random.choice([50, 300]), IN_FLIGHT)
        except AssertionError as error:
            violations += 1
            sys.stdout.write(f"seed {each}: {error}\n    again: python -m campaigns budget --seed {each}\n")
        most = max(most, books.most)
        counts.update(
            calls=books.answers,
            refused=books.refused,
            waited=books.crowded,
            overreported=books.overreported,
            agents=len(books.groups),
        )
    return {"cases": cases, "violations": violations, "most_in_flight": most, **counts}


def _caps(random: Random) -> Caps:
    return Caps(
        random.choice([None, random.randrange(1_000, 3_000_000)]),
        random.choice([None, random.uniform(0.01, 50.0)]),
        random.choice([0.0, 0.05, 0.5]),
        random.choice([1.0, 0.8, 0.3]),
        random.choice([None, None, random.randrange(1, 2_000)]),
    )
