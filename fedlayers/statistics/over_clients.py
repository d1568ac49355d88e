"""Means over clients, and over the other clients."""

import numpy as np
import pandas as pd


def mean_over_others(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each round, place and client the mean of the pairs in which it is one of the two.

    Args:
        rows: usable rows between clients, each pair once.

    Returns:
        Columns ``round, place, client, value, stderr, status``; no standard errors, for pairs share clients.
    """
    ends = [rows[["round", "place", end, "value"]].rename(columns={end: "client"}) for end in ("client", "other")]
    values = pd.concat(ends).groupby(["round", "place", "client"])["value"]
    return values.mean().reset_index().assign(stderr=np.nan, status="ok")


def mean_chance(rows: pd.DataFrame, along: str) -> pd.DataFrame:
    """Return what chance alone produces, mean over the rows that share a value of the column ``along``.

    Args:
        rows: with ``chance`` and ``chance_hi``.
        along: an integer column, such as ``place``.

    Returns:
        Columns ``chance, chance_hi`` by ``along``, ascending, without places at which the mean of chance is not known.
    """
    return rows.groupby(along)[["chance", "chance_hi"]].mean().dropna(subset="chance")


def median_over_clients(rows: pd.DataFrame, along: str) -> "pd.Series[float]":
    """Return the median of ``value`` over the rows that share a value of the column ``along``, by ``along``.

    Args:
        rows: usable ones, one for each client and place.
        along: an integer column, such as ``place``.
    """
    return rows.groupby(along)["value"].median()


def mean_and_deviation(values: "pd.Series[float]") -> tuple[float, float]:
    """Return the mean of values of clients and their standard deviation, which is NaN of a single one (ddof = 1)."""
    return float(values.mean()), float(values.std(ddof=1))
