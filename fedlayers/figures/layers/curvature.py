"""Gradient variance, Hessian trace and federation sensitivity of every client, as PLayer-FL shows them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.client_lines import bars_name, draw_clients
from fedlayers.figures.drawing.profile_grid import profile_grid
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.views.client_names import client_names
from fedlayers.views.client_profiles import CURVATURE, client_curvature
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable


def gradient_curvature_sensitivity(
    records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities
) -> Figure | None:
    """Return the three metrics over the layers, one below the other, a line per client with standard errors.

    The first and the last round stand side by side. Values are as measured; the published figures divide each
    client's gradient variance and Hessian trace by that of its smallest layer.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829.
    """
    rows = client_curvature(records, facts)
    if rows.empty:
        return None
    axis, names = LayerAxis.of(rows), client_names(facts, rows["client"])
    grid = profile_grid(rows, len(CURVATURE), (1.8, 1.9))
    lined = {panel: axis.lined(rows[rows["panel"] == panel]) for panel in grid.panels}
    for cell in grid.cells():
        draw_clients(cell.axes, cell.rows, lined[cell.panel], names)
        cell.axes.set_title(cell.title)
    for axes, of_panel, name in grid.lines():
        quantity = quantities[str(of_panel["metric"].iloc[0])]
        axes.set_ylabel(axis_label(quantity, name))
        scale_for(axes, usable(of_panel)["value"].to_numpy(), quantity)
    legend_below(grid.figure, bars_name(rows))
    headline(grid.figure, facts, MOMENT_NAMES[str(rows["moment"].iloc[0])])
    return grid.figure
