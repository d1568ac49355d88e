"""Records on which two models disagree, in clusters: what belongs together among them."""

from dataclasses import dataclass

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.record_features import record_features
from fedlayers.heterogeneity.two_models import TwoModels
from metrics.record_clustering.clusters import RecordClusters, record_clusters


@dataclass(frozen=True)
class InconsistentClusters:
    """Clusters of a client's inconsistent records.

    Attributes:
        numbers: of the inconsistent records, shape (m,), ascending.
        found: their clusters, the largest first.
        accuracy: of the federated model on each cluster, shape (k,); NaN where records have no labels.
    """

    numbers: np.ndarray
    found: RecordClusters
    accuracy: np.ndarray


def inconsistent_clusters(two: TwoModels, number: int | None = None, linkage: str = "average") -> InconsistentClusters:
    """Return clusters of the records that a client's two models put into different classes.

    Records are near when each is among the other's nearest in the context of all the client's records, see
    :func:`metrics.record_clustering.clusters.record_clusters`.

    Args:
        two: the models.
        number: of clusters; None for as many as stand out.
        linkage: ``average``, ``single`` or ``ward``.

    Raises:
        UserError: no record is inconsistent, or the number or linkage does not fit.
    """
    odd = np.flatnonzero(two.inconsistent)
    if not len(odd):
        raise UserError(
            f"client {two.client} has no inconsistent records at round {two.number}: choose another round or inputs"
        )
    rows = record_features(two.run, two.records).rows
    try:
        found = record_clusters(rows, odd, number, linkage, seed=two.run.config.seed)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(str(error)) from None
    hits = two.federated_hits
    right = np.full(len(odd), np.nan) if hits is None else hits[odd]
    accuracy = np.array([right[found.labels == cluster].mean() for cluster in range(found.number)])
    return InconsistentClusters(odd, found, accuracy)
