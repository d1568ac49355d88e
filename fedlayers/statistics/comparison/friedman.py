"""Friedman's test: whether algorithms differ more than their order in every block by chance alone would make them."""

import math
from dataclasses import dataclass

import numpy as np

from fedlayers.statistics.comparison.ranks import ranks_in_blocks

_SHUFFLES = 9_999
# Of larger tables the distribution that the statistic tends to is as good, and shuffling takes seconds.
_MOST_SHUFFLED = 2_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Friedman:
    """What Friedman's test says.

    Attributes:
        blocks: how many blocks have all algorithms.
        algorithms: how many.
        statistic: χ², corrected for ties; NaN if there is no test.
        p: of the null hypothesis that within every block all orders of the algorithms are equally likely, from shuffles
            within blocks (of tables of over 2,000 values: from χ²).
        p_chi2: from the χ² distribution, which is what papers report; too large with few blocks.
        least_p: the smallest p that so many blocks and algorithms can give, without ties; 1 if there is no test.
        reason: why there is no test, empty if there is one.
    """

    blocks: int
    algorithms: int
    statistic: float
    p: float
    p_chi2: float
    least_p: float
    reason: str


def friedman(values: np.ndarray) -> Friedman:
    """Return Friedman's test with algorithms as treatments.

    χ²_F = 12 n / (k (k + 1)) · Σ_j (R_j − (k + 1)/2)² for n blocks and k algorithms with mean ranks R_j, divided by
    the share of the ranks' variance that ties leave. What stands in the columns is compared: with data sets there, it
    would be asked whether data sets differ.

    Args:
        values: shape (blocks, algorithms), finite: of each block, such as a data set or a seed of one, the score of
            each algorithm.

    References:
        Friedman 1937, The Use of Ranks to Avoid the Assumption of Normality, J. Am. Stat. Assoc. 32; Demšar 2006,
        Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7.

    Examples:
        >>> import numpy as np
        >>> found = friedman(np.array([[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.9, 0.7, 0.5], [0.8, 0.6, 0.7]]))
        >>> found.statistic, round(found.p_chi2, 3), found.p < 0.05
        (6.5, 0.039, True)
    """
    blocks, algorithms = values.shape
    if algorithms < 2 or blocks < 2:
        what = "algorithm" if algorithms < 2 else "block"
        return Friedman(blocks, algorithms, math.nan, math.nan, math.nan, 1.0, f"a test needs two {what}s or more")
    ranks = ranks_in_blocks(values, True)
    ties, least_p = _share_left_by_ties(ranks), float(math.factorial(algorithms)) ** (1 - blocks)
    if ties <= _ROUNDING:
        return Friedman(blocks, algorithms, 0.0, 1.0, 1.0, least_p, "")
    statistic = _statistics(ranks.mean(axis=0)[None], blocks)[0] / ties
    p_chi2 = _p_chi2(values, statistic)
    p = _shuffled_p(ranks, statistic * ties) if values.size <= _MOST_SHUFFLED else p_chi2
    return Friedman(blocks, algorithms, float(statistic), p, p_chi2, least_p, "")


def _statistics(means: np.ndarray, blocks: int) -> np.ndarray:
    """Return χ²_F without the correction for ties, of mean ranks (n, algorithms)."""
    k = means.shape[1]
    found: np.ndarray = 12 * blocks / (k * (k + 1)) * np.square(means - (k + 1) / 2).sum(axis=1)
    return found


def _share_left_by_ties(ranks: np.ndarray) -> float:
    """Return the ranks' variance within blocks as a share of what it is without ties."""
    k = ranks.shape[1]
    return float(np.square(ranks - (k + 1) / 2).sum(axis=1).mean() / (k * (k * k - 1) / 12))


def _p_chi2(values: np.ndarray, statistic: float) -> float:
    from scipy.stats import chi2, friedmanchisquare

    if values.shape[1] > 2:  # SciPy refuses two treatments
        return float(friedmanchisquare(*values.T).pvalue)
    return float(chi2.sf(statistic, 1))


def _shuffled_p(ranks: np.ndarray, statistic: float) -> float:
    """Return the share of shuffles within blocks, this order among them, whose statistic is as large."""
    random = np.random.default_rng(0)
    total = np.zeros((_SHUFFLES, ranks.shape[1]))
    for block in ranks:
        total += random.permuted(np.broadcast_to(block, total.shape), axis=1)
    found = _statistics(total / len(ranks), len(ranks))
    return float((1 + np.sum(found >= statistic - _ROUNDING)) / (1 + _SHUFFLES))
