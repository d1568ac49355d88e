"""Distances between clients that have no clusters: given distances, dealt out to the pairs at random."""

from collections.abc import Iterator

import numpy as np


def permuted_distances(distances: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the distances of all pairs in random order, endlessly.

    If the distances of pairs are exchangeable, as those between many-dimensional independent clients nearly are, the
    given matrix is such a draw: the test against these references is exact then.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.
        generator: what the orders are drawn from.

    References:
        Ling 1973, A probability theory of cluster analysis, JASA 68 (the random graph hypothesis); Jain & Dubes 1988,
        Algorithms for Clustering Data, ch. 4.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> permuted = next(permuted_distances(distances, np.random.default_rng(0)))
        >>> sorted(permuted[np.triu_indices(4, 1)].tolist()) == sorted(distances[np.triu_indices(4, 1)].tolist())
        True
    """
    pairs = np.triu_indices(len(distances), 1)
    while True:
        found = np.zeros_like(distances)
        found[pairs] = generator.permutation(distances[pairs])
        yield found + found.T
