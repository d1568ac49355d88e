"""Clusters of clients: the order in which they merge, and a map of who is near whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from fedlayers.core.quantities import Facts
from fedlayers.figures.clients.client_matrix import client_matrix
from fedlayers.figures.drawing.style import PALETTE, headline, new_figure, shortened
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, at_moments, one_moment
from fedlayers.views.pairs import whole_models
from fedlayers.views.values import usable

DISTANCE = "cluster_distance"
# What clusters are found from is made symmetric, whatever it was, and has each pair once.
_CLUSTERED = Facts(DISTANCE, "", 0.0, np.inf, "lower", "", symmetric=True)
_MOST_NAMED = 40
_GREY = "#888888"


def cluster_rows(records: pd.DataFrame, pairs: pd.DataFrame) -> bool:
    """Say whether clusters were found, of three clients or more."""
    found = whole_models(pairs, DISTANCE)
    return len(found) >= 3 and not _labels(records).empty


def client_clusters(records: pd.DataFrame, pairs: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Return the clusters of the last round measured: a dendrogram and a graph, coloured by cluster.

    The dendrogram merges by average linkage, whatever found the clusters. In the graph clients that are near each other
    have a line, the darker the nearer, up to the median distance; places are the two principal coordinates of the
    distances, with their share of all squared distances on the axes.
    """
    moment, rows = one_moment(whole_models(pairs, DISTANCE))
    last = rows["round"].max()
    rows = rows[rows["round"] == last]
    names = client_names(pd.concat([rows[["client"]], rows[["other"]].set_axis(["client"], axis=1)]), facts)
    distances = client_matrix(rows, list(names), _CLUSTERED)
    labels = _labels(records)
    labels = labels[labels["round"] == last]
    clusters = labels.set_index(labels["client"].astype(int))["value"].astype(int).reindex(list(names), fill_value=0)
    figure = new_figure(10.5, 4.4)
    left, right = figure.subplots(1, 2)
    shown = [shortened(name, 14) for name in names.values()]
    _dendrogram(left, distances, shown, clusters.to_numpy())
    _graph(right, distances, shown, clusters.to_numpy())
    variant = str(rows["variant"].iloc[0])
    number = int(clusters.nunique())
    counted = f"{number} cluster{'' if number == 1 else 's'}"
    headline(figure, facts, MOMENT_NAMES[moment], f"round {int(last)}", variant.replace("_dst", " distance"), counted)
    return figure


def principal_places(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return classical scaling of distances to two dimensions.

    Args:
        distances: shape (n, n), n ≥ 2, symmetric with a diagonal of zeros.

    Returns:
        Places (n, 2), and the share of the positive eigenvalues' sum that lies in each of the two, shape (2,).

    References:
        Torgerson 1952, Multidimensional scaling, Psychometrika 17; Gower 1966, Biometrika 53.
    """
    squares = np.square(distances)
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    top = np.maximum(values[::-1][:2], 0.0)
    # Eigenvectors have no sign of their own: the first client that has a place lies to the right and above.
    chosen = vectors[:, ::-1][:, :2]
    signs = np.sign(chosen[np.abs(chosen).argmax(0), [0, 1]])
    total = values[values > 0].sum()
    return chosen * signs * np.sqrt(top), top / total if total > 0 else np.zeros(2)


def _labels(records: pd.DataFrame) -> pd.DataFrame:
    found = (records["metric"] == "cluster") & records["client"].notna() & records["variant"].notna()
    return usable(at_moments(records[found]))


def _dendrogram(axes: Axes, distances: np.ndarray, names: Sequence[str], clusters: np.ndarray) -> None:
    merged = linkage(squareform(distances, checks=False), "average")
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
        axes.plot(*of_cluster.T, "o", color=_colour(cluster), ms=8, label=f"cluster {cluster}", zorder=2)
    if len(names) <= _MOST_NAMED:
        for place, name in zip(places, names, strict=True):
            axes.annotate(name, place, xytext=(5, 4), textcoords="offset points", fontsize=7)
    axes.grid(visible=False)
    axes.set_xlabel(f"first principal coordinate ({shares[0]:.0%})")
    axes.set_ylabel(f"second ({shares[1]:.0%})")
    axes.set_title("who is near whom")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _colour(cluster: int) -> str:
    return PALETTE[int(cluster) % len(PALETTE)]
