"""Partitions of records by agglomerative linkage, and how far they come back among resampled records."""

from typing import Literal, get_args

import numpy as np
from scipy.cluster.hierarchy import linkage as merged
from scipy.spatial.distance import squareform

from fedlayers.core.seeding import derive, numpy_generator
from metrics.clusters.labels import canonical_labels
from metrics.clusters.linkage import merged_partitions
from metrics.clusters.stability import Stability, bootstrap_stability

RecordLinkage = Literal["average", "single", "ward"]
LINKAGES: tuple[RecordLinkage, ...] = get_args(RecordLinkage)
# Repeating costs m² log m a time: of more records so many are drawn.
_MOST_REPEATED = 500


def record_partition(distances: np.ndarray, number: int, linkage: RecordLinkage = "average") -> np.ndarray:
    """Return as many clusters as asked for, the largest first, equal ones in the order of their first members.

    Args:
        distances: between m records, symmetric, with a diagonal of zeros, shape (m, m); Euclidean for ``ward``.
        number: of clusters, in 1 … m.
        linkage: one of :data:`LINKAGES`.

    Returns:
        Shape (m,), in 0 … number − 1.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 9.0, 10.0, 12.0])
        >>> record_partition(np.abs(points[:, None] - points), 2).tolist()
        [1, 0, 0, 0]
    """
    if number == 1:
        return np.zeros(len(distances), dtype=np.int64)
    codes = canonical_labels(merged_partitions(merged(squareform(distances, checks=False), linkage), number)[number])
    places: np.ndarray = np.argsort(np.argsort(-np.bincount(codes), kind="stable"))
    labels: np.ndarray = places[codes]
    return labels


def record_stability(
    distances: np.ndarray, labels: np.ndarray, linkage: RecordLinkage, seed: int, resamples: int
) -> Stability:
    """Return how far clusters come back, see :func:`metrics.clusters.stability.bootstrap_stability`.

    Args:
        distances: between m records, as for :func:`record_partition`; of more than 500 records 500 take part.
        labels: of the clusters, shape (m,), as :func:`record_partition` gives them.
        linkage: what found them.
        seed: decides on the draws.
        resamples: how many.
    """
    kept = np.arange(len(labels))
    if len(kept) > _MOST_REPEATED:
        drawn = numpy_generator(seed, "repeated records").choice(kept, _MOST_REPEATED, replace=False)
        # One of each cluster at least: a cluster that nobody drew has no stability.
        kept = np.union1d(drawn, np.unique(labels, return_index=True)[1])

    def partition(some: np.ndarray, number: int, _: int) -> np.ndarray:
        return record_partition(some, number, linkage)

    stream = derive(seed, "record stability")
    return bootstrap_stability(distances[np.ix_(kept, kept)], labels[kept], partition, stream, resamples)
