"""Clients against clients: a matrix for every layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.colour_scale import colour_limits
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, one_moment
from fedlayers.views.pairs import in_relations
from fedlayers.views.quantities import value_of_itself
from fedlayers.views.thinning import evenly
from fedlayers.views.variants import by_variant

_MOST_LAYERS = 20
_FEW_LAYERS = 6


def client_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between clients as one heat map a layer, with one colour scale.

    The last round measured; up to six layers, above it the first one. Of more than twenty layers twenty are shown,
    spaced evenly.
    """
    quantity = quantities[metric]
    moment, rows = one_moment(in_relations(pairs, metric, ("clients",)))
    variant, rows = by_variant(rows)[0]
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    names = dict(zip(layers["layer_index"].astype(int), layers["layer"].astype(str), strict=True))
    rounds = sorted(int(number) for number in rows["round"].unique())
    two = len(rounds) > 1 and len(names) <= _FEW_LAYERS
    clients = client_names(pd.concat([rows[["client"]], rows[["other"]].set_axis(["client"], axis=1)]), facts)
    shown = evenly(list(names), _MOST_LAYERS)
    matrices = {
        f"round {number}": {
            names[index]: client_matrix(
                rows[(rows["round"] == number) & (rows["layer_index"] == index)], list(clients), quantity
            )
            for index in shown
        }
        for number in ([rounds[0], rounds[-1]] if two else rounds[-1:])
    }
    figure = heat_maps(matrices, list(clients.values()), quantity, "client", colour_limits(rows, quantity))
    what = [MOMENT_NAMES[moment], variant, "" if two else f"round {rounds[-1]}"]
    headline(figure, facts, *what, f"{len(shown)} of {len(names)} layers" if len(shown) < len(names) else "")
    return figure


def client_matrix(rows: pd.DataFrame, clients: list[int], quantity: Facts) -> np.ndarray:
    """Return the values between clients of one layer and round, shape (clients, clients), NaN where there are none.

    Symmetric metrics fill both triangles; the diagonal is what a client is like when compared with itself.
    """
    place = {client: at for at, client in enumerate(clients)}
    matrix = np.full((len(clients), len(clients)), np.nan)
    one, two = (rows[end].astype(int).map(place).to_numpy(int) for end in ("client", "other"))
    matrix[one, two] = rows["value"]
    if quantity.symmetric:
        matrix[two, one] = rows["value"]
    np.fill_diagonal(matrix, value_of_itself(quantity))
    return matrix
