"""A client's records in the directions in which they differ from some of them: contrastive PCA."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.record_features import record_features
from fedlayers.heterogeneity.two_models import TwoModels
from metrics.contrastive.cluster import cluster_contrast
from metrics.contrastive.components import ContrastiveComponents, contrastive_pca

# Fewer records than these have no covariance.
_FEWEST = 2


@dataclass(frozen=True)
class Contrasted:
    """Records in contrastive components.

    Attributes:
        scores: shape (n, k), of all the client's records.
        loadings: what each feature counts in each component, shape (k, d).
        alpha: the weight of the background.
    """

    scores: np.ndarray
    loadings: np.ndarray
    alpha: float


def overview(comparison: TwoModels, alpha: float | None = None, components: int = 2) -> Contrasted:
    """Return directions in which all of a client's records vary and the inconsistent ones do not.

    Args:
        comparison: of a client's models.
        alpha: the weight of the inconsistent records' variance, from 0 (PCA of all records); None chooses it.
        components: how many directions.

    Raises:
        UserError: fewer than 2 records are inconsistent and ``alpha`` is not 0, or there are not as many directions.
    """
    rows, odd = _rows(comparison), comparison.inconsistent
    if odd.sum() < _FEWEST and alpha != 0:
        raise UserError(
            f"client {comparison.client} has {odd.sum()} inconsistent records at round {comparison.number}, and their "
            "variance needs 2 or more: choose another round, or alpha=0 for PCA of all records"
        )
    background = rows[odd] if odd.sum() >= _FEWEST else rows
    return _projected(rows, lambda: contrastive_pca(rows, background, alpha, components))


def of_cluster(
    comparison: TwoModels, members: Sequence[int], alpha: float | None = None, components: int = 2
) -> Contrasted:
    """Return the directions that set some of a client's records apart from all others.

    Args:
        comparison: of a client's models.
        members: the numbers of these records.
        alpha: the weight of the others' variance; None chooses it.
        components: how many directions.

    Raises:
        UserError: there is no record of a number, or none, or fewer than 2 others.
    """
    rows, chosen = _rows(comparison), np.unique(np.asarray(members, dtype=np.int64))
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= len(rows):
        told = "none" if not len(chosen) else str(chosen[-1])
        raise UserError(f"examples must be numbers in 0 … {len(rows) - 1}, one or more, got {told}")
    return _projected(rows, lambda: cluster_contrast(rows, chosen, alpha, components))


def _rows(comparison: TwoModels) -> np.ndarray:
    return record_features(comparison.run, comparison.records).rows


def _projected(rows: np.ndarray, fit: Callable[[], ContrastiveComponents]) -> Contrasted:
    try:
        found = fit()
    except ValueError as error:
        raise UserError(str(error)) from None
    return Contrasted(found.transform(torch.from_numpy(rows)).numpy(), found.components.numpy(), float(found.alpha))
