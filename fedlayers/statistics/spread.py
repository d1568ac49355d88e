"""Mean and spread over clients or pairs, the band that most figures show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.statistics.bands import band_ends, chosen_band, name_of_band

_FEWEST_FOR_PERCENTILES = 10


@dataclass(frozen=True)
class Spread:
    """Values summarised over clients, or over pairs, along an axis.

    Attributes:
        x: places on the axis, ascending, shape (n,).
        mean: unweighted mean, shape (n,).
        low, high: the band, shape (n,): 10th and 90th percentile, or lowest and highest if values are few, or what
            :func:`fedlayers.statistics.bands.bands_of` asks for.
        count: the largest number of clients, or pairs, behind one mean.
        stderr: standard error of single values, NaN where there are several or it is not known, shape (n,).
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: int
    stderr: np.ndarray


def band_name(count: int, of: str = "clients") -> str:
    """Return what a band over so many clients or pairs is, for a legend; empty if there is none."""
    if count < 2:
        return ""
    if kind := chosen_band():
        return name_of_band(kind, of)
    ends = "10th to 90th percentile" if count >= _FEWEST_FOR_PERCENTILES else "lowest to highest"
    return f"bands: {ends} of {of}"


def spread_along(rows: pd.DataFrame, along: str, limits: tuple[float, float], band_of: int | None = None) -> Spread:
    """Summarise ``value`` over the rows that share a value of the column ``along``.

    Args:
        rows: records or pairs with finite values.
        along: an integer column, such as ``round`` or ``place``.
        limits: of the quantity: no band reaches beyond.
        band_of: choose the ends of the band as for so many values, so that all bands of a figure mean the same;
            None for as many as there are.

    Returns:
        The summary; percentiles interpolate linearly.
    """
    groups = rows.groupby(rows[along].astype(int), sort=True)
    values = groups["value"]
    count = int(values.size().max())
    few = (band_of or count) < _FEWEST_FOR_PERCENTILES
    if kind := chosen_band() or ("range" if few else None):
        low, high = band_ends(values, kind, limits)
    else:
        low, high = (values.quantile(share).to_numpy(float) for share in (0.1, 0.9))
    stderr = groups["stderr"].first().to_numpy(float) if count == 1 else np.full(len(low), np.nan)
    mean = values.mean()
    return Spread(mean.index.to_numpy(), mean.to_numpy(), low, high, count, stderr)
