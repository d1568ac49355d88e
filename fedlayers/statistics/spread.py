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
    values = cells["value"]
    table = pd.DataFrame({"count": values.size(), "mean": values.mean(), "stderr": cells["stderr"].first()})
    table["count"] = table.groupby(level=list(by), observed=True)["count"].transform("max")
    table["low"], table["high"] = band_ends(values, chosen_band() or "range", limits)
    many = (table["count"] >= _FEWEST_FOR_PERCENTILES).to_numpy()
    if many.any() and not chosen_band():
        chosen = rows[many[cells.ngroup().to_numpy()]].groupby([*by, along], sort=True, observed=True)["value"]
        for end, share in (("low", 0.1), ("high", 0.9)):
            table.loc[many, end] = chosen.quantile(share).to_numpy(float)
    return _cut(table, len(by))


def _cut(table: pd.DataFrame, depth: int) -> dict[tuple[Any, ...], Spread]:
    """Return the summary of each group of a table by its first keys; the last one is the place on the axis."""
    keys = table.index.to_frame(index=False).iloc[:, :depth]
    firsts = np.flatnonzero((keys != keys.shift()).any(axis=1).to_numpy())
    names, places = [keys[name].to_numpy() for name in keys], table.index.get_level_values(depth).to_numpy(int)
    counts = table["count"].to_numpy(int)
    mean, low, high, stderr = (table[name].to_numpy(float) for name in ("mean", "low", "high", "stderr"))
    found = {}
    for first, end in zip(firsts, [*firsts[1:], len(table)], strict=True):
        here = slice(first, end)
        alone = stderr[here] if counts[first] == 1 else np.full(end - first, np.nan)
        spread = Spread(places[here], mean[here], low[here], high[here], int(counts[first]), alone)
        found[tuple(values[first] for values in names)] = spread
    return found


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
