"""Gradient variance, Hessian trace and federation sensitivity of every client, as PLayer-FL shows them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.client_lines import bars_name, draw_clients
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, at_moments, one_moment
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
from fedlayers.views.values import usable
from fedlayers.views.variants import one_value_each

_ROWS = {
    "gradient_variance_parameters": "gradient variance\nover parameters",
    "hessian_trace": "Hessian trace",
    "sensitivity_cumulative": "cumulative\nsensitivity $S_l$",
}


def curvature_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return the clients' rows that the figure shows; none if fewer than two of its three metrics have values."""
    rows = records[records["metric"].isin(list(_ROWS)) & records["layer"].notna() & records["client"].notna()]
    _, rows = one_moment(at_moments(rows[rows["subject"].isna()]))
    return rows if usable(rows)["metric"].nunique() > 1 else rows[:0]


def gradient_curvature_sensitivity(
    records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities
) -> Figure | None:
    """Return the three metrics over the layers, one below the other, a line per client with standard errors.

    The first and the last round stand side by side. Values are as measured; the published figures divide each
    client's gradient variance and Hessian trace by that of its smallest layer.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829.
    """
    rows = curvature_rows(records)
    if rows.empty:
        return None
    rows, axis = placed(rows, facts)
    shown = [metric for metric in _ROWS if (usable(rows)["metric"] == metric).any()]
    columns = first_and_last(rows)
    names = client_names(rows, facts)
    width = axis_width(len(axis.names))
    figure = new_figure(width * len(columns), 1.8 + 1.9 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    for line, metric in zip(grid, shown, strict=True):
        of_metric = one_value_each(rows[rows["metric"] == metric])
        lined = axis.lined(of_metric)
        for axes, (title, of_column) in zip(line, columns, strict=True):
            draw_clients(axes, of_metric[of_column.loc[of_metric.index]], lined, names)
            axes.set_title(title if axes in grid[0] else "")
        line[0].set_ylabel(axis_label(quantities[metric], _ROWS[metric]))
        scale_for(line[0], usable(of_metric)["value"].to_numpy(), quantities[metric])
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    legend_below(figure, bars_name(rows))
    headline(figure, facts, MOMENT_NAMES[str(rows["moment"].iloc[0])])
    return figure
