"""Similarity profiles: how alike clients, rounds and the global model are at each layer, against chance."""

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
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import parts_of
from fedlayers.views.pairs import most_pairs, pair_profile
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label

_MARKERS = "osD^"
_MOST_PANELS = 4


def similarity_profile(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric of pairs over the layers: a line per relation, a row per moment and variant, and chance.

    The first and the last round stand side by side. A line is the mean over pairs, its band their spread.
    """
    rows = pair_profile(pairs, metric, facts)
    quantity, most, lined = quantities[metric], most_pairs(rows), LayerAxis.of(rows).lined(rows)
    grid = profile_grid(rows, _MOST_PANELS, (2.1, 2.2))
    for cell in grid.cells():
        _draw(cell.axes, cell.rows, lined, most, quantity)
        cell.axes.set_title(cell.title)
    for axes, _, name in grid.lines():
        axes.set_ylabel(f"{axis_label(quantity)}\n{name}" if name else axis_label(quantity))
    legend_below(grid.figure, band_name(most, "pairs"))
    moments = rows["moment"].unique()
    moment = MOMENT_NAMES[str(moments[0])] if len(moments) == 1 else ""
    headline(grid.figure, facts, moment, grid.left_out("more variants in the tables"))
    return grid.figure


def _draw(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, band_of: int, quantity: Facts) -> None:
    lines = parts_of(rows, "line")
    for number, (name, line) in enumerate(lines):
        spread = spread_along(line, "place", quantity.limits, band_of)
        kind = int(line["line"].iloc[0])
        look = Look(PALETTE[kind], _MARKERS[kind], shift=side_by_side(number, len(lines)))
        draw_profile(axes, spread, lined, name, look)
    draw_chance(axes, rows)
