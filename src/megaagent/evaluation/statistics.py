"""Figures of a score: pass@k without bias, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

_Z = 1.959963984540054  # of the standard normal distribution, for 95 %
_RESAMPLED = 2_000
_FEW = 10  # items


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that at least one of k samples is right, estimated without bias from more of them (Chen et al. 2021).

    Raises:
        ValueError: there are fewer samples than k.
    """
    if not 0 <= right <= samples or not 1 <= k <= samples:
        raise ValueError(f"{right} right of {samples} samples tell nothing of pass@{k}")
    if samples - right < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / number for number in range(samples - right + 1, samples + 1))


def wilson(right: float, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which holds also for few items and for shares near 0 and 1."""
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, _Z * _Z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean, from means of values drawn again (percentiles); for scores that are no shares."""
    if not values:
        return 0.0, 1.0
    random = Random(seed)
    means = sorted(math.fsum(random.choices(values, k=len(values))) / len(values) for _ in range(_RESAMPLED))
    return means[int(0.025 * _RESAMPLED)], means[int(0.975 * _RESAMPLED) - 1]


def interval(shares: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean of items: Wilson's when each is right or wrong, otherwise by bootstrap.

    Of few items a bootstrap sees too little (of one nothing at all). Wilson's is wide enough for them, since no share
    of 0 to 1 with that mean varies more than right and wrong do.
    """
    if len(shares) < _FEW or all(share in (0.0, 1.0) for share in shares):
        return wilson(math.fsum(shares), len(shares))
    return bootstrap(shares)
