"""Clusters of chosen records, such as those on which two models disagree, in the context of all records."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from metrics.array_arguments import Array, as_tensor
from metrics.clusters.stability import Stability
from metrics.record_clustering.number import rank_distances, record_cluster_number
from metrics.record_clustering.partition import LINKAGES, RecordLinkage, record_partition, record_stability


@dataclass(frozen=True)
class RecordClusters:
    """Clusters of m records.

    Attributes:
        labels: the cluster of every chosen record, shape (m,); cluster 0 is the largest, then by size, equal ones in
            the order of their first members.
        number: how many clusters there are.
        scores: number of clusters -> how much that many stand out; empty if the number was given.
        p: the p value of "there are no clusters"; NaN if that was not tested.
        reason: why it was not; empty if it was.
        stability: how far clusters come back among resampled records.
    """

    labels: np.ndarray
    number: int
    scores: Mapping[int, float]
    p: float
    reason: str
    stability: Stability

    @property
    def sizes(self) -> np.ndarray:
        """The number of records of each cluster, falling, shape (k,)."""
        return np.bincount(self.labels, minlength=self.number)


def record_clusters(
    context: Array,
    chosen: Array | None = None,
    number: int | None = None,
    linkage: RecordLinkage = "average",
    seed: int = 0,
    resamples: int = 20,
) -> RecordClusters:
    """Return clusters of records by agglomerative linkage of how near they are in their context.

    ``average`` and ``single`` linkage merge by √(mutual rank), see
    :func:`metrics.record_clustering.mutual_rank.mutual_rank`; ``ward`` by Euclidean distances of the records.

    Args:
        context: all records, shape (n, d), finite.
        chosen: positions of the m records to cluster, m ≥ 1, shape (m,), or a truth value a record; None for all.
        number: of clusters, in 1 … m; None: as many as stand out, see
            :func:`metrics.record_clustering.number.record_cluster_number`, whatever the linkage.
        linkage: ``average``, ``single`` (chains) or ``ward``.
        seed: decides on the references of the number and on the resamples.
        resamples: draws of records for the stability; of more than 500 records, 500 take part.

    Raises:
        ValueError: no record is chosen, the number does not fit, or the linkage is unknown.

    References:
        Wang et al. 2022, HetVis, arXiv 2208.07491; Müllner 2011, arXiv 1109.2378.

    Examples:
        >>> import numpy as np
        >>> context = np.random.default_rng(0).normal(size=(90, 5))
        >>> context[:20, 0] += 9
        >>> context[20:35, 1] += 9
        >>> found = record_clusters(context, np.arange(35))
        >>> found.number, found.sizes.tolist(), found.stability.jaccard.round(1).tolist()
        (2, [20, 15], [1.0, 1.0])
    """
    if linkage not in LINKAGES:
        raise ValueError(f"linkage must be one of {', '.join(LINKAGES)}, got {linkage!r}")
    rows = as_tensor(context, "context").double().cpu().numpy()
    places = _places(chosen, len(rows))
    if number is not None and not 1 <= number <= len(places):
        raise ValueError(f"number must be in 1 … {len(places)}, the number of records, got {number}")
    ranks = rank_distances(rows, places)
    if number is None:
        choice = record_cluster_number(rows, places, ranks, seed)
        count, scores, p, reason = choice.number, choice.scores, choice.p, choice.reason
    else:
        count, scores, p, reason = number, {}, float("nan"), "the number of clusters was given"
    distances = squareform(pdist(rows[places])) if linkage == "ward" else ranks
    labels = record_partition(distances, count, linkage)
    return RecordClusters(
        labels, count, scores, p, reason, record_stability(distances, labels, linkage, seed, resamples)
    )


def _places(chosen: Array | None, count: int) -> np.ndarray:
    found = np.arange(count) if chosen is None else as_tensor(chosen, "chosen").cpu().numpy()
    places = np.flatnonzero(found) if found.dtype == np.bool_ else found.astype(np.int64)
    if not len(places):
        raise ValueError("chosen must name 1 record or more, got none")
    if not (places.min() >= 0 and places.max() < count and len(np.unique(places)) == len(places)):
        raise ValueError(f"chosen must name different records in 0 … {count - 1}, got {places.min()} … {places.max()}")
    return places
