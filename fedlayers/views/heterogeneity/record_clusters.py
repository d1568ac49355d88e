"""Clusters of the examples on which each client's own and the common model disagree, as a run's records say it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fedlayers.views.client_names import client_names
from fedlayers.views.moments import one_moment
from fedlayers.views.values import usable

_PARTS = ("record_cluster_size", "record_cluster_accuracy")


def record_clusters(records: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the clusters of each client in the last round.

    Args:
        records: of one run.
        facts: of the run, for clients' names.

    Returns:
        Columns ``round, client, client_name, cluster, size, accuracy`` (of the common model), the largest first; no
        rows for clients whose models agree.
    """
    rows = usable(records[records["metric"].isin(_PARTS)])
    rows = rows if rows.empty else one_moment(rows)[1]
    rows = rows[rows["round"] == rows["round"].max()]
    sizes, accuracies = (rows[rows["metric"] == name].set_index(["client", "subject"])["value"] for name in _PARTS)
    found = pd.DataFrame({"size": sizes.astype(int), "accuracy": accuracies.reindex(sizes.index)}).reset_index()
    found["cluster"] = found["subject"].astype(str).astype(int)
    names = client_names(facts, found["client"])
    found["client_name"] = [names[int(client)] for client in found["client"]]
    found["round"] = rows["round"].max()
    columns = ["round", "client", "client_name", "cluster", "size", "accuracy"]
    return found.sort_values(["client", "cluster"])[columns].reset_index(drop=True)
