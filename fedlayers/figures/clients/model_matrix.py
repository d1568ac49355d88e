"""Clients against clients by their whole models: a matrix for every round."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.clients.client_matrix import client_matrix
from fedlayers.figures.drawing.colour_scale import colour_limits
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.style import headline
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, one_moment
from fedlayers.views.pairs import whole_models
from fedlayers.views.thinning import evenly
from fedlayers.views.variants import by_variant

_MOST_ROUNDS = 8
_MOST_VARIANTS = 4


def model_matrices(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric between clients' models as one heat map a round, with one colour scale.

    Variants, such as ways to aggregate layers, are below one another, four at most. Of more than eight rounds eight are
    shown, spaced evenly, the first and the last one among them.
    """
    quantity = quantities[metric]
    moment, rows = one_moment(whole_models(pairs, metric))
    variants = by_variant(rows)
    rounds = sorted(int(number) for number in rows["round"].unique())
    clients = client_names(pd.concat([rows[["client"]], rows[["other"]].set_axis(["client"], axis=1)]), facts)
    shown = evenly(rounds, _MOST_ROUNDS)
    matrices = {
        variant: {
            f"round {number}": client_matrix(of_variant[of_variant["round"] == number], list(clients), quantity)
            for number in shown
        }
        for variant, of_variant in variants[:_MOST_VARIANTS]
    }
    figure = heat_maps(matrices, list(clients.values()), quantity, "client", colour_limits(rows, quantity))
    of_rounds = f"{len(shown)} of {len(rounds)} rounds" if len(shown) < len(rounds) else ""
    of_variants = f"{_MOST_VARIANTS} of {len(variants)} variants" if len(variants) > _MOST_VARIANTS else ""
    alone = variants[0][0] if len(variants) == 1 else ""
    headline(figure, facts, MOMENT_NAMES[moment], "whole models", alone, of_rounds, of_variants)
    return figure
