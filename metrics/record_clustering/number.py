"""How many clusters of records there are: as many as stand out most, or one if records without clusters do as well."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from scipy.linalg import helmert

from fedlayers.core.seeding import numpy_generator
from metrics.clusters.number import ClusterNumber, partition_scores
from metrics.record_clustering.mutual_rank import mutual_rank
from metrics.record_clustering.partition import record_partition, record_stability

LARGEST = 10
REFERENCES = 39
LEVEL = 0.05
# From this mean Jaccard index on clusters are highly stable, Hennig 2007.
STABLE, RESAMPLES = 0.85, 20
# A reference costs m² n: so many are plenty for a test.
_MOST_TESTED, _MOST_CONTEXT = 200, 1000


def rank_distances(context: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return √(mutual rank) of the chosen records in their context, float64, shape (m, m).

    Examples:
        >>> import numpy as np
        >>> rank_distances(np.array([[0.0], [1.0], [5.0], [5.5]]), np.array([0, 3])).tolist()
        [[0.0, 3.0], [3.0, 0.0]]
    """
    found: np.ndarray = np.sqrt(mutual_rank(context, chosen).cpu().numpy(), dtype=np.float64)
    return found


def record_cluster_number(
    context: np.ndarray, chosen: np.ndarray, distances: np.ndarray, seed: int, references: int = REFERENCES
) -> ClusterNumber:
    """Return how many clusters the chosen records have.

    The k in 2 … min(10, m // 2) whose partition by average linkage of √(mutual rank) has the highest mean silhouette of
    its clusters (:func:`metrics.clusters.number.partition_score`), if records without clusters rarely score as high
    with any number, and if these clusters come back among resampled records (mean Jaccard index 0.85 or more); else 1.
    A reference without clusters has records of one normal distribution with just the mean and the covariance of the
    chosen ones (a random rotation of them about their mean) in the place of these, in the same context. If the chosen
    records are of one normal distribution, whatever its covariance, they are found to have clusters with probability
    0.05 or less. Measured on 60 records of one kind: 0 of 20 normal and exponential ones in 16 dimensions, 1 of 20 of t
    with three degrees of freedom there and of uniform ones in a square, 5 of 20 of two independent exponentials. Of
    more than 200 records 200 are tested, among 1,000 others. Copies of a record count once, unless there are 10
    different ones at most, which may well be clusters each.

    Args:
        context: all records, shape (n, d).
        chosen: positions of the m records, shape (m,).
        distances: of :func:`rank_distances` between them.
        seed: decides on the references.
        references: how many, 19 or more.

    References:
        Langsrud 2005, Rotation tests, Statistics and Computing 15; Liu et al. 2008, Statistical significance of
        clustering for high-dimension, low-sample size data, JASA 103 (one normal distribution as what is tested);
        Hennig 2007, Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52.

    Examples:
        >>> import numpy as np
        >>> context = np.random.default_rng(0).normal(size=(90, 5))
        >>> context[:20, 0] += 9
        >>> context[20:40, 1] += 9
        >>> chosen = np.arange(40)
        >>> record_cluster_number(context, chosen, rank_distances(context, chosen), 0).number
        2
    """
    if len(chosen) < 4:
        return ClusterNumber(1, reason=f"4 records or more are needed, got {len(chosen)}")
    once = np.sort(np.unique(context[chosen], axis=0, return_index=True)[1])
    if LARGEST < len(once) < len(chosen):
        # Else each record with its copies would be a cluster.
        context = np.concatenate([context[chosen[once]], np.delete(context, chosen, 0)])
        chosen = np.arange(len(once))
        distances = rank_distances(context, chosen)
    scores = partition_scores(distances, min(LARGEST, len(chosen) // 2))
    best = max(scores, key=lambda number: scores[number])
    generator = numpy_generator(seed, "records without clusters")
    others = np.setdiff1d(np.arange(len(context)), chosen)
    if len(chosen) > _MOST_TESTED or len(others) > _MOST_CONTEXT:
        chosen, others = _drawn(chosen, _MOST_TESTED, generator), _drawn(others, _MOST_CONTEXT, generator)
        score = _highest(context[chosen], context[others])
    else:
        score = scores[best]
    drawn = islice(_rotated(context[chosen], generator), references)
    reached = sum(_highest(records, context[others]) >= score - 1e-12 for records in drawn)
    p = (1 + reached) / (1 + references)
    return ClusterNumber(best if p <= LEVEL and _come_back(distances, best, seed) else 1, scores, p)


def _come_back(distances: np.ndarray, number: int, seed: int) -> bool:
    labels = record_partition(distances, number)
    return float(np.nanmean(record_stability(distances, labels, "average", seed, RESAMPLES).jaccard)) >= STABLE


def _drawn(positions: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return positions if len(positions) <= most else np.sort(generator.choice(positions, most, replace=False))


def _highest(records: np.ndarray, others: np.ndarray) -> float:
    """Return the highest score of records among others, over all numbers of clusters."""
    distances = rank_distances(np.concatenate([records, others]), np.arange(len(records)))
    return max(partition_scores(distances, min(LARGEST, len(records) // 2)).values())


def _rotated(records: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield records with the same mean and covariance, otherwise as a normal distribution gives them, endlessly."""
    contrasts = helmert(len(records))
    deviations, mean = contrasts @ records, records.mean(0)
    while True:
        rotation, triangle = np.linalg.qr(generator.standard_normal((len(contrasts),) * 2))
        yield mean + contrasts.T @ ((rotation * np.sign(np.diag(triangle))) @ deviations)
