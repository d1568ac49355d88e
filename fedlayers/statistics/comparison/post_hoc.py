"""Which algorithms differ, once it is clear that some do: Nemenyi's test of all pairs, and Holm's step-down method."""

import math

import numpy as np
from scipy.special import ndtr


def critical_difference(algorithms: int, blocks: int, alpha: float = 0.05) -> float:
    """Return by how much two mean ranks must differ to count as different in Nemenyi's test of all pairs.

    CD = q √(k (k + 1) / (6 n)), q the 1 − α quantile of the studentised range of k independent normal values, over √2.

    Args:
        algorithms: k, 2 or more.
        blocks: n, 1 or more.
        alpha: the chance of any false alarm among all pairs, in (0, 1).

    References:
        Nemenyi 1963, Distribution-free multiple comparisons (Ph.D. thesis, Princeton); Demšar 2006, Statistical
        Comparisons of Classifiers over Multiple Data Sets, JMLR 7.

    Examples:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - alpha, algorithms, np.inf)) / math.sqrt(2)
    return quantile * rank_error(algorithms, blocks)


def rank_error(algorithms: int, blocks: int) -> float:
    """Return the standard error √(k (k + 1) / (6 n)) of a difference of two mean ranks under the null hypothesis."""
    return math.sqrt(algorithms * (algorithms + 1) / (6 * blocks))


def nemenyi(ranks: np.ndarray, blocks: int) -> np.ndarray:
    """Return Nemenyi's p of every two algorithms, which holds for all pairs at once.

    Args:
        ranks: mean ranks, shape (algorithms,), two or more.
        blocks: over how many.

    Returns:
        Shape (algorithms, algorithms), symmetric, 1 on the diagonal.

    Examples:
        >>> import numpy as np
        >>> nemenyi(np.array([3.143, 2.0, 2.893, 1.964]), 14)[0].round(3).tolist()
        [1.0, 0.089, 0.956, 0.074]
    """
    from scipy.stats import studentized_range

    apart = np.abs(ranks[:, None] - ranks[None]) / rank_error(len(ranks), blocks)
    found = np.clip(studentized_range.sf(apart * math.sqrt(2), len(ranks), np.inf), 0.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found, float)


def against_control(ranks: np.ndarray, blocks: int, control: int) -> np.ndarray:
    """Return the p of each algorithm against one of them, after Holm's correction for that many comparisons.

    z = (R_j − R_control) / √(k (k + 1) / (6 n)) is compared with a normal distribution, two-sided.

    Args:
        ranks: mean ranks, shape (algorithms,), two or more.
        blocks: over how many.
        control: the number of the one.

    Returns:
        Shape (algorithms,), NaN for the control itself.

    References:
        Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, section 3.2.2.

    Examples:
        >>> import numpy as np
        >>> against_control(np.array([3.143, 2.0, 2.893, 1.964]), 14, 0).round(3).tolist()
        [nan, 0.047, 0.608, 0.047]
    """
    z = np.abs(ranks - ranks[control]) / rank_error(len(ranks), blocks)
    found = 2 * ndtr(-z)
    others = np.arange(len(ranks)) != control
    found[others] = holm(found[others])
    found[control] = math.nan
    return np.asarray(found, float)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number by Holm's step-down method: max over smaller ones of (m − i + 1) p₍ᵢ₎.

    The chance that any of the true null hypotheses is rejected stays below the level, however the tests depend on
    each other.

    Args:
        p: shape (m,); NaN stays NaN and does not count.

    References:
        Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Stat. 6.

    Examples:
        >>> import numpy as np
        >>> holm(np.array([0.01, 0.04, 0.03, 0.005])).round(3).tolist()
        [0.03, 0.06, 0.06, 0.02]
    """
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    found = np.full(len(p), math.nan)
    found[order] = np.minimum(np.maximum.accumulate((len(order) - np.arange(len(order))) * p[order]), 1.0)
    return found
