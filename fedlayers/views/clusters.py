"""Clusters and planted groups of clients: who is in which, and how far clients are from each other."""

from collections.abc import Iterator, Mapping

import pandas as pd

from fedlayers.views.moments import at_moments, one_moment
from fedlayers.views.pairs import whole_models
from fedlayers.views.values import usable

_DISTANCE = "cluster_distance"
# Of each client, in which cluster it is; clusters are numbered from 0.
MEMBERSHIP = "cluster"
# How a way to find clusters ends in rounds in which a plan shares a part of the layers, and only these count.
_SHARED = ", shared"
NO_CLUSTER = -1


def cluster_distances(records: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the distances between clients by which they were clustered, of the last round, at one moment.

    Returns:
        Rows of pairs; none if no clusters were found, or of fewer than three clients.
    """
    found = whole_models(pairs, _DISTANCE)
    if len(found) < 3 or _clusters(records).empty:
        return found[:0]
    _, rows = one_moment(found)
    last: pd.DataFrame = rows[rows["round"] == rows["round"].max()]
    return last


def clusters_in(records: pd.DataFrame, number: int, names: Mapping[int, str]) -> pd.DataFrame:
    """Return the clusters of clients in a round.

    Args:
        records: of one run.
        number: the round.
        names: client -> name, of the clients that are shown.

    Returns:
        Columns ``client, client_name, cluster``, a row per client in the order of ``names``; −1 for one in no cluster.
    """
    labels = _clusters(records)
    labels = labels[labels["round"] == number]
    clusters = (
        labels.set_index(labels["client"].astype(int))["value"].astype(int).reindex(list(names), fill_value=NO_CLUSTER)
    )
    return pd.DataFrame({"client": list(names), "client_name": list(names.values()), "cluster": clusters.to_numpy()})


def _clusters(records: pd.DataFrame) -> pd.DataFrame:
    labels = _labels(records)
    return labels[labels["variant"].notna()]


def _labels(records: pd.DataFrame) -> pd.DataFrame:
    """Return the usable rows that say in which cluster a client is, of all rounds and ways to find clusters.

    A way by all layers in some rounds and by those that are shared in others, as a changing plan has it, is one way.
    """
    found = usable(at_moments(records[(records["metric"] == MEMBERSHIP) & records["client"].notna()]))
    ways = found["variant"].astype(object)
    plain = ways.str.removesuffix(_SHARED)
    return found.assign(variant=plain.where(plain.isin(ways.unique()), ways))


def memberships(records: pd.DataFrame) -> pd.DataFrame:
    """Return in which cluster each client was in each round, by the way to find clusters.

    Args:
        records: single values of one run.

    Returns:
        Columns ``by`` (the way, empty where there is only one without a name), ``round, client, cluster``, ordered by
        these.
    """
    labels = _labels(records)
    columns = {"by": labels["variant"].astype(object).fillna("").astype(str), "round": labels["round"].astype(int)}
    found = pd.DataFrame({**columns, "client": labels["client"].astype(int), "cluster": labels["value"].astype(int)})
    return found.drop_duplicates(["by", "round", "client"]).sort_values(["by", "round", "client"], ignore_index=True)


def client_groups(records: pd.DataFrame, partition: pd.DataFrame) -> pd.DataFrame:
    """Return the groups in which clients are: those planted in their data, and the clusters that were found.

    Clusters are those of the last round in which each way to find them found some, so that clients keep their places
    from round to round.

    Args:
        records: single values of one run.
        partition: its label counts, with the planted groups if there are any.

    Returns:
        Columns ``by`` (``planted group``, or the way to find clusters and the round), ``client`` and ``group``
        (``cluster 1``), a row per client that is in a group.
    """
    found = list(_groups(records, partition))
    return pd.concat(found) if found else pd.DataFrame(columns=["by", "client", "group"])


def _groups(records: pd.DataFrame, partition: pd.DataFrame) -> Iterator[pd.DataFrame]:
    if "planted_group" in partition:
        planted = partition.drop_duplicates("client").dropna(subset="planted_group")
        yield _named("planted group", "group", planted, "planted_group")
    labels = _labels(records)
    for variant, rows in labels.groupby(labels["variant"].astype(object).fillna(""), sort=True):
        last = int(rows["round"].max())
        name = f"cluster ({variant})" if variant else "cluster"
        yield _named(f"{name}, round {last}", "cluster", rows[rows["round"] == last], "value")


def _named(by: str, word: str, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    groups = [f"{word} {int(number)}" for number in rows[column]]
    return pd.DataFrame({"by": by, "client": rows["client"].astype(int), "group": groups})
