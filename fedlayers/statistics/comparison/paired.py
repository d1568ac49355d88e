"""By how much an algorithm differs from a baseline, seed by seed, and how many seeds would show it."""

import math

import numpy as np
from scipy.special import nctdtr, stdtr, stdtrit

from fedlayers.statistics.bands import LEVEL

POWER = 0.8
MOST_SEEDS = 10_000
_ROUNDING = 1e-12


def paired_p(differences: np.ndarray) -> float:
    """Return the p of Student's paired test of differences, NaN of one; 0 or 1 if they are all the same.

    Args:
        differences: of each seed, shape (seeds,), finite.

    Examples:
        >>> import numpy as np
        >>> round(paired_p(np.array([0.02, 0.03, 0.01])), 3)
        0.074
    """
    if len(differences) < 2:
        return math.nan
    mean, deviation = _moments(differences)
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(len(differences) - 1, -mean / deviation * math.sqrt(len(differences))))


def seeds_needed(differences: np.ndarray) -> float:
    """Return how many seeds would show a difference of this size in four of five studies.

    The smallest n for which Student's paired test, two-sided at 5 %, finds mean d with standard deviation s with a
    probability of 80 %: T follows the noncentral t distribution at √n d/s. Both are estimated from few seeds:
    the number is a rough one.

    Args:
        differences: of each seed, shape (seeds,), finite.

    Returns:
        2 or more; infinite if over 10,000 or the difference is 0; NaN of one seed.

    References:
        Cohen 1988, Statistical Power Analysis for the Behavioral Sciences.

    Examples:
        >>> import numpy as np
        >>> seeds_needed(np.array([0.0, 1.0, 2.0]))
        10.0
    """
    if len(differences) < 2:
        return math.nan
    mean, deviation = _moments(differences)
    if deviation == 0:
        return 2.0 if mean else math.inf
    low, high = 1, MOST_SEEDS + 1
    if _power(mean / deviation, MOST_SEEDS) < POWER:
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(mean / deviation, middle) >= POWER else (middle, high)
    return float(high)


def _moments(differences: np.ndarray) -> tuple[float, float]:
    """Return the size of the mean and the standard deviation (ddof = 1), 0 of what differs by rounding alone."""
    mean, deviation = abs(float(differences.mean())), float(differences.std(ddof=1))
    return mean, deviation if deviation > _ROUNDING * float(np.abs(differences).max()) else 0.0


def _power(effect: float, seeds: int) -> float:
    """Return the probability that the test of so many seeds finds an effect of d/s."""
    if seeds < 2:
        return 0.0
    needed = float(stdtrit(seeds - 1, (1 + LEVEL) / 2))
    beyond = nctdtr(seeds - 1, math.sqrt(seeds) * effect, np.array([needed, -needed]))
    # SciPy gives up, with NaN, far out in the tails, where it is 0.
    upper, lower = np.nan_to_num(beyond)
    return float(1 - upper + lower)
