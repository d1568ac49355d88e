"""Intervals of means and medians over seeds, by resampling whole seeds."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
from scipy.special import factorial, ndtr, stdtrit

from fedlayers.core.checks import one_of
from fedlayers.statistics.bands import LEVEL

STATISTICS = ("mean", "median")
# The whole range of four values holds the median with 1 − 2 · 2⁻⁴ = 88 %.
FEWEST_SEEDS = 5
# Up to so many seeds every resample there is counts, 1,716 of seven; of more, so many are drawn.
_MOST_ENUMERATED = 7
_RESAMPLES = 1_999
_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Intervals:
    """A statistic over seeds of several quantities, and how sure it is.

    Attributes:
        value: shape (n,).
        low, high: ends of the 95 % intervals, NaN where there is none, shape (n,).
        kind: ``bootstrap``, ``t`` (of means of two to four seeds), or empty if there is none.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    kind: str


def over_seeds(values: np.ndarray, statistic: str = "mean") -> Intervals:
    """Return a mean or median over seeds with a 95 % interval.

    What is resampled are seeds, each with all that was measured in it: clients of one run share its model and are no
    independent draws. Of up to seven seeds all resamples count, of more 1,999 that follow from the number of seeds
    alone. The ends are the expanded percentiles of Hesterberg, at Φ(−√(n/(n − 1)) t), t Student's 97.5 % quantile at
    n − 1 degrees of freedom, which undo that resampled means of few values spread too little. Of fewer than five seeds
    a mean has Student's t interval and a median none, for the whole range of four values holds it with 88 %.

    Args:
        values: shape (n, seeds), finite; one seed or more.
        statistic: one of ``STATISTICS``.

    Raises:
        UserError: for another statistic.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap; Hesterberg 2015, What Teachers Should Know About the
        Bootstrap, The American Statistician 69.

    Examples:
        >>> import numpy as np
        >>> found = over_seeds(np.array([[0.80, 0.82, 0.81, 0.85, 0.79, 0.83]]), "median")
        >>> found.value.round(3).tolist(), found.low.round(2).tolist(), found.high.round(2).tolist(), found.kind
        ([0.815], [0.79], [0.85], 'bootstrap')
        >>> over_seeds(np.array([[0.80, 0.82]]), "median").kind
        ''
    """
    one_of("statistic", statistic, STATISTICS)
    seeds = values.shape[1]
    value = np.asarray((np.mean if statistic == "mean" else np.median)(values, axis=1), float)
    none = np.full(len(value), math.nan)
    if seeds >= FEWEST_SEEDS:
        pieces = np.array_split(np.sort(values, axis=1), -(-len(values) // _ROWS_AT_ONCE))
        low, high = np.concatenate([_percentiles(piece, statistic) for piece in pieces], axis=1)
        return Intervals(value, low, high, "bootstrap")
    if statistic == "mean" and seeds > 1:
        half = stdtrit(seeds - 1, (1 + LEVEL) / 2) * values.std(axis=1, ddof=1) / math.sqrt(seeds)
        return Intervals(value, value - half, value + half, "t")
    return Intervals(value, none, none, "")


def _percentiles(values: np.ndarray, statistic: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the intervals of rows whose values ascend."""
    seeds = values.shape[1]
    drawn, weights = _resamples(seeds)
    if statistic == "mean":
        found = values @ np.array([np.bincount(one, minlength=seeds) for one in drawn]).T / seeds
    else:  # resamples ascend as well: their middle is known without looking
        found = (values[:, drawn[:, (seeds - 1) // 2]] + values[:, drawn[:, seeds // 2]]) / 2
    order = np.argsort(found, axis=1, kind="stable")
    ascending, below = np.take_along_axis(found, order, axis=1), np.cumsum(weights[order], axis=1)
    tail = float(ndtr(-math.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, (1 + LEVEL) / 2)))
    low, high = (_at_share(ascending, below, share) for share in (tail, 1 - tail))
    return low, high


def _at_share(ascending: np.ndarray, below: np.ndarray, share: float) -> np.ndarray:
    """Return of each row the smallest value at or below which that share lies."""
    place = np.minimum((below < share).sum(axis=1), ascending.shape[1] - 1)
    found: np.ndarray = ascending[np.arange(len(ascending)), place]
    return found


@cache
def _resamples(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return resamples of so many seeds, each ascending, shape (n, seeds), and how likely each is."""
    if seeds > _MOST_ENUMERATED:
        drawn = np.sort(np.random.default_rng(seeds).integers(0, seeds, (_RESAMPLES, seeds)), axis=1)
        return drawn, np.full(_RESAMPLES, 1 / _RESAMPLES)
    drawn = np.array(list(combinations_with_replacement(range(seeds), seeds)))
    counts = np.array([np.bincount(one, minlength=seeds) for one in drawn])
    return drawn, factorial(seeds) / factorial(counts).prod(axis=1) / float(seeds) ** seeds
