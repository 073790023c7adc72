"""Circles side by side without overlap, near each other: the front chain of Wang and others (2006).

Each circle is laid against two neighbours of the chain around those already there, where it is nearest to the middle.
When it would overlap another one of the chain, the chain is cut short up to that one, and it is tried there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

Place = tuple[float, float]

SLACK: Final = 1e-6
MANY: Final = 400  # equal circles that are laid as a sunflower's seeds instead, which takes no search
STEPS: Final = 60  # toward the middle of them all
GOLDEN: Final = math.pi * (3 - math.sqrt(5))


def packed(radii: Sequence[float]) -> tuple[list[Place], float]:
    """Places of circles around the origin, in their order, and the radius of a circle around them all."""
    if len(radii) > MANY and max(radii) - min(radii) < SLACK:
        places = [_seed(index, radii[0]) for index in range(len(radii))]
    else:
        places = _chained(radii)
    x, y = _middle(places, radii)
    centred = [(a - x, b - y) for a, b in places]
    around = max(math.hypot(a, b) + r for (a, b), r in zip(centred, radii, strict=True))
    return centred, around


def _seed(index: int, radius: float) -> Place:
    """The place of a seed of a sunflower: neighbours are never nearer than two radii."""
    distance, angle = 1.3 * radius * math.sqrt(index + 0.5), index * GOLDEN
    return distance * math.cos(angle), distance * math.sin(angle)


def _chained(radii: Sequence[float]) -> list[Place]:
    count = len(radii)
    places: list[Place] = [(0.0, 0.0)] * count
    if count > 1:
        places[0], places[1] = (-radii[0], 0.0), (radii[1], 0.0)
    if count > 2:
        places[2] = _against(places[1], radii[1], places[0], radii[0], radii[2])
    if count <= 3:
        return places
    after, before = {0: 2, 2: 1, 1: 0}, {2: 0, 1: 2, 0: 1}
    left = 0
    for new in range(3, count):
        right = after[left]
        while True:
            place = _against(places[right], radii[right], places[left], radii[left], radii[new])
            cut = _overlapped(place, radii[new], left, right, places, radii, after, before)
            if cut is None:
                break
            if cut[1]:
                right = cut[0]
            else:
                left = cut[0]
            after[left], before[right] = right, left
        places[new] = place
        after[left] = before[right] = new
        after[new], before[new] = right, left
        left = _nearest(places, radii, after, new)
    return places


def _against(a: Place, ra: float, b: Place, rb: float, r: float) -> Place:
    """Where a circle touches two others, on the left of the way from the first to the second."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    apart = math.hypot(dx, dy) or SLACK
    along = ((ra + r) ** 2 - (rb + r) ** 2 + apart * apart) / (2 * apart)
    across = math.sqrt(max(0.0, (ra + r) ** 2 - along * along))
    ux, uy = dx / apart, dy / apart
    return a[0] + ux * along - uy * across, a[1] + uy * along + ux * across


def _overlapped(
    place: Place,
    r: float,
    left: int,
    right: int,
    places: list[Place],
    radii: Sequence[float],
    after: dict[int, int],
    before: dict[int, int],
) -> tuple[int, bool] | None:
    """The first of the chain that the circle would overlap, looked for on both sides at once; True is the right."""
    ahead, behind = after[right], before[left]
    way_ahead, way_behind = radii[right], radii[left]
    while True:
        if way_ahead <= way_behind:
            if _overlap(place, r, places[ahead], radii[ahead]):
                return ahead, True
            way_ahead += radii[ahead]
            ahead = after[ahead]
        else:
            if _overlap(place, r, places[behind], radii[behind]):
                return behind, False
            way_behind += radii[behind]
            behind = before[behind]
        if ahead == after[behind]:
            return None


def _overlap(a: Place, ra: float, b: Place, rb: float) -> bool:
    near = ra + rb - SLACK
    return near > 0 and (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < near * near


def _nearest(places: list[Place], radii: Sequence[float], after: dict[int, int], start: int) -> int:
    """The one of the chain that touches the next one nearest to the middle."""
    best, least, at = start, _far(places, radii, after, start), after[start]
    while at != start:
        far = _far(places, radii, after, at)
        if far < least:
            best, least = at, far
        at = after[at]
    return best


def _far(places: list[Place], radii: Sequence[float], after: dict[int, int], at: int) -> float:
    (x, y), (to_x, to_y) = places[at], places[after[at]]
    r, to_r = radii[at], radii[after[at]]
    return ((x * to_r + to_x * r) / (r + to_r)) ** 2 + ((y * to_r + to_y * r) / (r + to_r)) ** 2


def _middle(places: Sequence[Place], radii: Sequence[float]) -> Place:
    """The middle of about the smallest circle around all: a point that steps to the farthest one, less each time."""
    x = sum(x for x, _ in places) / len(places)
    y = sum(y for _, y in places) / len(places)
    for step in range(STEPS):
        far, (to_x, to_y), r = max(
            ((math.hypot(a - x, b - y) + r, (a, b), r) for (a, b), r in zip(places, radii, strict=True)),
            key=lambda each: each[0],
        )
        apart = far - r
        if apart < SLACK:
            break
        share = far / apart / (step + 2)
        x, y = x + (to_x - x) * share, y + (to_y - y) * share
    return x, y
