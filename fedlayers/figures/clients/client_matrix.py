"""Clients against clients: a matrix for every layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views import matrices
from fedlayers.views.client_names import client_names
from fedlayers.views.matrices import client_square
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import names_in
from fedlayers.views.quantities import value_of_itself


def client_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between clients as one heat map a layer, with one colour scale.

    The last round measured; up to six layers, above it the first one. Of more than twenty layers twenty are shown,
    spaced evenly.
    """
    rows = matrices.client_matrices(pairs, metric)
    quantity, clients = quantities[metric], client_names(facts, rows["client"], rows["other"])
    squares = client_squares(rows, list(clients), quantity)
    figure = heat_maps(squares, list(clients.values()), quantity, "client", matrices.value_ends(rows, quantity))
    first, rounds = rows.iloc[0], list(squares)
    what = [MOMENT_NAMES[str(first["moment"])], str(first["variant_name"]), "" if len(rounds) > 1 else rounds[0]]
    shown, measured = len(names_in(rows, "panel")), rows["layer_index"].nunique()
    headline(figure, facts, *what, f"{shown} of {measured} layers" if shown < measured else "")
    return figure


def client_squares(
    rows: pd.DataFrame, clients: Sequence[int], quantity: Facts, most_lines: int | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return the matrices of a figure: name of a line of panels -> name of a panel -> values.

    Args:
        rows: of a view with ``line, line_name, panel, panel_name``.
        clients: in the order of rows and columns.
        quantity: what the values are.
        most_lines: so many lines of panels at most; None for all.
    """
    itself = value_of_itself(quantity)
    return {
        line_name: {
            name: client_square(
                rows[(rows["line"] == line) & (rows["panel"] == panel)], clients, quantity.symmetric, itself
            )
            for panel, name in names_in(rows, "panel").items()
        }
        for line, line_name in list(names_in(rows, "line").items())[:most_lines]
    }
