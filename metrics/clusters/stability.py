"""How stable clusters are: whether they come back when some clients are left out, or when distances are replicated."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedlayers.core.seeding import derive, numpy_generator
from metrics.clusters.evaluation import adjusted_rand_index
from metrics.clusters.labels import canonical_labels, indicators

# Distances (n, n), number of clusters, seed -> labels (n,).
Partition = Callable[[np.ndarray, int, int], np.ndarray]


@dataclass(frozen=True)
class Stability:
    """How far clusters come back in repetitions.

    Attributes:
        jaccard: mean over repetitions of the largest Jaccard index |A ∩ B| / |A ∪ B| of a cluster's clients A that take
            part with a cluster B of the repetition, shape (k,). Near 1: stable; below about 0.6: not to be trusted.
        jaccard_stderr: the standard error of these means by the finite number of repetitions, shape (k,).
        repetitions: in how many repetitions clients of the cluster took part, shape (k,).
        ari: mean adjusted Rand index of the clusters with those of a repetition, over the repetitions where it is
            defined.
        ari_stderr: its standard error.
        reason: why all of it is NaN; empty if it is not. Values of too few repetitions are NaN, too: a mean needs one,
            a standard error two.

    References:
        Hennig 2007, Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52.
    """

    jaccard: np.ndarray
    jaccard_stderr: np.ndarray
    repetitions: np.ndarray
    ari: float
    ari_stderr: float
    reason: str = ""


def bootstrap_stability(
    distances: np.ndarray, labels: np.ndarray, partition: Partition, seed: int, resamples: int = 100
) -> Stability:
    """Return how far clusters come back among clients that are drawn with replacement.

    A client that is drawn twice counts once, as copies of a client would be a cluster of their own: on average 63 % of
    the clients take part. As many clusters are looked for as were found.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.
        labels: of the clusters that were found, canonical, shape (n,).
        partition: what found them.
        seed: decides on the draws.
        resamples: how many draws, 1 or more.
    """
    generator, n = numpy_generator(seed, "resampled clients"), len(labels)
    draws = [np.unique(generator.integers(n, size=n)) for _ in range(resamples)]
    matrices = (distances[np.ix_(drawn, drawn)] for drawn in draws)
    return _stability(labels, zip(draws, matrices, strict=True), partition, seed)


def replicate_stability(
    replicates: Sequence[np.ndarray], labels: np.ndarray, partition: Partition, seed: int
) -> Stability:
    """Return how far clusters come back in other measurements of the distances, such as other seeds or other rounds.

    Args:
        replicates: distances between the same clients in the same order, each of shape (n, n).
        labels: of the clusters that were found, canonical, shape (n,).
        partition: what found them.
        seed: passed on to ``partition``.

    Raises:
        ValueError: if a replicate has another number of clients.
    """
    for replicate in replicates:
        if np.shape(replicate) != (len(labels), len(labels)):
            raise ValueError(f"replicates must have shape {(len(labels),) * 2}, got {np.shape(replicate)}")
    everyone = np.arange(len(labels))
    return _stability(labels, ((everyone, replicate) for replicate in replicates), partition, seed)


def _stability(
    labels: np.ndarray, repetitions: Iterable[tuple[np.ndarray, np.ndarray]], partition: Partition, seed: int
) -> Stability:
    """Return the stability over repetitions: the clients that take part and the distances between them."""
    number = int(labels.max()) + 1
    unknown = np.full(number, np.nan)
    if number == 1:
        return Stability(unknown, unknown, np.zeros(1, int), math.nan, math.nan, "all clients are in one cluster")
    rows, agreements = [], []
    for index, (drawn, distances) in enumerate(repetitions):
        asked = min(number, len(drawn))
        found = partition(distances, asked, derive(seed, "repeated clusters", index))
        rows.append(best_jaccard(labels[drawn], found, number))
        agreements.append(adjusted_rand_index(found, labels[drawn]))
    if not rows:
        return Stability(unknown, unknown, np.zeros(number, int), math.nan, math.nan, "there are no repetitions")
    columns = [_mean_and_error(np.array(column)) for column in zip(*rows, strict=True)]
    jaccard, errors, counts = (np.array(part) for part in zip(*columns, strict=True))
    ari, ari_stderr, _ = _mean_and_error(np.array(agreements))
    return Stability(jaccard, errors, counts, ari, ari_stderr)


def best_jaccard(labels: np.ndarray, found: np.ndarray, number: int) -> np.ndarray:
    """Return for every cluster the largest Jaccard index with a cluster that was found.

    Args:
        labels: clusters of m clients, values in 0 … number − 1, shape (m,).
        found: other clusters of the same clients, shape (m,).
        number: of clusters.

    Returns:
        Values in (0, 1], shape (number,); NaN for a cluster without clients.

    Examples:
        >>> import numpy as np
        >>> best_jaccard(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), 2).round(3).tolist()
        [0.667, 0.5]
    """
    members, others = np.eye(number)[labels], indicators(canonical_labels(found))
    common = members.T @ others
    sizes = members.sum(0)
    either = sizes[:, None] + others.sum(0) - common
    return np.where(sizes > 0, (common / either).max(1), np.nan)


def _mean_and_error(values: np.ndarray) -> tuple[float, float, int]:
    """Return the mean of what is known, its standard error and how many are known."""
    known = values[~np.isnan(values)]
    error = float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return float(known.mean()) if len(known) else math.nan, error, len(known)
