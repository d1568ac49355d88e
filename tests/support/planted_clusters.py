"""Clients in planted clusters, and clients without any."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import pdist, squareform


def planted(
    sizes: Sequence[int], dimension: int = 100, separation: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return points around orthogonal centres, at a typical distance of 0.5 to 1.5 from them, and their groups."""
    generator = np.random.default_rng(seed)
    centres = separation * np.linalg.qr(generator.standard_normal((dimension, len(sizes))))[0].T
    spreads = generator.uniform(0.5, 1.5, len(sizes)) / np.sqrt(dimension)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    noise = spreads[groups, None] * generator.standard_normal((len(groups), dimension))
    return centres[groups] + noise, groups


def euclidean(points: np.ndarray) -> np.ndarray:
    distances: np.ndarray = squareform(pdist(points))
    return distances


def cosine(points: np.ndarray) -> np.ndarray:
    distances: np.ndarray = squareform(pdist(points, "cosine"))
    return distances


def manhattan(points: np.ndarray) -> np.ndarray:
    distances: np.ndarray = squareform(pdist(points, "cityblock"))
    return distances


def shuffled(distances: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the same clients in another order, and that order."""
    order = np.random.default_rng(seed).permutation(len(distances))
    return distances[np.ix_(order, order)], order


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())
