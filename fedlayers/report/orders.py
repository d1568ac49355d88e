"""Orders in which clients stand in a matrix: by number, by cluster, by planted group."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

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


def orders(groups: pd.DataFrame, clients: Sequence[int]) -> list[Order]:
    """Return the orders there are of these clients.

    Args:
        groups: of :func:`fedlayers.views.clusters.client_groups`.
        clients: their numbers, ascending.
    """
    found = [Order("number", [])]
    for by, rows in groups.groupby("by", sort=False):
        group = dict(zip(rows["client"], rows["group"], strict=True))
        found.append(Order(str(by), [group.get(client, NO_GROUP) for client in clients]))
    return found
