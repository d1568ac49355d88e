"""Clusters of clients by the eigenvectors of a graph's Laplacian."""

from typing import Literal

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.csgraph import laplacian

from metrics.clusters.cluster import Clustering
from metrics.clusters.labels import canonical_labels
from metrics.clusters.number import TESTED, ClusterNumber, NumberRule
from metrics.clusters.similarity import GaussianMedian, SimilarityOfDistance

_GAUSSIAN = GaussianMedian()


class Spectral(Clustering):
    """Spectral clusters of the graph whose edges are weighted by similarity; nothing about them is random.

    Args:
        similarity: what the edges' weights are.
        number: of clusters, 1 or more; None leaves it to ``rule``, ``eigengap`` to :func:`eigengap_number`, which tests
            nothing and finds too few clusters with a similarity that falls slowly.
        rule: what decides on the number of clusters.

    Raises:
        ValueError: if the number is out of its range, or both number and rule are None.

    References:
        von Luxburg 2007, A tutorial on spectral clustering, arXiv 0711.0189.
    """

    def __init__(
        self,
        similarity: SimilarityOfDistance = _GAUSSIAN,
        number: int | Literal["eigengap"] | None = None,
        rule: NumberRule | None = TESTED,
    ) -> None:
        if isinstance(number, str) and number != "eigengap":
            raise ValueError(f"number must be 1 or more, eigengap or None, got {number!r}")
        self.decides = number == "eigengap"
        super().__init__(None if isinstance(number, str) else number, rule)
        self.similarity = similarity

    def _choice(self, distances: np.ndarray, seed: int) -> ClusterNumber:
        if not self.decides:
            return super()._choice(distances, seed)
        number = eigengap_number(self.similarity.edges(distances))
        return ClusterNumber(number, reason="the eigengap decided on the number of clusters, untested")

    def _partition(self, distances: np.ndarray, number: int, seed: int) -> np.ndarray:
        return spectral_labels(self.similarity.edges(distances), number)


def spectral_labels(weights: np.ndarray, number: int) -> np.ndarray:
    """Return spectral clusters of a graph.

    The eigenvectors of the ``number`` smallest eigenvalues of the normalised Laplacian (:func:`laplacian_spectrum`),
    divided by √(degree), give every node a row. A node goes with that of ``number`` orthogonal directions which its
    row has most of: the directions nearest to the rows that a QR decomposition with column pivoting picks.

    Args:
        weights: of the edges, 0 or more, shape (n, n), symmetric, with a diagonal of zeros.
        number: how many clusters to look for, in 1 … n.

    Returns:
        Canonical labels, shape (n,); fewer clusters than asked for if no node goes with a direction.

    References:
        von Luxburg 2007, arXiv 0711.0189; Damle, Minden & Ying 2019, Simple, direct and efficient multi-way spectral
        clustering, Information and Inference 8 (the directions).

    Examples:
        >>> import numpy as np
        >>> weights = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], dtype=float)
        >>> spectral_labels(weights, 2).tolist()
        [0, 0, 1, 1]
    """
    # What scikit-learn exports is this with eigenvectors that start from random numbers, and differ from seed to seed
    # where eigenvalues are equal (equally distant clients, parts of a graph).
    from sklearn.cluster._spectral import cluster_qr

    _, vectors = laplacian_spectrum(weights, number)
    _, roots = _laplacian(weights)
    return canonical_labels(cluster_qr(vectors / roots[:, None]))


def eigengap_number(weights: np.ndarray) -> int:
    """Return the k in 1 … max(1, n // 2) after which the eigenvalues of the Laplacian rise most: λ_(k+1) − λ_k.

    Args:
        weights: of the edges, 0 or more, shape (n, n), symmetric, with a diagonal of zeros, n ≥ 1.

    References:
        von Luxburg 2007, arXiv 0711.0189, section 8.3.

    Examples:
        >>> import numpy as np
        >>> weights = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], dtype=float)
        >>> eigengap_number(weights)
        2
    """
    if len(weights) == 1:
        return 1
    values, _ = laplacian_spectrum(weights, max(len(weights) // 2, 1) + 1)
    return int(np.diff(values).argmax()) + 1


def laplacian_spectrum(weights: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues of L = I − D^(−½) W D^(−½) and their eigenvectors, D the degrees Σ_j w_ij.

    Args:
        weights: of the edges, 0 or more, shape (n, n), symmetric, with a diagonal of zeros.
        number: how many, in 1 … n.

    Returns:
        Values in [0, 2], rising, shape (number,), as many zeros as the graph has parts; vectors, shape (n, number).

    Examples:
        >>> import numpy as np
        >>> weights = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], dtype=float)
        >>> abs(laplacian_spectrum(weights, 2)[0].round(3)).tolist()
        [0.0, 0.333]
    """
    values, vectors = eigh(_laplacian(weights)[0], subset_by_index=(0, number - 1))
    return values, vectors


def _laplacian(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return L and the roots of the degrees, 1 for a node without edges: a part of its own, whose row of L is 0."""
    found: tuple[np.ndarray, np.ndarray] = laplacian(weights, normed=True, return_diag=True, use_out_degree=True)
    return found
