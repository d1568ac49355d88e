"""The methods that find clusters of clients for a server, by name."""

import numpy as np

from fedlayers.core.checks import check
from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.cluster import Clustering
from metrics.clusters.louvain import Louvain
from metrics.clusters.similarity import CubedMinMax
from metrics.clusters.spectral import Spectral

_METHODS = ("louvain", "agglomerative", "spectral")


def clustering(method: str, number: int | None) -> Clustering:
    """Return a method; without a number :class:`metrics.clusters.number.NumberRule` says whether there are clusters.

    Args:
        method: ``louvain`` (on similarities that fall from 1 for the round's nearest pair to 0 for its farthest:
            gentler ones blur groups whose updates are far apart), ``agglomerative`` (average linkage) or ``spectral``.
        number: how many clusters, 1 or more; None: as many as there are. Louvain's method decides itself.

    Raises:
        UserError: there is no such method, or it takes no such number.
    """
    check(method in _METHODS, "algorithm.method", "one of " + ", ".join(_METHODS), method)
    check(number is None or number >= 1, "algorithm.number", "1 or more, or null for as many as there are", number)
    if method == "louvain":
        check(number is None, "algorithm.number", "null with algorithm.method=louvain, which decides itself", number)
        return Louvain(CubedMinMax())
    return Agglomerative(number=number) if method == "agglomerative" else Spectral(number=number)


def labels_of(distances: np.ndarray, method: str, number: int | None, seed: int) -> list[int]:
    """Return the cluster of each client, from 0.

    Args:
        distances: between clients, shape (n, n), n ≥ 1.
        method: see :func:`clustering`.
        number: see :func:`clustering`; more than n counts as n.
        seed: decides on everything random.
    """
    chosen = clustering(method, None if number is None else min(number, len(distances)))
    labels: list[int] = chosen.labels(distances, seed).tolist()
    return labels
