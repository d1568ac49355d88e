"""How far each client's representations are from the other clients', layer by layer."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.client_lines import draw_clients
from fedlayers.figures.drawing.profile_grid import profile_grid
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.statistics.over_clients import mean_over_others
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.pairs import client_distances
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label

_MOST_PANELS = 2


def similarity_composite(pairs: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure | None:
    """Return distances in radians over the layers: for every client the mean over the other clients, and chance.

    A row per distance (Procrustes, CKA), the first and the last round side by side.
    """
    rows = client_distances(pairs, facts)
    if rows.empty:
        return None
    lined, names = LayerAxis.of(rows).lined(rows), client_names(facts, rows["client"], rows["other"])
    grid = profile_grid(rows, _MOST_PANELS, (1.8, 2.2))
    for cell in grid.cells():
        draw_chance(cell.axes, cell.rows)
        draw_clients(cell.axes, mean_over_others(cell.rows), lined, names)
        cell.axes.set_title(cell.title)
    for axes, _, metric in grid.lines():
        axes.set_ylabel(axis_label(quantities[metric]))
        axes.set_ylim(bottom=0)
    legend_below(grid.figure)
    headline(grid.figure, facts, MOMENT_NAMES[str(rows["moment"].iloc[0])], "mean over the other clients")
    return grid.figure
