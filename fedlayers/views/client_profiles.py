"""Gradient variance, Hessian trace and federation sensitivity of every client over the layers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fedlayers.views.moments import at_moments, one_moment
from fedlayers.views.numbered import numbered
from fedlayers.views.places import placed
from fedlayers.views.rounds import in_columns
from fedlayers.views.values import usable
from fedlayers.views.variants import one_value_each

# Metric -> what its panel is called; in this order.
CURVATURE = {
    "gradient_variance_parameters": "gradient variance\nover parameters",
    "hessian_trace": "Hessian trace",
    "sensitivity_cumulative": "cumulative\nsensitivity $S_l$",
}


def curvature_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return the clients' rows of the three metrics at one moment; none if fewer than two of them have values."""
    rows = records[records["metric"].isin(list(CURVATURE)) & records["layer"].notna() & records["client"].notna()]
    _, rows = one_moment(at_moments(rows[rows["subject"].isna()]))
    return rows if usable(rows)["metric"].nunique() > 1 else rows[:0]


def client_curvature(records: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the three metrics over the layers, a panel for each that has values.

    Returns:
        The rows of :func:`curvature_rows`, with columns ``place, norm`` (see :func:`fedlayers.views.places.placed`),
        ``column, column_name`` (see :func:`fedlayers.views.rounds.in_columns`) and ``panel, panel_name``: a client has
        one value a layer and round in a panel; rows of other variants have panel −1.
    """
    rows = in_columns(placed(curvature_rows(records), facts))
    measured = set(usable(rows)["metric"])
    shown = {metric: name for metric, name in CURVATURE.items() if metric in measured}
    panels = [(name, one_value_each(rows[rows["metric"] == metric])) for metric, name in shown.items()]
    return numbered(rows, panels, "panel")
