"""Clusters of clients: the order in which they merge, and a map of who is near whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from fedlayers.figures.drawing.style import PALETTE, headline, new_figure, shortened
from fedlayers.statistics.classical_scaling import principal_places
from fedlayers.statistics.merging import average_linkage
from fedlayers.views.client_names import client_names
from fedlayers.views.clusters import NO_CLUSTER, cluster_distances, clusters_in
from fedlayers.views.matrices import client_square
from fedlayers.views.moments import MOMENT_NAMES

_MOST_NAMED = 40
_GREY = "#888888"


def client_clusters(records: pd.DataFrame, pairs: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Return the clusters of the last round measured: a dendrogram and a graph, coloured by cluster.

    The dendrogram merges by average linkage, whatever found the clusters. In the graph clients that are near each other
    have a line, the darker the nearer, up to the median distance; places are the two principal coordinates of the
    distances, with their share of all squared distances on the axes.
    """
    rows = cluster_distances(records, pairs)
    first = rows.iloc[0]
    last = int(first["round"])
    names = client_names(facts, rows["client"], rows["other"])
    distances = client_square(rows, list(names), symmetric=True, itself=0.0)
    found = clusters_in(records, last, names)
    figure = new_figure(10.5, 4.4)
    left, right = figure.subplots(1, 2)
    shown = [shortened(name, 14) for name in found["client_name"]]
    _dendrogram(left, distances, shown, found["cluster"].to_numpy())
    _graph(right, distances, shown, found["cluster"].to_numpy())
    number = int(found.loc[found["cluster"] != NO_CLUSTER, "cluster"].nunique())
    counted = f"{number} cluster{'' if number == 1 else 's'}"
    variant = str(first["variant"]).replace("_dst", " distance").replace("_distance", " distance")
    headline(figure, facts, MOMENT_NAMES[str(first["moment"])], f"round {last}", variant, counted)
    return figure


def _dendrogram(axes: Axes, distances: np.ndarray, names: Sequence[str], clusters: np.ndarray) -> None:
    merged = average_linkage(distances)
    named = len(names) <= _MOST_NAMED
    drawn = dendrogram(
        merged, ax=axes, labels=list(names), no_labels=not named, color_threshold=0, above_threshold_color=_GREY,
        leaf_rotation=90 if len(names) > 12 or max(map(len, names)) > 3 else 0, leaf_font_size=8,
    )  # fmt: skip
    for place, leaf in enumerate(drawn["leaves"] or ()):
        axes.plot(10 * place + 5, 0, "o", color=_colour(clusters[leaf]), ms=7, clip_on=False, zorder=3)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("distance")
    axes.set_xlabel("client" if named else f"{len(names)} clients")
    axes.set_title("merging by average linkage")


def _graph(axes: Axes, distances: np.ndarray, names: Sequence[str], clusters: np.ndarray) -> None:
    places, shares = principal_places(distances)
    one, two = np.triu_indices(len(names), 1)
    near = distances[one, two]
    reach = float(np.median(near)) or 1.0
    for i, j, distance in zip(one, two, near, strict=True):
        if distance <= reach:
            axes.plot(*places[[i, j]].T, color=_GREY, lw=1.2, alpha=0.1 + 0.6 * (1 - distance / reach), zorder=1)
    for cluster in np.unique(clusters):
        of_cluster = places[clusters == cluster]
        axes.plot(*of_cluster.T, "o", color=_colour(cluster), ms=8, label=_called(cluster), zorder=2)
    if len(names) <= _MOST_NAMED:
        for place, name in zip(places, names, strict=True):
            axes.annotate(name, place, xytext=(5, 4), textcoords="offset points", fontsize=7)
    axes.grid(visible=False)
    axes.set_xlabel(f"first principal coordinate ({shares[0]:.0%})")
    axes.set_ylabel(f"second ({shares[1]:.0%})")
    axes.set_title("who is near whom")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _called(cluster: int) -> str:
    return "no cluster" if cluster == NO_CLUSTER else f"cluster {cluster}"


def _colour(cluster: int) -> str:
    return _GREY if cluster == NO_CLUSTER else PALETTE[int(cluster) % len(PALETTE)]
