"""Distances between clients that have no clusters, but as many directions of the same importance as given ones."""

from collections.abc import Iterator

import numpy as np

from metrics.clusters.distance_matrix import inner_products, is_euclidean


def rotated_distances(distances: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield distances between as many clients, endlessly, that chance alone makes.

    The inner products G = V diag(λ) Vᵀ of the points that have the given distances, with the eigenvector 1 left out,
    become Q diag(λ) Qᵀ, Q random and uniformly distributed among the n × (n − 1) matrices with QᵀQ = I and Qᵀ1 = 0.
    If the points were drawn independently from one normal distribution, of whatever covariance and in however many
    dimensions, G itself is such a draw, given λ: the test against these references is exact.

    If no points have these distances, G is that of their square roots (points have them if the distances are squared
    Euclidean, cosine or L1 distances), and what is drawn is squared again. Where even those do not exist, directions
    with λ < 0 are kept, and squared distances below 0 become 0.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`, n ≥ 2.
        generator: what Q is drawn from.

    References:
        Wedderburn 1975, Random rotations and multivariate normal simulation, Rothamsted; Langsrud 2005, Rotation tests,
        Statistics and Computing 15; Liu et al. 2008, Statistical significance of clustering for high-dimension,
        low-sample size data, JASA 103 (a normal distribution as what has no clusters).

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> next(rotated_distances(distances, np.random.default_rng(0))).shape
        (4, 4)
    """
    n = len(distances)
    euclidean = is_euclidean(distances)
    values = np.linalg.eigvalsh(inner_products(distances if euclidean else np.sqrt(distances)))
    # That of the eigenvector 1 is 0 but for rounding.
    values = np.delete(values, np.abs(values).argmin())
    while True:
        normal = generator.standard_normal((n, n - 1))
        basis = np.linalg.qr(normal - normal.mean(0))[0]
        products = (basis * values) @ basis.T
        norms = np.diag(products)
        squares = np.maximum(norms + norms[:, None] - (products + products.T), 0.0)
        np.fill_diagonal(squares, 0.0)
        yield np.sqrt(squares) if euclidean else squares
