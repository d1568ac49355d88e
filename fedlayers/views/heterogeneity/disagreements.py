"""Disagreement of each client's own and the common model, beside its null level, over the rounds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fedlayers.views.client_names import client_names
from fedlayers.views.moments import one_moment
from fedlayers.views.values import usable

METRIC = "disagreement"
# What splits it: quantity -> what its subjects are.
SPLITS: Mapping[str, str] = {
    "disagreement_by_class": "class",
    "disagreement_by_tier": "tier",
    "disagreement_by_group": "group of clients",
    "disagreement_by_layer": "layer",
}


def disagreements(records: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return each client's disagreement in each round, at one moment.

    Args:
        records: of one run.
        facts: of the run, for clients' names.

    Returns:
        Columns ``round, client, client_name, value, stderr, n, chance, p``, by round and client; no rows if nothing was
        measured.
    """
    rows = _at_one_moment(records, METRIC)
    names = client_names(facts, rows["client"])
    rows = rows.assign(client_name=[names[int(client)] for client in rows["client"]])
    columns = ["round", "client", "client_name", "value", "stderr", "n", "chance", "p"]
    return rows.sort_values(["round", "client"])[columns].reset_index(drop=True)


def origins(records: pd.DataFrame, facts: Mapping[str, Any], by: str) -> pd.DataFrame:
    """Return the disagreement of the last round, split.

    Args:
        records: of one run.
        facts: of the run, for names of clients and classes.
        by: one of ``SPLITS``.

    Returns:
        Columns ``client`` and ``client_name`` (absent for groups of clients), ``part`` (the name of the class, tier,
        group or layer), ``value, stderr, n, chance, p``: classes and layers in their order, tiers from head to tail by
        the examples of all clients; no rows if nothing was measured.
    """
    rows = _at_one_moment(records, by)
    if by == "disagreement_by_tier":
        rows = rows[rows["variant"] == "percentile"]
    part = rows["layer"] if by == "disagreement_by_layer" else rows["subject"]
    rows = rows[rows["round"] == rows["round"].max()].assign(part=part.astype(object))
    names = client_names(facts, rows["client"])
    rows["client_name"] = [None if pd.isna(one) else names[int(one)] for one in rows["client"]]
    order = {name: place for place, name in enumerate(_order(rows, facts, by))}
    found: pd.DataFrame = rows.assign(place=rows["part"].map(order)).sort_values(["place", "client"])
    return found[["client", "client_name", "part", "value", "stderr", "n", "chance", "p"]].reset_index(drop=True)


def _order(rows: pd.DataFrame, facts: Mapping[str, Any], by: str) -> list[str]:
    """Return the parts in the order in which they are shown."""
    if by == "disagreement_by_class":
        return [str(name) for name in facts.get("classes") or sorted(rows["part"].unique())]
    if by == "disagreement_by_tier":
        return ["head", "medium", "tail"]
    if by == "disagreement_by_layer":
        return list(rows.sort_values("layer_index")["part"].unique())
    return sorted(rows["part"].unique())


def _at_one_moment(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the usable rows of a quantity at the moment at which most of it was measured."""
    rows = usable(records[records["metric"] == metric])
    found: pd.DataFrame = rows if rows.empty else one_moment(rows)[1]
    return found
