"""Clients that have no clusters, but are mixtures of a few kinds of data: a continuum that crowds at its corners."""

from collections.abc import Iterator

import numpy as np

from metrics.clusters.distance_matrix import inner_products, is_euclidean

# Of the Dirichlet distribution, per kind; the smaller, the more clients are nearly of one kind.
CONCENTRATION = 0.25


def leading_distances(distances: np.ndarray, directions: int) -> np.ndarray:
    """Return the distances of clients in their leading principal coordinates, where groups lie and noise hardly does.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`, n ≥ 2; those that no points have are
            taken for squares.
        directions: how many coordinates, in 1 … n − 1.

    References:
        Gower 1966, Some distance properties of latent root and vector methods, Biometrika 53.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> leading_distances(distances, 1)[0].round(3).tolist()
        [0.0, 1.0, 10.0, 12.0]
    """
    values, vectors = _spectrum(distances)
    return _distances(vectors[:, :directions], values[:directions])


def mixture_distances(distances: np.ndarray, number: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield distances in the leading coordinates between as many clients, endlessly, that are mixtures of some kinds.

    The shares of every client are drawn from a Dirichlet distribution of ``number`` + 1 kinds. Their principal
    coordinates are stretched to the variances that the given distances have in their leading number − 1 directions.

    Args:
        distances: see :func:`leading_distances`.
        number: of the clusters that are tested, in 2 … n // 2.
        generator: what the shares are drawn from.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> next(mixture_distances(distances, 2, np.random.default_rng(0))).shape
        (4, 4)
    """
    values, _ = _spectrum(distances)
    while True:
        shares = generator.gamma(CONCENTRATION, size=(len(distances), number + 1))
        shares /= shares.sum(1, keepdims=True)
        vectors = np.linalg.svd(shares - shares.mean(0), full_matrices=False)[0]
        yield _distances(vectors[:, : number - 1], values[: number - 1])


def _spectrum(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, largest first, and eigenvectors of the inner products of points with these distances."""
    products = inner_products(distances if is_euclidean(distances) else np.sqrt(distances))
    values, vectors = np.linalg.eigh(products)
    return values[::-1], vectors[:, ::-1]


def _distances(vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of points with coordinates vectors · √values, shape (n, n)."""
    points = vectors * np.sqrt(np.maximum(values, 0.0))
    squares = np.square(points).sum(1)
    found = np.maximum(squares + squares[:, None] - 2 * points @ points.T, 0.0)
    np.fill_diagonal(found, 0.0)
    distances: np.ndarray = np.sqrt((found + found.T) / 2)
    return distances
