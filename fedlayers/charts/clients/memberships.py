"""In which clusters clients are, round by round, and how they go from one to another."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.rounds import shown_round
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.client_names import client_names
from fedlayers.views.clusters import memberships
from fedlayers.views.thinning import evenly

_MOST_ROUNDS = 25


def clusters_at(records: pd.DataFrame, round: int) -> tuple[Mapping[int, int], dict[str, Any]]:
    """Return client -> cluster by the first way to find clusters, and which way and round it is of.

    Args:
        records: of one run.
        round: see :func:`fedlayers.charts.rounds.shown_round`.
    """
    found = memberships(records)
    if found.empty:
        return {}, {}
    rows = found[found["by"] == found["by"].iloc[0]]
    shown = shown_round(sorted(map(int, rows["round"].unique())), round)
    here = rows[rows["round"] == shown]
    clusters = {int(client): int(cluster) for client, cluster in zip(here["client"], here["cluster"], strict=True)}
    return clusters, {"by": str(rows["by"].iloc[0]), "round": shown}


def cluster_flows(tables: Tables, by: str | None = None) -> Charted:
    """Return how many clients go from which cluster to which from one round to the next in which clusters were found.

    Args:
        tables: of a run.
        by: the way in which clusters were found; the first one if None.

    Returns:
        A row per two clusters of neighbouring rounds with clients in both: ``from_round, from_cluster, round, cluster,
        clients`` (how many) and ``members`` (their numbers with commas). Without rows if clusters were found in fewer
        than two rounds. Facts: ``label, by, ways, rounds`` (of many 25, spaced evenly), ``left_out`` (how many rounds
        more) and ``clusters`` (of each round and cluster: ``round, cluster, clients``) and ``names`` (client -> name).

    Raises:
        UserError: clusters were not found in that way.
    """
    found = memberships(tables.records)
    ways = list(found["by"].unique())
    if by is not None and by not in ways:
        known = ", ".join(ways) or "none: run with metrics=[clusters]"
        raise UserError(f"by must be a way in which clusters were found, {known}, got {by!r}")
    rows = found[found["by"] == (by if by is not None or not ways else ways[0])]
    every = sorted(map(int, rows["round"].unique()))
    rounds = evenly(every, _MOST_ROUNDS)
    rows = rows[rows["round"].isin(rounds)]
    following = dict(pairwise(rounds))
    before = rows.assign(next=rows["round"].map(following)).dropna(subset="next").astype({"next": int})
    both = before.merge(rows, left_on=["next", "client"], right_on=["round", "client"], suffixes=("_from", ""))
    keys = ["round_from", "cluster_from", "round", "cluster"]
    flows = both.groupby(keys)["client"].agg(["size", _listed]).reset_index()
    flows.columns = pd.Index(["from_round", "from_cluster", "round", "cluster", "clients", "members"])
    names = client_names(run_facts(tables.path), rows["client"])
    clusters = [
        {"round": int(own["round"].iloc[0]), "cluster": int(own["cluster"].iloc[0]), "clients": own["client"].tolist()}
        for _, own in rows.groupby(["round", "cluster"])
    ]
    said = {
        "label": "clients", "by": str(rows["by"].iloc[0]) if len(rows) else "", "ways": ways, "rounds": rounds,
        "left_out": len(every) - len(rounds), "clusters": clusters, "names": names,
    }  # fmt: skip
    return Charted.of(flows, said)


def _listed(clients: "pd.Series[int]") -> str:
    return ", ".join(map(str, clients))
