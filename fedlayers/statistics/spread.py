"""Mean and spread over clients or pairs, the band that most figures show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def spreads_along(
    rows: pd.DataFrame, along: str, by: Sequence[str], limits: tuple[float, float]
) -> dict[tuple[Any, ...], Spread]:
    """Return what :func:`spread_along` returns of each group of rows, all of them summarised at once.

    Args:
        rows: see there.
        along: see there.
        by: columns that tell the groups apart.
        limits: see there.

    Returns:
        The values of ``by`` -> the group's summary, ascending.
    """
    if rows.empty:
        return {}
    cells = rows.groupby([*by, along], sort=True, observed=True)
    values, depth = cells["value"], len(by)
    sizes = values.size()
    places = [sizes.index.get_level_values(level).to_numpy() for level in range(depth)]
    firsts = _firsts(sizes.index, depth)
    ends = [*firsts[1:], len(sizes)]
    counts = np.repeat(np.maximum.reduceat(sizes.to_numpy(), firsts), np.subtract(ends, firsts))
    low, high = (np.array(end) for end in band_ends(values, chosen_band() or "range", limits))
    many = counts >= _FEWEST_FOR_PERCENTILES
    if many.any() and not chosen_band():
        chosen = rows[many[cells.ngroup().to_numpy()]].groupby([*by, along], sort=True, observed=True)["value"]
        for end, share in ((low, 0.1), (high, 0.9)):
            end[many] = chosen.quantile(share).to_numpy(float)
    x, mean = sizes.index.get_level_values(depth).to_numpy(int), values.mean().to_numpy(float)
    stderr = np.where(counts == 1, cells["stderr"].first().to_numpy(float), np.nan)
    return {
        tuple(names[first] for names in places): Spread(
            x[first:end], mean[first:end], low[first:end], high[first:end], int(counts[first]), stderr[first:end]
        )
        for first, end in zip(firsts, ends, strict=True)
    }


def _firsts(keys: "pd.Index[Any]", depth: int) -> np.ndarray:
    """Return the places, in an ascending index, where its first keys change."""
    assert isinstance(keys, pd.MultiIndex)
    codes = np.stack([keys.codes[level] for level in range(depth)])
    changes = (codes[:, 1:] != codes[:, :-1]).any(axis=0)
    return np.flatnonzero(np.concatenate([[True], changes]))


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
