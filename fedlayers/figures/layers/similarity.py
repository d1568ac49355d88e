"""Similarity profiles: how alike clients, rounds and the global model are at each layer, against chance."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.profile_line import Look, draw_profile, side_by_side
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below, new_figure
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.pairs import in_relations
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
from fedlayers.views.variants import by_variant

# Relation -> what its line is called; in this order.
PROFILED = {
    "clients": "two clients",
    "received": "client and the global model it received",
    "aggregated": "client and the aggregated global model",
    "rounds": "client and itself in the first round",
}
_MARKERS = "osD^"
_MOST_PANELS = 4


def similarity_profile(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric of pairs over the layers: a line per relation, a row per moment and variant, and chance.

    The first and the last round stand side by side. A line is the mean over pairs, its band their spread.
    """
    quantity = quantities[metric]
    rows = in_relations(pairs, metric, tuple(PROFILED))
    rows = rows[(rows["subject"] != "rounds") | (rows["other_round"] == rows["other_round"].min())]
    rows, axis = placed(rows, facts)
    columns = first_and_last(rows)
    moments = [moment for moment in MOMENT_NAMES if (rows["moment"] == moment).any()]
    panels = [
        (" · ".join(part for part in (MOMENT_NAMES[moment] if len(moments) > 1 else "", name) if part), of_panel)
        for (name, of_variant), moment in product(by_variant(rows), moments)
        if not (of_panel := of_variant[of_variant["moment"] == moment]).empty
    ]
    shown = panels[:_MOST_PANELS]
    width = axis_width(len(axis.names))
    figure = new_figure(width * len(columns), 2.1 + 2.2 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    most, lined = _most_pairs(rows), axis.lined(rows)
    for line, (name, of_panel) in zip(grid, shown, strict=True):
        for axes, (title, of_column) in zip(line, columns, strict=True):
            _draw(axes, of_panel[of_column.loc[of_panel.index]], lined, most, quantity)
            axes.set_title(title if axes in grid[0] else "")
        line[0].set_ylabel(f"{axis_label(quantity)}\n{name}" if name else axis_label(quantity))
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    legend_below(figure, band_name(most, "pairs"))
    moment = MOMENT_NAMES[moments[0]] if len(moments) == 1 else ""
    left_out = f"{len(panels) - len(shown)} more variants in the tables" if len(panels) > len(shown) else ""
    headline(figure, facts, moment, left_out)
    return figure


def _most_pairs(rows: pd.DataFrame) -> int:
    keys = ["subject", "round", "moment", "place"]
    return int(rows.groupby([*keys, rows["variant"].astype(object).fillna("")], observed=True).size().max())


def _draw(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, band_of: int, quantity: Facts) -> None:
    lines = [relation for relation in PROFILED if (rows["subject"] == relation).any()]
    for number, relation in enumerate(lines):
        spread = spread_along(rows[rows["subject"] == relation], "place", quantity.limits, band_of)
        kind = list(PROFILED).index(relation)
        look = Look(PALETTE[kind], _MARKERS[kind], shift=side_by_side(number, len(lines)))
        draw_profile(axes, spread, lined, PROFILED[relation], look)
    draw_chance(axes, rows)
