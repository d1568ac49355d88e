"""Where a value stands among those that chance alone produces."""

import math
from dataclasses import dataclass

from torch import Tensor

from metrics.statistics.chance_quantile import chance_quantile


@dataclass(frozen=True)
class Chance:
    """The values that chance produces, and how likely it reaches the one that was measured; None if unknown.

    Attributes:
        chance: their mean.
        chance_hi: their 95 % quantile, see :func:`metrics.statistics.chance_quantile.chance_quantile`; None of
            fewer than 19.
        p: (1 + number of those that reach the value) / (1 + their number), the p value of a permutation test.
    """

    chance: float | None = None
    chance_hi: float | None = None
    p: float | None = None


def against_chance(value: float, by_chance: Tensor) -> Chance:
    """Return how a value compares with those of a permutation test; high values count.

    Args:
        value: the value measured.
        by_chance: the values of shuffled data, shape (s,), float64; nothing is known if s = 0.

    References:
        Ojala & Garriga 2010, Permutation Tests for Studying Classifier Performance, JMLR 11.

    Examples:
        >>> import torch
        >>> chance = against_chance(0.9, torch.arange(99) / 100)
        >>> round(chance.chance, 2), chance.p
        (0.49, 0.1)
    """
    if not len(by_chance):
        return Chance()
    # Equal values may differ by rounding.
    reached = int((by_chance >= value - 1e-12).sum())
    high = float(chance_quantile(by_chance.numpy(), upper=True))
    p = (1 + reached) / (1 + len(by_chance))
    return Chance(float(by_chance.mean()), None if math.isnan(high) else high, p)
