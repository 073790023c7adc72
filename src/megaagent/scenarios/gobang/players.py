"""Opponents for a Gobang AI: one that looks at the next move, and one that moves anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable

from megaagent.scenarios.gobang.play import DIRECTIONS, SIZE, Point, Referee

Player = Callable[[Referee, random.Random], Point]

# What a row is worth to the greedy player, by its length with the new stone and by its open ends.
ROWS = {
    (4, 2): 10_000,
    (4, 1): 500,
    (3, 2): 400,
    (3, 1): 50,
    (2, 2): 40,
    (2, 1): 5,
    (1, 2): 3,
    (1, 1): 1,
}
FIVE = 100_000


def random_player(referee: Referee, chance: random.Random) -> Point:
    """Any free point."""
    return chance.choice(referee.free())


def greedy_player(referee: Referee, chance: random.Random) -> Point:
    """The point where an own stone makes the best rows and a foreign one would have; ties are broken by chance."""
    me = referee.to_move
    if not referee.stones:
        return SIZE // 2, SIZE // 2
    scores = {p: 1.1 * rows(referee, p, me) + rows(referee, p, 1 - me) for p in referee.free()}
    best = max(scores.values())
    return chance.choice([point for point, score in scores.items() if score == best])


def rows(referee: Referee, point: Point, player: int) -> int:
    """The worth of the rows that a stone of `player` on a free point would be part of."""
    worth = 0
    for direction in DIRECTIONS:
        length, ends = 1, 0
        for sign in (1, -1):
            step = direction[0] * sign, direction[1] * sign
            run = referee.run(point, player, step)
            beyond = point[0] + step[0] * (run + 1), point[1] + step[1] * (run + 1)
            length += run
            ends += min(beyond) >= 0 and max(beyond) < SIZE and beyond not in referee.stones
        worth += FIVE if length >= 5 else ROWS.get((length, ends), 0)
    return worth
