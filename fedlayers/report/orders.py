"""Orders in which clients stand in a matrix: by number, by cluster, by planted group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from fedlayers.views.moments import at_moments
from fedlayers.views.values import usable

NO_GROUP = "no group"


@dataclass(frozen=True)
class Order:
    """An order of clients.

    Attributes:
        name: what it is by.
        groups: the group of each client, in the order of their numbers; empty if the order is by number.
    """

    name: str
    groups: list[str]


def orders(records: pd.DataFrame, partition: pd.DataFrame, clients: Sequence[int]) -> list[Order]:
    """Return the orders there are of these clients.

    Clusters are those of the last round in which each way to find them found some, so that clients keep their places
    from round to round.

    Args:
        records: single values of one run.
        partition: its label counts, with the planted groups if there are any.
        clients: their numbers, ascending.
    """
    found = [Order("number", [])]
    if "planted_group" in partition:
        planted = partition.drop_duplicates("client").dropna(subset="planted_group")
        groups = {int(client): f"group {int(group)}" for client, group in _pairs(planted, "planted_group")}
        found.append(_order("planted group", groups, clients))
    labels = usable(at_moments(records[(records["metric"] == "cluster") & records["client"].notna()]))
    for variant, rows in labels.groupby(labels["variant"].astype(object).fillna(""), sort=True):
        last = int(rows["round"].max())
        groups = {
            int(client): f"cluster {int(label)}" for client, label in _pairs(rows[rows["round"] == last], "value")
        }
        name = f"cluster ({variant})" if variant else "cluster"
        found.append(_order(f"{name}, round {last}", groups, clients))
    return found


def _pairs(rows: pd.DataFrame, column: str) -> "zip[tuple[int, float]]":
    return zip(rows["client"], rows[column], strict=True)


def _order(name: str, groups: Mapping[int, str], clients: Sequence[int]) -> Order:
    return Order(name, [groups.get(client, NO_GROUP) for client in clients])
