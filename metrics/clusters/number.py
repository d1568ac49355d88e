"""How many clusters there are: as many as stand out most, or one if clients without any stand out as much."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from fedlayers.core.seeding import numpy_generator
from metrics.clusters.evaluation import silhouettes
from metrics.clusters.labels import canonical_labels, indicators
from metrics.clusters.linkage import linkage_partitions
from metrics.clusters.mixture import leading_distances, mixture_distances
from metrics.clusters.permutation import permuted_distances
from metrics.clusters.rotation import rotated_distances

# What a partition without two clusters of two or more clients scores: the least a silhouette can be.
_NOTHING = -1.0
# A reference costs the cube of the number of clients; so many are plenty for a test.
_MOST_TESTED = 300
# Equal scores may differ by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ClusterNumber:
    """How many clusters there are, and why.

    Attributes:
        number: 1 or more.
        scores: number of clusters -> :func:`partition_score` of the average-linkage partition; those that were tried.
        p: the p value of "there are no clusters", see :class:`NumberRule`; NaN if that was not tested.
        reason: why it was not tested; empty if it was.
    """

    number: int
    scores: Mapping[int, float] = field(default_factory=dict)
    p: float = float("nan")
    reason: str = ""


@dataclass(frozen=True)
class NumberRule:
    """Chooses the number of clusters by average linkage, the mean silhouette of clusters and three tests.

    The number k in 2 … min(``max_number``, n // 2) whose partition scores highest (:func:`partition_score`), if that
    score is higher than clients without clusters make it; else 1. There are three kinds of references:

    - :func:`metrics.clusters.rotation.rotated_distances`, clients from one normal distribution: the highest score over
      all numbers;
    - :func:`metrics.clusters.permutation.permuted_distances`, pairs without pattern: the highest over 2 … k. Not asked
      of four clients: their six distances, dealt out anew, make two pairs one time in five;
    - :func:`metrics.clusters.mixture.mixture_distances`, clients that are mixtures of k + 1 kinds of data: the score of
      k clusters in the k − 1 leading coordinates, as for the clients themselves.

    p is the largest of the tests' (1 + how many references reach the score) / (1 + ``references``). Of more than 300
    clients, 300 drawn at random are tested.

    So normally distributed clients are found to have clusters with probability ``level`` or less by Euclidean
    distances, whatever their covariance, and about as rarely by cosine and L1 distances; heavy-tailed ones hardly ever.
    Label mixtures without groups (ten classes, Dirichlet 0.5, cosine distances) have them in 1, 3 and 1 % of
    simulations with 5, 8 and 20 clients, where without the third test it was 5, 15 and 30 %. More often: mixtures of
    two or three classes (8 and 13 % with 8 to 12 clients), and mixtures in which most clients are of one class, which
    are groups indeed. The third test costs no power where groups differ in many directions, as updates do; of groups
    in two or three dimensions that all but overlap (centres 3 standard deviations apart) it finds half as many.

    Args:
        max_number: the largest number of clusters, 2 or more.
        references: random references of each kind; the smallest p value is 1 / (1 + references).
        level: the largest p value at which there is more than one cluster, in (0, 1); at least 1 / (1 + references).

    Raises:
        ValueError: if an argument is out of its range.

    References:
        Rousseeuw 1987, Silhouettes, Journal of Computational and Applied Mathematics 20; Kaufman & Rousseeuw 1990,
        Finding Groups in Data, ch. 2 (the number of clusters by them); Pavlopoulos, Vardakas & Likas 2024, Revisiting
        silhouette aggregation, arXiv 2401.05831 (means of clusters); Langsrud 2005, Rotation tests, Statistics and
        Computing 15.
    """

    max_number: int = 10
    references: int = 99
    level: float = 0.05

    def __post_init__(self) -> None:
        if self.max_number < 2:
            raise ValueError(f"max_number must be 2 or more, got {self.max_number!r}")
        if not 1 / (1 + self.references) <= self.level < 1:
            raise ValueError(f"level must be in [1 / (1 + references), 1), got {self.level!r}")

    def choose(self, distances: np.ndarray, seed: int) -> ClusterNumber:
        """Return how many clusters there are.

        Args:
            distances: see :func:`metrics.clusters.distance_matrix.checked_distances`; the answer depends on the order
                of the clients through the random references, unless it is that of
                :func:`metrics.clusters.distance_matrix.client_order`.
            seed: decides on the references.
        """
        if len(distances) < 4:
            return ClusterNumber(1, reason=f"4 clients or more are needed, got {len(distances)}")
        scores = partition_scores(distances, min(self.max_number, len(distances) // 2))
        p = self._p_value(distances, scores, seed)
        return ClusterNumber(_best(scores) if p <= self.level else 1, scores, p)

    def _p_value(self, distances: np.ndarray, scores: Mapping[int, float], seed: int) -> float:
        generator, largest = numpy_generator(seed, "references without clusters"), max(scores)
        if len(distances) > _MOST_TESTED:
            drawn = generator.choice(len(distances), _MOST_TESTED, replace=False)
            distances = distances[np.ix_(drawn, drawn)]
            scores = partition_scores(distances, largest)
        best = _best(scores)
        tests = [_Test(rotated_distances(distances, generator), scores[best], largest)]
        if len(distances) > 4:
            tests.append(_Test(permuted_distances(distances, generator), scores[best], best))
        leading = leading_distances(distances, best - 1)
        mixtures = mixture_distances(distances, best, generator)
        tests.append(_Test(mixtures, _score_of(leading, best), best, only_largest=True))
        return (1 + max(test.reached(self.references) for test in tests)) / (1 + self.references)


@dataclass(frozen=True)
class _Test:
    """References without clusters against a score.

    Attributes:
        references: distances, endlessly.
        score: what they are held against.
        largest: the largest number of clusters that is looked for in them.
        only_largest: whether no smaller number is.
    """

    references: Iterator[np.ndarray]
    score: float
    largest: int
    only_largest: bool = False

    def reached(self, count: int) -> int:
        """Return how many of the first references reach the score."""
        highest = _score_of if self.only_largest else _highest
        scores = (highest(reference, self.largest) for reference in islice(self.references, count))
        return sum(score >= self.score - _ROUNDING for score in scores)


# The rule that clusterings ask unless told otherwise.
TESTED = NumberRule()


def partition_scores(distances: np.ndarray, largest: int) -> dict[int, float]:
    """Return the scores of the average-linkage partitions into 2 … largest clusters, fewest first.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.
        largest: in 2 … n.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> {number: round(score, 3) for number, score in partition_scores(distances, 3).items()}
        {2: 0.856, 3: -1.0}
    """
    partitions = linkage_partitions(distances, largest)
    return {number: partition_score(distances, partitions[number]) for number in range(2, largest + 1)}


def partition_score(distances: np.ndarray, labels: np.ndarray) -> float:
    """Return how much the clusters of a partition stand out: Σ_c s̄_c / k over its k clusters.

    s̄_c is the mean silhouette of the clients of cluster c, 0 if it is one client. As means are taken over clusters,
    many clients against one far away are no two clusters; for the same reason the silhouettes of others do not
    compare with a cluster of one client.

    Args:
        distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.
        labels: shape (n,).

    Returns:
        A value in [−1, 1]; −1 without two clusters of two clients or more.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> round(partition_score(distances, np.array([0, 0, 1, 1])), 3)
        0.856
    """
    codes = canonical_labels(labels)
    counts = np.bincount(codes)
    if (counts > 1).sum() < 2:
        return _NOTHING
    kept = np.flatnonzero(counts[codes] > 1)
    groups = canonical_labels(codes[kept])
    values = silhouettes(distances if len(kept) == len(codes) else distances[np.ix_(kept, kept)], groups)
    members = indicators(groups)
    return float((values @ members / members.sum(0)).sum() / len(counts))


def _best(scores: Mapping[int, float]) -> int:
    return max(scores, key=lambda number: scores[number])


def _highest(distances: np.ndarray, largest: int) -> float:
    return max(partition_scores(distances, largest).values())


def _score_of(distances: np.ndarray, number: int) -> float:
    return partition_score(distances, linkage_partitions(distances, number)[number])
