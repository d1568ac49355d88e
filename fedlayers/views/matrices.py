"""Matrices between clients and between layers: their rows and names, and the square of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Facts
from fedlayers.statistics.scale_ends import scale_ends
from fedlayers.views.moments import MOMENT_NAMES, at_moments, one_moment
from fedlayers.views.numbered import numbered
from fedlayers.views.pairs import in_relations, whole_models
from fedlayers.views.quantities import value_of_itself
from fedlayers.views.thinning import evenly
from fedlayers.views.variants import by_variant

_MOST_LAYERS = 20
_FEW_LAYERS = 6
_MOST_ROUNDS = 8
# What distinguishes several matrices of one metric at one layer.
_SETTING = ("variant", "moment", "model", "scope")


def client_matrices(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric between clients at each layer: the last round measured, with up to six layers the first one, too.

    Returns:
        The usable rows of all layers and rounds at one moment, of the first variant, with columns

        - ``line, line_name``: the round of a line of panels, −1 for others;
        - ``panel, panel_name``: the layer; of more than twenty twenty have a panel, spaced evenly, others −1;
        - ``variant_name``: the variant in words, the same in all rows.
    """
    _, rows = one_moment(in_relations(pairs, metric, ("clients",)))
    variant, rows = by_variant(rows)[0]
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    names = dict(zip(layers["layer_index"].astype(int), layers["layer"].astype(str), strict=True))
    rounds = _rounds(rows)
    chosen = [rounds[0], rounds[-1]] if len(rounds) > 1 and len(names) <= _FEW_LAYERS else rounds[-1:]
    lines = [(f"round {number}", rows[rows["round"] == number]) for number in chosen]
    panels = [(names[index], rows[rows["layer_index"] == index]) for index in evenly(list(names), _MOST_LAYERS)]
    return numbered(numbered(rows, lines, "line"), panels, "panel").assign(variant_name=variant)


def model_matrices(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric between clients' whole models, round by round, variants such as ways to sum layers one by one.

    Returns:
        The usable rows of all rounds at one moment, with columns ``line, line_name`` (the variant) and ``panel,
        panel_name`` (the round; of more than eight eight have a panel, spaced evenly, others −1).
    """
    _, rows = one_moment(whole_models(pairs, metric))
    panels = [(f"round {number}", rows[rows["round"] == number]) for number in evenly(_rounds(rows), _MOST_ROUNDS)]
    return numbered(numbered(rows, by_variant(rows), "line"), panels, "panel")


def layer_matrices(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric between layers of the same client in the first and the last round measured.

    Returns:
        The usable rows of all rounds at one moment, of the first variant, with columns ``panel, panel_name`` (the
        round, −1 for those between) and ``variant_name``.
    """
    every = in_relations(pairs, metric, ("layers",))
    # A distance to the layers of another model may go by the same name.
    within = every[every["other"].notna()]
    _, rows = one_moment(every if within.empty else within)
    variant, rows = by_variant(rows)[0]
    rounds = _rounds(rows)
    panels = [(f"round {number}", rows[rows["round"] == number]) for number in dict.fromkeys([rounds[0], rounds[-1]])]
    return numbered(rows, panels, "panel").assign(variant_name=variant)


def _rounds(rows: pd.DataFrame) -> list[int]:
    return sorted(int(number) for number in rows["round"].unique())


def layer_names(rows: pd.DataFrame) -> list[str]:
    """Return the layers of pairs in the order of the model; the last one may be there as the other layer only."""
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")["layer"]
    return list(dict.fromkeys([*layers.astype(str), *rows["other_layer"].astype(str)]))


def client_square(rows: pd.DataFrame, clients: Sequence[int], symmetric: bool, itself: float) -> np.ndarray:
    """Return the values between clients of one layer and round, shape (clients, clients), NaN where there are none.

    Args:
        rows: at most one for each two of the clients, with ``client, other, value``.
        clients: numbers, in the order of the matrix.
        symmetric: whether a value counts for both orders of the two.
        itself: the value of a client with itself, for the diagonal.
    """
    return _square(rows, ("client", "other"), clients, symmetric, itself)


def layer_square(rows: pd.DataFrame, names: Sequence[str], symmetric: bool, itself: float) -> np.ndarray:
    """Return the mean over clients between layers in one round, shape (layers, layers), NaN where there is none.

    Args:
        rows: of :func:`layer_matrices`, with ``layer, other_layer, value``.
        names: of the layers, in the order of the matrix.
        symmetric: whether a value counts for both orders of the two.
        itself: the value of a layer with itself, for the diagonal.
    """
    means = rows["value"].groupby([rows[end].astype(str) for end in ("layer", "other_layer")]).mean().reset_index()
    return _square(means, ("layer", "other_layer"), names, symmetric, itself)


def _square(
    rows: pd.DataFrame, ends: tuple[str, str], things: Sequence[Any], symmetric: bool, itself: float
) -> np.ndarray:
    place = {thing: at for at, thing in enumerate(things)}
    one, two = (np.array([place[thing] for thing in rows[end]], int) for end in ends)
    matrix = np.full((len(things), len(things)), np.nan)
    matrix[one, two] = rows["value"]
    if symmetric:
        matrix[two, one] = rows["value"]
    np.fill_diagonal(matrix, itself)
    return matrix


def between_clients(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare two clients with each other, values or not, matrix by matrix.

    Returns:
        Rows with columns ``matrix`` (a number for each metric, layer, variant, moment, model and scope, in the order of
        metrics and layers, the whole model first), ``matrix_name`` (what tells a matrix from others of its metric and
        layer, empty if there are none) and ``measured`` (when, on which models and examples).
    """
    compared = (pairs["subject"] == "clients") & pairs["client"].notna() & pairs["other"].notna()
    rows = at_moments(pairs[compared])
    keys = rows[list(_SETTING)].astype(object).fillna("")
    keys["moment"] = keys["moment"].map(lambda moment: MOMENT_NAMES.get(moment, moment))
    keys["model"] = keys["model"].map(lambda model: f"{model} models" if model else "")
    keys["scope"] = keys["scope"].map(lambda scope: f"on {scope}" if scope else "")
    layers = rows["layer_index"].astype(float).fillna(-1)
    parts, measured = [], pd.Series("", index=rows.index, dtype=object)
    for _, of_layer in keys.groupby([rows["metric"].astype(str), layers], sort=True):
        varied = [name for name in _SETTING if of_layer[name].nunique() > 1]
        for _, same in of_layer.groupby(list(_SETTING), sort=True):
            words = {name: str(same.iloc[0][name]) for name in _SETTING}
            measured.loc[same.index] = ", ".join(word for word in words.values() if word)
            parts.append((", ".join(words[name] for name in varied if words[name]), same))
    return numbered(rows, parts, "matrix").assign(measured=measured)


def value_ends(rows: pd.DataFrame, quantity: Facts) -> tuple[float, float]:
    """Return the values at the light and the dark end of a colour scale: one for all matrices of a quantity.

    Args:
        rows: usable ones, all that the figure or the page shows of the quantity, with ``value`` and ``stderr``.
        quantity: what is known of it.
    """
    values, errors = (rows[name].to_numpy(float, na_value=np.nan) for name in ("value", "stderr"))
    return scale_ends(values, errors, quantity.limits, value_of_itself(quantity))
