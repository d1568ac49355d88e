"""Runs that differ in their seed only, averaged with an interval."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.statistics.bands import band_ends, chosen_band, name_of_band

_BAND = "ci"


@dataclass(frozen=True)
class RunMean:
    """Values of several runs summarised along an axis.

    Attributes:
        x: places on the axis, ascending, shape (n,).
        mean: unweighted mean over runs, shape (n,).
        low, high: the ends of the band, see :func:`fedlayers.statistics.bands.band_ends`: the 95 % interval unless
            another one is asked for; NaN where there is one run only, shape (n,).
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


def mean_over_runs(rows: pd.DataFrame, along: str, limits: tuple[float, float]) -> RunMean:
    """Average over the clients of every run, then over runs.

    Args:
        rows: usable records of one group of runs, with columns ``run``, ``value`` and ``along``.
        along: an integer column, such as ``round`` or ``place``.
        limits: of the quantity: no band reaches beyond.
    """
    of_runs = rows.groupby([rows["run"].astype(str), rows[along].astype(int)])["value"].mean()
    groups = of_runs.groupby(level=1)
    runs = groups.size().to_numpy()
    mean = groups.mean()
    ends = band_ends(groups, chosen_band() or _BAND, limits)
    low, high = (np.where(runs > 1, end, np.nan) for end in ends)
    return RunMean(mean.index.to_numpy(), mean.to_numpy(), low, high, runs)


def band_over_runs() -> str:
    """Return what bands over runs are called in a legend."""
    return name_of_band(chosen_band() or _BAND, "runs")
