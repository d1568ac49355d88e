"""Layers against layers of the same client: the mean over clients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.colour_scale import colour_limits
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views.moments import MOMENT_NAMES, one_moment
from fedlayers.views.pairs import in_relations
from fedlayers.views.quantities import value_of_itself
from fedlayers.views.variants import by_variant


def layer_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between the layers of a client, mean over clients, in the first and the last round measured."""
    quantity = quantities[metric]
    moment, rows = one_moment(in_relations(pairs, metric, ("layers",)))
    variant, rows = by_variant(rows)[0]
    names = _layer_names(rows)
    rounds = sorted(int(number) for number in rows["round"].unique())
    matrices = {
        f"round {number}": layer_matrix(rows[rows["round"] == number], names, quantity)
        for number in dict.fromkeys([rounds[0], rounds[-1]])
    }
    figure = heat_maps({"": matrices}, names, quantity, "layer", colour_limits(rows, quantity))
    counted = "mean over clients" if rows["client"].nunique() > 1 else ""
    headline(figure, facts, counted, MOMENT_NAMES[moment], variant)
    return figure


def layer_matrix(rows: pd.DataFrame, names: Sequence[str], quantity: Facts) -> np.ndarray:
    """Return the mean over clients between layers in one round, shape (layers, layers), NaN where there is none.

    Symmetric metrics fill both triangles; the diagonal is what a layer is like when compared with itself.
    """
    place = {name: at for at, name in enumerate(names)}
    keys = [rows[end].astype(object).map(place).rename(end) for end in ("layer", "other_layer")]
    means = rows["value"].groupby(keys).mean().reset_index()
    one, two = (means[end].to_numpy(int) for end in ("layer", "other_layer"))
    matrix = np.full((len(names), len(names)), np.nan)
    matrix[one, two] = means["value"]
    if quantity.symmetric:
        matrix[two, one] = means["value"]
    np.fill_diagonal(matrix, value_of_itself(quantity))
    return matrix


def _layer_names(rows: pd.DataFrame) -> list[str]:
    """Return the layers in the order of the model; the last one may be there as the other layer only."""
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")["layer"]
    return list(dict.fromkeys([*layers.astype(str), *rows["other_layer"].astype(str)]))
