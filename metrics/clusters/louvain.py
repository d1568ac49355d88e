"""Communities of a graph of clients: Louvain's method.

Own code, because networkx's (3.6) goes round in circles for ever on some graphs with ties, where it takes rounding for
a gain, and because every client has an edge with every other: 300 clients take it 3.2 s instead of 0.04 s, 1,000
clients 68 s instead of 0.25 s.
"""

import numpy as np

from fedlayers.core.seeding import numpy_generator
from metrics.clusters.cluster import Clustering
from metrics.clusters.labels import canonical_labels, indicators
from metrics.clusters.number import TESTED, NumberRule
from metrics.clusters.similarity import CubedQuantile, SimilarityOfDistance

# In units of modularity, which is 1 at most: a smaller gain is rounding.
_ROUNDING = 1e-12
_CUBED = CubedQuantile()


class Louvain(Clustering):
    """The partition of highest modularity that several starts of Louvain's method find.

    The graph has a node for every client and edges weighted by similarity. It decides on the number of clusters itself;
    as it finds communities also where there are none, ``rule`` decides first whether there are any.

    Args:
        similarity: what the edges' weights are.
        resolution: γ of :func:`modularity`, above 0; more than 1 gives more and smaller clusters.
        restarts: how many random orders of the clients to try, 1 or more.
        rule: what decides whether there is more than one cluster; None asks nobody.

    Raises:
        ValueError: if an argument is out of its range.

    References:
        Blondel et al. 2008, Fast unfolding of communities in large networks, arXiv 0803.0476.
    """

    decides = True

    def __init__(
        self,
        similarity: SimilarityOfDistance = _CUBED,
        resolution: float = 1.0,
        restarts: int = 10,
        rule: NumberRule | None = TESTED,
    ) -> None:
        super().__init__(None, rule)
        if not resolution > 0:
            raise ValueError(f"resolution must be above 0, got {resolution!r}")
        if restarts < 1:
            raise ValueError(f"restarts must be 1 or more, got {restarts!r}")
        self.similarity, self.resolution, self.restarts = similarity, resolution, restarts

    def _partition(self, distances: np.ndarray, number: int, seed: int) -> np.ndarray:
        generator = numpy_generator(seed, "louvain")
        weights = self.similarity.edges(distances)
        return louvain_labels(weights, self.resolution, self.restarts, generator)


def modularity(weights: np.ndarray, labels: np.ndarray, resolution: float = 1.0) -> float:
    """Return Σ_ij (w_ij − γ k_i k_j / 2m) [c_i = c_j] / 2m, with k_i = Σ_j w_ij and 2m = Σ_i k_i.

    Args:
        weights: of the edges, 0 or more, shape (n, n), symmetric; a diagonal counts as edges of a node with itself.
        labels: shape (n,).
        resolution: γ.

    Returns:
        A value in [−γ, 1]; NaN without edges.

    References:
        Newman 2004, Analysis of weighted networks, Physical Review E 70; Reichardt & Bornholdt 2006, Physical Review E
        74 (γ).

    Examples:
        >>> import numpy as np
        >>> weights = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], dtype=float)
        >>> round(modularity(weights, np.array([0, 0, 1, 1]), 1.0), 3)
        0.333
    """
    total = float(weights.sum())
    if not total > 0:
        return float("nan")
    members = indicators(canonical_labels(labels))
    inside = float(((weights @ members) * members).sum())
    degrees = weights.sum(1) @ members
    return inside / total - resolution * float(np.square(degrees / total).sum())


def louvain_labels(weights: np.ndarray, resolution: float, restarts: int, generator: np.random.Generator) -> np.ndarray:
    """Return the best of several runs of Louvain's method; of equally good ones the first in the order of labels.

    Args:
        weights: of the edges, 0 or more, shape (n, n), symmetric, with a diagonal of zeros.
        resolution: γ of :func:`modularity`.
        restarts: the number of runs.
        generator: of the orders in which they go through the nodes.

    Returns:
        Canonical labels, shape (n,). A client without edges is alone.

    Examples:
        >>> import numpy as np
        >>> weights = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], dtype=float)
        >>> louvain_labels(weights, 1.0, 5, np.random.default_rng(0)).tolist()
        [0, 0, 1, 1]
    """
    if not weights.any():
        return np.arange(len(weights))
    runs = [_run(weights / weights.sum(), resolution, generator) for _ in range(restarts)]
    values = [modularity(weights, labels, resolution) for labels in runs]
    best = max(values) - _ROUNDING
    return min((labels for labels, value in zip(runs, values, strict=True) if value >= best), key=lambda x: x.tolist())


def _run(weights: np.ndarray, resolution: float, generator: np.random.Generator) -> np.ndarray:
    """Return the labels of one run: nodes move, communities become nodes, until nothing moves."""
    labels = np.arange(len(weights))
    while True:
        moved = canonical_labels(_moved(weights, resolution, generator))
        if moved.max() + 1 == len(weights):
            return canonical_labels(labels)
        labels = moved[labels]
        members = indicators(moved)
        weights = members.T @ weights @ members


def _moved(weights: np.ndarray, resolution: float, generator: np.random.Generator) -> np.ndarray:
    """Return the communities that nodes form by moving, one by one, to where they add most to the modularity."""
    n = len(weights)
    labels, degrees = np.arange(n), weights.sum(1)
    totals = degrees.copy()
    changed = True
    while changed:
        changed = False
        for node in generator.permutation(n):
            own = labels[node]
            totals[own] -= degrees[node]
            gains = np.bincount(labels, weights[node], n) - (resolution * degrees[node]) * totals
            gains[own] -= weights[node, node]
            best = gains.argmax()
            if gains[best] > gains[own] + _ROUNDING:
                labels[node], changed = best, True
            totals[labels[node]] += degrees[node]
    return labels
