"""Who is near whom by any measure: the order in which clients merge, and a map of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import ComparedClients
from fedlayers.charts.clients.memberships import clusters_at
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.classical_scaling import principal_places
from fedlayers.statistics.merging import average_linkage
from fedlayers.views.clusters import NO_CLUSTER

_FEWEST = 2
# More lines than these nobody tells apart, and they take long to draw: the nearest are kept.
_MOST_LINES = 2000


@dataclass(frozen=True)
class ClientDistances:
    """Distances between clients by some measure.

    Attributes:
        clients: whose, ascending.
        distances: shape (m, m), symmetric, 0 on the diagonal, all finite; None if there are none.
        left_out: clients that lack a value with some of the others.
        reason: why there are none; empty if there are.
        label: what a distance is.
    """

    clients: list[int]
    distances: np.ndarray | None
    left_out: list[int]
    reason: str
    label: str


def distances_of(found: ComparedClients) -> ClientDistances:
    """Return the distances that a measure gives: itself, or 1 − s of a similarity s.

    Clients that lack values are left out, the one that lacks most first, until all of the others have one with each
    other.

    Args:
        found: the measure.
    """
    clients = list(found.names)

    def none(reason: str) -> ClientDistances:
        return ClientDistances(clients, None, [], reason, "")

    if not found.is_symmetric:
        return none(f"{found.label} has a value for each of two orders of two clients: no distance")
    if not np.isfinite(found.itself):
        return none(f"of {found.label} it is not known what a client's value with itself is: no distance")
    is_similarity = found.itself != 0
    square = found.square
    apart = np.maximum(found.itself - square, 0.0) if is_similarity else square
    kept = _complete(apart)
    if len(kept) < _FEWEST:
        return none("fewer than two clients have values with each other")
    left_out = [client for at, client in enumerate(clients) if at not in set(kept.tolist())]
    label = f"1 − {found.label}" if is_similarity else found.label
    return ClientDistances([clients[at] for at in kept], apart[np.ix_(kept, kept)], left_out, "", label)


def client_merging(
    tables: Tables, metric: str, layer: str | None = None, round: int | None = None, setting: str | None = None
) -> Charted:
    """Return how clients merge by average linkage, nearest first, as lines of a dendrogram.

    Args:
        tables: of a run.
        metric: the measure.
        layer: see :meth:`fedlayers.charts.clients.compared.ComparedClients.of`.
        round: see :func:`fedlayers.charts.rounds.shown_round`.
        setting: which of the measure's matrices.

    Returns:
        Four rows per merger, the corners of its line: ``merger, x`` (leaves are at 0, 1, …) and ``y`` (the distance).
        Without rows where there are no distances. Facts: those of
        :attr:`fedlayers.charts.clients.compared.ComparedClients.facts`, ``leaves`` (from left to right: client, name,
        cluster, −1 for none), ``left_out_names``, ``reason`` (why there are none), ``distance`` (what a distance is)
        and ``clusters`` (by what, and of which round).

    Raises:
        UserError: clients are not compared by the measure, or not at that layer.
    """
    found = ComparedClients.of(tables, metric, layer, round, setting)
    apart = distances_of(found)
    corners: Mapping[str, Any] = {"icoord": [], "dcoord": [], "leaves": []}
    if apart.distances is not None:
        from scipy.cluster.hierarchy import dendrogram

        corners = dendrogram(average_linkage(apart.distances), no_plot=True)
    across = np.asarray(corners["icoord"], float).reshape(-1)
    clusters, said = clusters_at(tables.records, found.round)
    order = [apart.clients[at] for at in corners["leaves"]]
    columns = {
        "merger": np.repeat(np.arange(len(across) // 4), 4),
        "x": (across - 5) / 10,
        "y": np.asarray(corners["dcoord"], float).reshape(-1),
    }
    return Charted(columns, {**_said(found, apart, said), "leaves": [_told(found, c, clusters) for c in order]})


def client_map(
    tables: Tables, metric: str, layer: str | None = None, round: int | None = None, setting: str | None = None
) -> Charted:
    """Return a map of clients by a measure: places whose distances are as near as can be, and lines between neighbours.

    Clients whose distance is at most the median one have a line, the stronger the nearer.

    Args:
        tables: of a run.
        metric: the measure.
        layer: see :meth:`fedlayers.charts.clients.compared.ComparedClients.of`.
        round: see :func:`fedlayers.charts.rounds.shown_round`.
        setting: which of the measure's matrices.

    Returns:
        A row per client (``kind`` ``client``: ``client, client_name, cluster, x, y``) and line (``kind`` ``line``:
        ``client, other`` and ``strength``, 1 at distance 0 to 0 at the median). Facts: as
        :func:`client_merging` without leaves, ``shares`` (of all squared distances, by axis) and ``lines_left_out``.

    Raises:
        UserError: clients are not compared by the measure, or not at that layer.
    """
    found = ComparedClients.of(tables, metric, layer, round, setting)
    apart = distances_of(found)
    clusters, said = clusters_at(tables.records, found.round)
    if apart.distances is None:
        empty = pd.DataFrame(columns=["kind", "client", "client_name", "other", "cluster", "x", "y", "strength"])
        return Charted.of(empty, _said(found, apart, said))
    places, shares = principal_places(apart.distances)
    nodes = pd.DataFrame([_told(found, client, clusters) for client in apart.clients]).rename(
        columns={"name": "client_name"}
    )
    lines = _lines(apart)
    shown = lines.nlargest(_MOST_LINES, "strength") if len(lines) > _MOST_LINES else lines
    frame = pd.concat(
        [nodes.assign(kind="client", x=places[:, 0], y=places[:, 1]), shown.assign(kind="line")], ignore_index=True
    )
    more = {"shares": shares, "lines_left_out": len(lines) - len(shown)}
    return Charted.of(frame, {**_said(found, apart, said), **more})


def _lines(apart: ClientDistances) -> pd.DataFrame:
    assert apart.distances is not None
    one, two = np.triu_indices(len(apart.clients), 1)
    near = apart.distances[one, two]
    reach = float(np.median(near)) or 1.0
    kept = near <= reach
    clients = np.asarray(apart.clients)
    ends = {"client": clients[one[kept]], "other": clients[two[kept]]}
    return pd.DataFrame({**ends, "strength": 1 - near[kept] / reach})


def _said(found: ComparedClients, apart: ClientDistances, clusters: Mapping[str, Any]) -> dict[str, Any]:
    names = [found.names[client] for client in apart.left_out]
    more = {"left_out_names": names, "reason": apart.reason, "distance": apart.label, "clusters": clusters}
    return {**found.facts, **more}


def _told(found: ComparedClients, client: int, clusters: Mapping[int, int]) -> dict[str, Any]:
    return {"client": client, "name": found.names[client], "cluster": clusters.get(client, NO_CLUSTER)}


def _complete(square: np.ndarray) -> np.ndarray:
    """Return which rows to keep so that all values between them are there."""
    kept = np.arange(len(square))
    while len(kept):
        lacking = (~np.isfinite(square[np.ix_(kept, kept)])).sum(1)
        if not lacking.any():
            break
        kept = np.delete(kept, int(lacking.argmax()))
    return kept
