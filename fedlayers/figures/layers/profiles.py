"""Layer profiles: a metric's value at each layer, at the moments and in the first and last round measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.profile_grid import profile_grid
from fedlayers.figures.drawing.profile_line import Look, draw_profile, side_by_side
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import MARKERS, MOMENT_COLOURS, headline, legend_below
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views import profiles
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

_MOST_PANELS = 4


def layer_profile(records: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric's profile over the layers: a row per variant, the first and the last round side by side."""
    rows = profiles.layer_profile(records, metric, facts)
    quantity, lined = quantities[metric], LayerAxis.of(rows).lined(rows)
    grid = profile_grid(rows, _MOST_PANELS, (1.8, 2.0))
    most = 1
    for cell in grid.cells():
        most = max(most, draw_moments(cell.axes, cell.rows, lined, quantity))
        cell.axes.set_title(" · ".join(part for part in (cell.title, profiles.missing_in(cell.rows)) if part))
    for axes, of_panel, name in grid.lines():
        axes.set_ylabel(f"{axis_label(quantity)}\n{name}" if name else axis_label(quantity))
        scale_for(axes, usable(of_panel)["value"].to_numpy(), quantity)
    legend_below(grid.figure, band_name(most))
    headline(grid.figure, facts, str(rows["note"].iloc[0]), grid.left_out("more variants in the tables"))
    return grid.figure


def draw_moments(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, quantity: Facts) -> int:
    """Draw a line per moment for clients and for the server; return the largest number of clients behind a mean.

    Args:
        axes: where.
        rows: of a view, with ``place, line, who``.
        lined: the places at which a line has a gap if there is no value.
        quantity: whose values they are.
    """
    rows = usable(rows)
    lines = [line for _, line in rows.groupby("line", sort=True)]
    most = 1
    for number, line in enumerate(lines):
        spread = spread_along(line, "place", quantity.limits)
        moment, is_server = str(line["moment"].iloc[0]), line["who"].iloc[0] == "server"
        who = "server" if is_server else "mean over clients" if spread.count > 1 else "client"
        look = Look(MOMENT_COLOURS[moment], MARKERS[moment], is_server, side_by_side(number, len(lines)))
        draw_profile(axes, spread, lined, f"{who}, {MOMENT_NAMES[moment]}", look)
        most = max(most, 1 if is_server else spread.count)
    draw_chance(axes, rows)
    return most
