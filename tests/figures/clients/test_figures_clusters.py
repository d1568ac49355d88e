"""Figures of clusters of clients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.records import Pair, Record, Row
from fedlayers.figures.clients.clusters import client_clusters
from fedlayers.figures.drawing.style import PALETTE
from fedlayers.views.clusters import cluster_distances
from tests.support.figure_tables import frame


def cluster_tables(groups: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return records and pairs of clients at distance 1 in their group and 4 from others, in rounds 1 and 5."""
    records: list[Row] = []
    pairs: list[Row] = []
    for number in (1, 5):
        address: dict[str, Any] = {
            "owner": "client",
            "round": number,
            "moment": "after_local",
            "variant": "x of updates",
            "run": "r",
        }
        for a, group in enumerate(groups):
            records.append(Record("cluster", float(group), client=a, **address))
            for b in range(a + 1, len(groups)):
                value = 1.0 if group == groups[b] else 4.0
                pairs.append(Pair("cluster_distance", value, subject="clients", client=a, other=b, **address))
    return frame(records, "records"), frame(pairs, "pairs")


def test_clusters_have_their_colours_in_dendrogram_and_graph() -> None:
    records, pairs = cluster_tables([0, 1, 0, 1, 2])
    assert not cluster_distances(records, pairs).empty
    figure = client_clusters(records, pairs, {"dataset": "D", "clients": 5})
    left, right = figure.axes
    leaves = [line.get_color() for line in left.lines]
    assert sorted(leaves) == sorted([PALETTE[0]] * 2 + [PALETTE[1]] * 2 + [PALETTE[2]])
    places = {
        line.get_label(): len(np.atleast_1d(line.get_xdata())) for line in right.lines if line.get_marker() == "o"
    }
    assert places == {"cluster 0": 2, "cluster 1": 2, "cluster 2": 1}
    assert sorted(text.get_text() for text in right.texts) == ["0", "1", "2", "3", "4"]
    assert "round 5" in (figure.get_suptitle() or "") and "3 clusters" in (figure.get_suptitle() or "")
    assert cluster_distances(records.iloc[:0], pairs).empty
