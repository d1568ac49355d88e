"""A small curve and a last score for each run, for a table of many."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted, Column
from fedlayers.core.quantities import Quantities
from fedlayers.views.curves import CURVES, curve_rows, own_models
from fedlayers.views.quantities import axis_label
from fedlayers.views.thinning import evenly

COLUMNS = (
    "run", "round", "moment", "model", "client", "layer", "subject", "step", "metric", "value", "scope", "status",
)  # fmt: skip
_MOST_POINTS = 60


@dataclass(frozen=True)
class SmallCurve:
    """How the clients of a run fared over the rounds, in few numbers.

    Attributes:
        metric: the first of accuracy, subset accuracy and loss that was measured; empty if none was.
        rounds, values: mean over clients of their own models after aggregation, at most 60 of them.
        last: the same of the final evaluation, or before there is one of the last round; NaN if there is none.
        worst: the worst client's value there.
    """

    metric: str
    rounds: np.ndarray
    values: np.ndarray
    last: float
    worst: float


def small_curve(records: pd.DataFrame, quantities: Quantities) -> SmallCurve:
    """Return the small curve of a run.

    Args:
        records: of one run, with ``COLUMNS``.
        quantities: whether higher values are better.
    """
    rows = curve_rows(records)
    rows = rows[rows["client"].notna() & rows["moment"].isin(["start", "after_aggregate", "final"])]
    metric = next((name for name in CURVES if (rows["metric"] == name).any()), "")
    rows = own_models(rows[rows["metric"] == metric])
    ends = rows[rows["moment"] == "final"]
    along = rows[rows["moment"] != "final"]
    if metric and ends.empty:
        ends = along[along["round"] == along["round"].max()]
    if ends.empty:
        return SmallCurve("", np.array([]), np.array([]), np.nan, np.nan)
    means = along.groupby(along["round"].astype(int))["value"].mean()
    shown = evenly(list(means.index), _MOST_POINTS)
    # A run of an older version states nothing: of what is drawn here, only losses are better where they are lower.
    stated = quantities[metric].direction
    is_higher = stated == "higher" or (stated == "neutral" and metric != "loss")
    worst = ends["value"].min() if is_higher else ends["value"].max()
    values = means.loc[shown].to_numpy(float)
    return SmallCurve(metric, np.array(shown, float), values, float(ends["value"].mean()), float(worst))


def run_scores(curves: Mapping[str, SmallCurve], quantities: Quantities) -> Charted:
    """Return small curves and last scores of some runs.

    Args:
        curves: run -> its curve.
        quantities: what the metrics are.

    Returns:
        Columns ``run, round, value``, the points of all curves; facts ``runs``: run -> ``metric, last, worst``, and
        ``labels``: metric -> its name with its unit.
    """
    columns: dict[str, Column] = {
        "run": [run for run, curve in curves.items() for _ in curve.rounds],
        "round": np.concatenate([np.array([]), *(curve.rounds for curve in curves.values())]),
        "value": np.concatenate([np.array([]), *(curve.values for curve in curves.values())]),
    }
    runs = {run: {"metric": one.metric, "last": one.last, "worst": one.worst} for run, one in curves.items()}
    known = dict.fromkeys(one.metric for one in curves.values() if one.metric)
    labels = {metric: axis_label(quantities[metric]) for metric in known}
    return Charted(columns, {"runs": runs, "labels": labels})
