"""Runs that differ in their seed only, averaged with an interval."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fedlayers.figures.quantities import range_of

LEVEL = 0.95


@dataclass(frozen=True)
class RunMean:
    """Values of several runs summarised along an axis.

    Attributes:
        x: places on the axis, ascending, shape (n,).
        mean: unweighted mean over runs, shape (n,).
        low, high: the 95 % interval, mean ± t s / √r with r runs, s their standard deviation and t Student's quantile
            at r − 1 degrees of freedom, as far as the metric's range reaches; NaN where there is one run only, shape
            (n,).
        runs: the number of runs behind each mean, shape (n,).
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray

    @property
    def count(self) -> str:
        """The number of runs, as a range if it differs along the axis: ``n = 3``."""
        low, high = self.runs.min(), self.runs.max()
        return f"n = {low}" if low == high else f"n = {low} to {high}"


def mean_over_runs(rows: pd.DataFrame, along: str, metric: str) -> RunMean:
    """Average over the clients of every run, then over runs.

    Args:
        rows: usable records of one group of runs, with columns ``run``, ``value`` and ``along``.
        along: an integer column, such as ``round`` or ``place``.
        metric: whose values they are.
    """
    of_runs = rows.groupby([rows["run"].astype(str), rows[along].astype(int)])["value"].mean()
    groups = of_runs.groupby(level=1)
    runs = groups.size().to_numpy()
    quantile = stdtrit(np.maximum(runs - 1, 1), (1 + LEVEL) / 2)
    half = quantile * groups.std(ddof=1).to_numpy() / np.sqrt(runs)
    means = groups.mean()
    mean = means.to_numpy()
    # With three runs t is 4.3: an interval that is symmetric goes below zero for many a variance.
    low, high = (np.clip(end, *range_of(metric)) for end in (mean - half, mean + half))
    return RunMean(means.index.to_numpy(), mean, low, high, runs)
