"""Values of several lines over the rounds: the mean over clients with its band."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.quantities import Facts
from fedlayers.runs.reading.selection import refused
from fedlayers.statistics.axis_scale import axis_scale
from fedlayers.statistics.spread import band_name, spreads_along
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.quantities import axis_label, can_be_negative

_UNBOUNDED = (-np.inf, np.inf)
_ORDER = ("after_aggregate", "after_local", "final", "start")
# What tells series apart beside the moment, if more than one value of it is there.
_BESIDE = ("model", "variant", "scope", "subject")


def series_of(rows: pd.DataFrame, *beside: str) -> "pd.Series[str]":
    """Return of each row what series it belongs to, in words: the moment, and what else differs between its rows.

    Args:
        rows: of the table of records or resources.
        beside: columns that are shown otherwise and name no series.
    """
    named = rows["moment"].map(MOMENT_NAMES).astype(object).fillna("over all moments").astype(str)
    moments = named.copy()
    for column in _BESIDE:
        if column in beside or column not in rows:
            continue
        words = rows[column].astype(object).fillna("").astype(str).str.replace("_", " ")
        if words.groupby(moments).nunique().max() > 1:
            named = named.where(words == "", named + ", " + words)
    return named


def series_in(rows: pd.DataFrame) -> list[str]:
    """Return the series of rows with a column ``series``: models after aggregation and ``client_test`` first."""
    scope = rows["scope"].astype(object) if "scope" in rows else pd.Series("", rows.index)
    order = rows["moment"].astype(object).map({moment: at for at, moment in enumerate(_ORDER)})
    ranked = rows.assign(order=order.fillna(len(_ORDER)), other=scope != "client_test")
    return list(dict.fromkeys(ranked.sort_values(["order", "other"], kind="stable")["series"]))


def lines_over_rounds(
    rows: pd.DataFrame, by: Sequence[str], quantity: Facts, facts: dict[str, Any], words: str = ""
) -> Charted:
    """Return the mean over clients of each line in each round, with the band that figures have.

    Args:
        rows: with finite ``value``; ``round``, ``client`` and what tells lines apart.
        by: the columns that tell lines apart, which become columns of the chart.
        quantity: what the values are.
        facts: what else is said.
        words: what the quantity is called, if not by its name.

    Returns:
        Columns ``by``, ``round, mean, low, high, count``; facts ``label``, ``band`` (its name) and ``scale`` beside
        those given.
    """
    rows = rows.assign(**{name: rows[name].astype(object).fillna("").astype(str) for name in by})
    rows = rows if "stderr" in rows else rows.assign(stderr=np.nan)
    limits = quantity.limits if quantity.unit else _UNBOUNDED
    parts = []
    for key, spread in spreads_along(rows, "round", list(by), limits).items():
        values = {"round": spread.x, "mean": spread.mean, "low": spread.low, "high": spread.high}
        parts.append(pd.DataFrame({**dict(zip(by, key, strict=True)), **values, "count": spread.count}))
    columns = [*by, "round", "mean", "low", "high", "count"]
    frame = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    scale = axis_scale(rows["value"].to_numpy(float), can_be_negative(quantity))
    most = int(frame["count"].max()) if parts else 0
    said = {
        "label": axis_label(quantity, words),
        "band": band_name(most),
        "scale": {"kind": scale.kind, "threshold": scale.threshold, "ends": scale.ends},
    }
    return Charted.of(frame, {**said, **facts})


def chosen(asked: str | None, known: Sequence[str]) -> str:
    """Return what is asked for, the first that is known if nothing is; empty if nothing is known.

    Raises:
        UserError: it is not among them.
    """
    if asked is None or not known:
        return known[0] if known else ""
    if asked not in known:
        raise refused("metric", asked, known)
    return asked
