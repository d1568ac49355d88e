"""The order in which things that are near each other merge."""

import numpy as np


def average_linkage(distances: np.ndarray) -> np.ndarray:
    """Return how things merge, nearest first, by the mean distance between all of one group and all of the other.

    Args:
        distances: shape (n, n), n ≥ 2, symmetric with a diagonal of zeros.

    Returns:
        Shape (n − 1, 4): of each merger the two groups, their distance and how many things are in both, as SciPy's
        ``dendrogram`` takes it.

    References:
        Sokal & Michener 1958, A statistical method for evaluating systematic relationships, Univ. Kansas Sci. Bull. 38.
    """
    # Here, for whoever draws other charts does not wait for it.
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    merged: np.ndarray = linkage(squareform(distances, checks=False), "average")
    return merged


def leaves(distances: np.ndarray) -> list[int]:
    """Return the order of the leaves of the dendrogram in which things merge, so that near ones stand side by side.

    Args:
        distances: see :func:`average_linkage`.

    Examples:
        >>> leaves(np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 8.0], [1.0, 8.0, 0.0]]))
        [1, 0, 2]
    """
    from scipy.cluster.hierarchy import leaves_list

    return [int(leaf) for leaf in leaves_list(average_linkage(distances))]
