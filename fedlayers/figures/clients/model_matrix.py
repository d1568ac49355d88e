"""Clients against clients by their whole models: a matrix for every round."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.clients.client_matrix import client_squares
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views import matrices
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import names_in

_MOST_VARIANTS = 4


def model_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between clients' models as one heat map a round, with one colour scale.

    Variants, such as ways to aggregate layers, are below one another, four at most. Of more than eight rounds eight are
    shown, spaced evenly, the first and the last one among them.
    """
    rows = matrices.model_matrices(pairs, metric)
    quantity, clients = quantities[metric], client_names(facts, rows["client"], rows["other"])
    squares = client_squares(rows, list(clients), quantity, _MOST_VARIANTS)
    figure = heat_maps(squares, list(clients.values()), quantity, "client", matrices.value_ends(rows, quantity))
    variants, shown, measured = names_in(rows, "line"), len(names_in(rows, "panel")), rows["round"].nunique()
    of_rounds = f"{shown} of {measured} rounds" if shown < measured else ""
    of_variants = f"{_MOST_VARIANTS} of {len(variants)} variants" if len(variants) > _MOST_VARIANTS else ""
    alone = next(iter(variants.values())) if len(variants) == 1 else ""
    moment = MOMENT_NAMES[str(rows["moment"].iloc[0])]
    headline(figure, facts, moment, "whole models", alone, of_rounds, of_variants)
    return figure
