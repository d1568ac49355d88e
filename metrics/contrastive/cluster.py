"""What sets a cluster apart from the other records: ccPCA."""

import numpy as np
import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.contrastive.alpha import CANDIDATES
from metrics.contrastive.components import ContrastiveComponents, fitted
from metrics.contrastive.covariances import CovariancePair

# Overlaps that differ by less are one: a record more or less in a bin says nothing.
_TIE = 0.01


def cluster_contrast(
    records: Array, members: Array, alpha: float | None = None, components: int = 2
) -> ContrastiveComponents:
    """Return the directions that set a cluster apart from the rest: contrastive PCA of all records against the rest.

    Args:
        records: shape (n, d).
        members: the positions of the cluster's records, or a truth value a record; of the rest 2 or more remain.
        alpha: α ≥ 0; None takes the smallest of 40 candidates at which the scores on the first component overlap least.
        components: k.

    Raises:
        ValueError: there is no record in the cluster, or fewer than 2 are in the rest.

    References:
        Fujiwara, Kwon & Ma 2020, Supporting Analysis of Dimensionality Reduction Results with Contrastive Learning,
        IEEE TVCG 26. There an α must also keep half of the cluster's spread, so that a compact cluster is not told from
        the rest however far away it is: here it need not. Overlap is of shares here, of counts there.

    Examples:
        >>> import numpy as np
        >>> records = np.random.default_rng(0).normal(size=(300, 4)) * [5.0, 1.0, 1.0, 1.0]
        >>> records[:100, 2] += 8  # what the cluster is, while the first feature varies everywhere
        >>> abs(cluster_contrast(records, np.arange(100), components=1).components).round(decimals=0).tolist()
        [[0.0, 0.0, 1.0, 0.0]]
    """
    rows = as_tensor(records, "records")
    inside = _inside(as_tensor(members, "members"), len(rows))
    pair = CovariancePair.of(rows, rows[~inside.to(rows.device)])
    pair.check_components(components)
    if alpha is None:
        alpha = _least_overlap(pair, (rows.double() - pair.mean) @ pair.basis.T, inside.cpu().numpy())
    return fitted(pair, alpha, components)


def _inside(members: Tensor, count: int) -> Tensor:
    if members.dtype == torch.bool:
        if members.shape != (count,):
            raise ValueError(f"members must have a truth value for each of {count} records, got {tuple(members.shape)}")
        inside = members
    else:
        if len(members) and not 0 <= int(members.min()) <= int(members.max()) < count:
            raise ValueError(
                f"members must be positions in 0 … {count - 1}, got {int(members.min())} … {members.max()}"
            )
        inside = torch.zeros(count, dtype=torch.bool).index_fill(0, members.cpu().long(), True)
    if not bool(inside.any()) or int((~inside).sum()) < 2:
        raise ValueError(
            "members must leave 2 records or more outside of a cluster of 1 or more, "
            f"got {int(inside.sum())} of {count}"
        )
    return inside


def _least_overlap(pair: CovariancePair, coordinates: Tensor, inside: np.ndarray) -> float:
    """Return the smallest candidate whose first component tells cluster and rest apart best."""
    shared = []
    for alpha in CANDIDATES:
        scores = (coordinates @ pair.leading(alpha, 1)[1][0]).cpu().numpy()
        shared.append(score_overlap(scores[inside], scores[~inside]))
    return next(alpha for alpha, part in zip(CANDIDATES, shared, strict=True) if part <= min(shared) + _TIE)


def score_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share that two sets of scores have in common: Σ min(p, q) over the bins of their histograms.

    Bins have the width of Scott's rule for all scores, 3.5 s / n^⅓, or less; there are two or more.

    Args:
        first: shape (n,), n ≥ 1.
        second: shape (m,), m ≥ 1.

    Returns:
        In [0, 1], 0 if no bin has scores of both.

    References:
        Scott 1979, On optimal and data-based histograms, Biometrika 66.

    Examples:
        >>> import numpy as np
        >>> score_overlap(np.array([0.0, 1.0]), np.array([0.0, 1.0])), score_overlap(np.zeros(3), np.ones(3))
        (1.0, 0.0)
    """
    both = np.concatenate([first, second])
    width = 3.5 * both.std(ddof=1) / len(both) ** (1 / 3)
    if not width > 0:
        return 1.0
    edges = np.linspace(both.min(), both.max(), max(int(np.ptp(both) / width), 1) + 2)
    p, q = (np.histogram(part, edges)[0] / len(part) for part in (first, second))
    return float(np.minimum(p, q).sum())
