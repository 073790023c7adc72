"""Circles that are laid side by side."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from megaagent.report.packing import MANY, packed

RADII = st.lists(st.floats(0.2, 40.0), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(RADII)
def test_no_two_overlap_and_all_lie_within_the_circle_around_them(radii: list[float]) -> None:
    places, around = packed(radii)
    for index, (x, y) in enumerate(places):
        assert math.hypot(x, y) + radii[index] <= around + 1e-6
        for other in range(index):
            assert math.dist((x, y), places[other]) >= radii[index] + radii[other] - 1e-3
    covered = sum(r * r for r in radii) / around**2
    assert covered > 0.2  # they lie near each other


def test_very_many_of_one_size_lie_as_seeds_do() -> None:
    count = MANY + 500
    places, around = packed([3.0] * count)
    near = min(math.dist(places[a], places[b]) for a in range(count) for b in range(max(0, a - 120), a))
    assert near >= 6.0 and 9.0 * count / around**2 > 0.5
