"""Pairs over the layers: by metric, by the relation of the two, by panel and by round."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from fedlayers.views.moments import MOMENT_NAMES, at_moments, one_moment
from fedlayers.views.numbered import numbered
from fedlayers.views.places import placed
from fedlayers.views.rounds import in_columns
from fedlayers.views.values import usable
from fedlayers.views.variants import by_variant

# Relation -> what its line is called; in this order.
PROFILED = {
    "clients": "two clients",
    "received": "client and the global model it received",
    "aggregated": "client and the aggregated global model",
    "rounds": "client and itself in the first round",
}
_DISTANCES = ("procrustes_distance", "cka_distance")


def pair_metrics(pairs: pd.DataFrame, relations: tuple[str, ...]) -> list[str]:
    """Return the metrics that have values of layers in one of these relations, by name."""
    rows = usable(at_moments(pairs[pairs["subject"].isin(relations) & pairs["layer"].notna()]))
    return sorted(str(name) for name in rows["metric"].unique())


def in_relations(pairs: pd.DataFrame, metric: str, relations: tuple[str, ...]) -> pd.DataFrame:
    """Return a metric's usable rows of layers in some relations."""
    chosen = (pairs["metric"] == metric) & pairs["subject"].isin(relations) & pairs["layer"].notna()
    return usable(at_moments(pairs[chosen]))


def whole_model_metrics(pairs: pd.DataFrame) -> list[str]:
    """Return the metrics that have values between the whole models of clients, by name."""
    return sorted(str(name) for name in usable(pairs[_between_models(pairs)])["metric"].unique())


def whole_models(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric's usable rows between the whole models of clients."""
    return usable(pairs[(pairs["metric"] == metric) & _between_models(pairs)])


def _between_models(pairs: pd.DataFrame) -> "pd.Series[bool]":
    return (pairs["subject"] == "clients") & pairs["layer"].isna() & pairs["step"].isna()


def pair_profile(pairs: pd.DataFrame, metric: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return a metric's values over the layers between two clients, clients and the global model, and rounds.

    Returns:
        The usable rows of a relation in ``PROFILED`` (of ``rounds`` those with the first one), with columns

        - ``place, norm``: of the layer, see :func:`fedlayers.views.places.placed`;
        - ``panel, panel_name``: a panel per variant and moment; moments have names if there are several;
        - ``column, column_name``: the first and the last round, see :func:`fedlayers.views.rounds.in_columns`;
        - ``line, line_name``: the number and the name of the relation.
    """
    rows = in_relations(pairs, metric, tuple(PROFILED))
    rows = rows[(rows["subject"] != "rounds") | (rows["other_round"] == rows["other_round"].min())]
    rows = in_columns(placed(rows, facts))
    moments = [moment for moment in MOMENT_NAMES if (rows["moment"] == moment).any()]
    panels = [
        (" · ".join(part for part in (MOMENT_NAMES[moment] if len(moments) > 1 else "", name) if part), of_panel)
        for (name, of_variant), moment in product(by_variant(rows), moments)
        if not (of_panel := of_variant[of_variant["moment"] == moment]).empty
    ]
    lines = [(name, rows[rows["subject"] == relation]) for relation, name in PROFILED.items()]
    return numbered(numbered(rows, panels, "panel"), lines, "line")


def most_pairs(rows: pd.DataFrame) -> int:
    """Return the largest number of pairs behind one mean of a line; rows of :func:`pair_profile`."""
    keys = ["subject", "round", "moment", "place"]
    return int(rows.groupby([*keys, rows["variant"].astype(object).fillna("")], observed=True).size().max())


def distance_metrics(pairs: pd.DataFrame) -> list[str]:
    """Return the distances of :func:`client_distances` that have values."""
    return [metric for metric in _DISTANCES if not in_relations(pairs, metric, ("clients",)).empty]


def client_distances(pairs: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return distances between clients over the layers in radians: Procrustes, CKA.

    Returns:
        The usable rows between clients at one moment, of the first variant of each distance, with columns
        ``place, norm`` (see :func:`fedlayers.views.places.placed`), ``panel, panel_name`` (the distance's number and
        its name in the tables) and ``column, column_name`` (see :func:`fedlayers.views.rounds.in_columns`); without
        rows if none was measured.
    """
    found = []
    for metric in distance_metrics(pairs):
        _, rows = one_moment(in_relations(pairs, metric, ("clients",)))
        found.append((metric, by_variant(rows)[0][1]))
    rows = pd.concat([rows for _, rows in found]) if found else pairs[:0]
    return numbered(in_columns(placed(rows, facts)), found, "panel")
