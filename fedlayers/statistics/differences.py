"""By how much two groups of runs differ, with an interval over seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.statistics.bands import LEVEL, band_ends


@dataclass(frozen=True)
class Difference:
    """The second group's mean less the first one's.

    Attributes:
        mean: the difference.
        low, high: its 95 % interval, NaN if there are too few runs.
        runs: of each group, or pairs of runs.
        paired: whether runs of the same seed were compared with each other.
    """

    mean: float
    low: float
    high: float
    runs: tuple[int, int]
    paired: bool


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values of runs and its 95 % t interval, NaN of one run.

    Examples:
        >>> import numpy as np
        >>> [round(end, 3) for end in mean_interval(np.array([1.0, 2.0, 3.0]))]
        [2.0, -0.484, 4.484]
    """
    group = pd.Series(values).groupby(np.zeros(len(values)))
    (low,), (high,) = band_ends(group, "ci", (-math.inf, math.inf))
    return float(np.mean(values)), float(low), float(high)


def difference(first: Mapping[int, list[float]], second: Mapping[int, list[float]]) -> Difference:
    """Return by how much the second of two groups of runs is above the first.

    Runs of equal seeds start from the same weights and data: if both groups have the same seeds, one run each, the
    interval is that of the mean of their differences (paired t); else Welch's, whose variances may differ.

    Args:
        first: seed -> a value of each of its runs; one run or more.
        second: the same of the other group.

    References:
        Welch 1947, The Generalization of Student's Problem, Biometrika 34.

    Examples:
        >>> found = difference({0: [1.0], 1: [2.0]}, {0: [1.5], 1: [2.7]})
        >>> found.paired, round(found.mean, 3), round(found.low, 2), round(found.high, 2)
        (True, 0.6, -0.67, 1.87)
    """
    one, other = (np.array([value for own in group.values() for value in own]) for group in (first, second))
    alone = all(len(own) == 1 for group in (first, second) for own in group.values())
    if alone and first.keys() == second.keys() and len(first) > 1:
        apart = np.array([second[seed][0] - first[seed][0] for seed in first])
        return Difference(*mean_interval(apart), (len(apart), len(apart)), paired=True)
    counts = len(one), len(other)
    mean = float(other.mean() - one.mean())
    half = _welch_half(one, other) if min(counts) > 1 else math.nan
    return Difference(mean, mean - half, mean + half, counts, paired=False)


def _welch_half(one: np.ndarray, other: np.ndarray) -> float:
    """Return t √(s₁²/n₁ + s₂²/n₂), t at the degrees of freedom of Welch and Satterthwaite."""
    from scipy.special import stdtrit

    parts = np.array([values.var(ddof=1) / len(values) for values in (one, other)])
    total = float(parts.sum())
    if total == 0:
        return 0.0
    freedom = total**2 / float((parts**2 / (np.array([len(one), len(other)]) - 1)).sum())
    return float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(total)
