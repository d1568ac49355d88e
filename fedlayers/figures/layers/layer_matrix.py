"""Layers against layers of the same client: the mean over clients."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views import matrices
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import parts_of
from fedlayers.views.quantities import value_of_itself


def layer_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between the layers of a client, mean over clients, in the first and the last round measured."""
    rows = matrices.layer_matrices(pairs, metric)
    quantity, names = quantities[metric], matrices.layer_names(rows)
    itself = value_of_itself(quantity)
    squares = {
        name: matrices.layer_square(of_panel, names, quantity.symmetric, itself)
        for name, of_panel in parts_of(rows, "panel")
    }
    figure = heat_maps({"": squares}, names, quantity, "layer", matrices.value_ends(rows, quantity))
    counted = "mean over clients" if rows["client"].nunique() > 1 else ""
    first = rows.iloc[0]
    headline(figure, facts, counted, MOMENT_NAMES[str(first["moment"])], str(first["variant_name"]))
    return figure
