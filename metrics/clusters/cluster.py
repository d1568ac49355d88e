"""What a clustering is: from the distances between clients to their clusters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlayers.core.seeding import derive
from metrics.clusters.distance_matrix import checked_distances, client_order
from metrics.clusters.labels import canonical_labels
from metrics.clusters.number import ClusterNumber, NumberRule
from metrics.clusters.stability import Stability, bootstrap_stability


@dataclass(frozen=True)
class Clusters:
    """Clusters of clients.

    Attributes:
        labels: the cluster of every client, shape (n,); cluster 0 holds client 0, and the next number belongs to the
            first client that is in none of those before.
        number: how many clusters there are.
        scores: number of clusters -> how much that many stand out, see :class:`metrics.clusters.number.NumberRule`;
            empty if nobody asked.
        p: the p value of "there are no clusters"; NaN if that was not tested.
        reason: why it was not tested; empty if it was.
        stability: of the clusters among resampled clients; None if nobody asked.
    """

    labels: np.ndarray
    number: int
    scores: Mapping[int, float]
    p: float
    reason: str
    stability: Stability | None = None


class Clustering(ABC):
    """A way to find clusters: subclass and implement ``_partition``.

    Args:
        number: of clusters, 1 or more; None leaves it to ``rule``.
        rule: what decides on the number of clusters.

    Raises:
        ValueError: if the number is below 1, or if nothing decides on it.
    """

    # Whether the method decides on the number of clusters itself, once the rule finds more than one.
    decides: bool = False

    def __init__(self, number: int | None, rule: NumberRule | None) -> None:
        if number is not None and number < 1:
            raise ValueError(f"number must be 1 or more, got {number!r}")
        if number is None and rule is None and not self.decides:
            raise ValueError("number or rule must say how many clusters there are, got None for both")
        self.number, self.rule = number, rule

    def labels(self, distances: np.ndarray, seed: int) -> np.ndarray:
        """Return the labels of :meth:`find`, shape (n,)."""
        return self.find(distances, seed).labels

    def find(self, distances: np.ndarray, seed: int, resamples: int = 0) -> Clusters:
        """Return the clusters of clients.

        They are the same in whatever order the clients come, unless two have equal mean distances from the others and
        the method is at a tie.

        Args:
            distances: between n clients, n ≥ 1, shape (n, n): finite, 0 or more, symmetric, with a diagonal of zeros.
                A metric with a direction has to be made symmetric first, say by the mean of both.
            seed: decides on everything random.
            resamples: draws of clients for the stability, 0 for none.

        Raises:
            ValueError: if the distances are not of this kind or the method refuses them, or if there are fewer clients
                than clusters asked for.
        """
        checked = checked_distances(distances)
        order = client_order(checked)
        ordered = checked[np.ix_(order, order)]
        choice = self._choice(ordered, seed)
        labels = np.empty(len(order), dtype=np.int64)
        labels[order] = self.partition(ordered, choice.number, derive(seed, "clusters"))
        labels = canonical_labels(labels)
        stability = bootstrap_stability(ordered, labels[order], self.partition, seed, resamples) if resamples else None
        return Clusters(labels, int(labels.max()) + 1, choice.scores, choice.p, choice.reason, stability)

    def partition(self, distances: np.ndarray, number: int, seed: int) -> np.ndarray:
        """Return as many clusters as asked for, whether or not they stand out.

        Args:
            distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.
            number: of clusters, in 1 … n; a method that decides on it itself does so for any number above 1.
            seed: decides on everything random.

        Returns:
            Canonical labels, shape (n,).
        """
        if number == 1:
            return np.zeros(len(distances), dtype=np.int64)
        return canonical_labels(self._partition(distances, number, seed))

    def _choice(self, distances: np.ndarray, seed: int) -> ClusterNumber:
        if self.number is not None:
            if self.number > len(distances):
                raise ValueError(f"number must be at most the number of clients, {len(distances)}, got {self.number}")
            return ClusterNumber(self.number, reason="the number of clusters was given")
        if self.rule is None:
            return ClusterNumber(len(distances), reason="the method decides on the number of clusters, untested")
        return self.rule.choose(distances, seed)

    @abstractmethod
    def _partition(self, distances: np.ndarray, number: int, seed: int) -> np.ndarray:
        """Return labels of two or more clusters, with any names, shape (n,)."""
