"""Clients against clients by any measure, and the orders in which they may stand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import ComparedClients
from fedlayers.charts.clients.merging import distances_of
from fedlayers.charts.colour_scale import ColourScale
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.merging import leaves
from fedlayers.views.client_names import client_list
from fedlayers.views.clusters import client_groups
from fedlayers.views.values import why_absent, with_value

NO_GROUP = "no group"
_BESIDE = ("stderr", "n", "chance", "chance_hi", "p")


def client_matrix(
    tables: Tables, metric: str, layer: str | None = None, round: int | None = None, setting: str | None = None
) -> Charted:
    """Return one measure between clients in one round.

    Args:
        tables: of a run.
        metric: the measure.
        layer: see :meth:`fedlayers.charts.clients.compared.ComparedClients.of`.
        round: see :func:`fedlayers.charts.rounds.shown_round`.
        setting: which of the measure's matrices.

    Returns:
        A row per two clients as the table has them: ``client, other, value, stderr, n, chance, chance_hi, p, reason``
        (why there is no value). Facts: those of
        :attr:`fedlayers.charts.clients.compared.ComparedClients.facts`, ``clients`` (number and name), ``is_symmetric``
        (a row counts for both orders), ``itself`` (the diagonal; absent if not known), ``scale`` (of colours, that of
        all layers and rounds) and ``orders`` (of each: its name, the clients in that order, and the group of each).

    Raises:
        UserError: clients are not compared by it, or not at that layer.
    """
    found = ComparedClients.of(tables, metric, layer, round, setting)
    rows = found.rows
    there = with_value(rows)
    values = np.where(there, rows["value"].to_numpy(float, na_value=np.nan), np.nan)
    scale = ColourScale(*found.ends, is_reversed=found.itself == 0)
    frame = pd.DataFrame(
        {
            "client": rows["client"].to_numpy(int),
            "other": rows["other"].to_numpy(int),
            "value": values,
            **{name: np.where(there, rows[name].to_numpy(float, na_value=np.nan), np.nan) for name in _BESIDE},
            "reason": why_absent(rows),
        }
    )
    return Charted.of(
        frame,
        {
            **found.facts,
            "clients": client_list(found.names),
            "is_symmetric": found.is_symmetric,
            "itself": found.itself,
            "scale": scale.facts(),
            "orders": list(_orders(tables, found)),
        },
    )


def _orders(tables: Tables, found: ComparedClients) -> Iterator[dict[str, Any]]:
    """Yield the orders there are: by number, by cluster and planted group, and that in which clients merge."""
    clients = list(found.names)
    yield {"name": "number", "clients": clients, "groups": []}
    for by, rows in client_groups(tables.records, tables.partition).groupby("by", sort=False):
        group = dict(zip(rows["client"], rows["group"], strict=True))
        groups = [group.get(client, NO_GROUP) for client in clients]
        # Clusters by their numbers, and who is in none last.
        place = sorted(range(len(clients)), key=lambda at: _rank(groups[at]))
        yield {"name": by, "clients": [clients[at] for at in place], "groups": [groups[at] for at in place]}
    merged = distances_of(found)
    if merged.distances is not None:
        order = [merged.clients[at] for at in leaves(merged.distances)]
        yield {"name": "merging", "clients": [*order, *merged.left_out], "groups": []}


def _rank(group: str) -> tuple[bool, int]:
    number = group.rpartition(" ")[2]
    return group == NO_GROUP, int(number) if number.isdigit() else 0
