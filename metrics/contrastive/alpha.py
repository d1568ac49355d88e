"""How much contrast: a few values of α whose components differ, and the one that tells the sets apart best."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.clusters.spectral import spectral_labels
from metrics.contrastive.covariances import CovariancePair

# 0 and 39 values from 0.1 to 1000, as in the original.
CANDIDATES: tuple[float, ...] = (0.0, *np.logspace(-1, 3, 39).tolist())
GROUPS = 5


@dataclass(frozen=True)
class ChosenAlpha:
    """A contrast that was selected, and what it was selected from.

    Attributes:
        alpha: the exemplar with the largest contrast.
        exemplars: one α of each group of candidates with like components, rising.
        contrasts: of each exemplar, in [−1, 1]: the share of the target's variance that so many components can have
            which its components have, less that of the background's.
    """

    alpha: float
    exemplars: tuple[float, ...]
    contrasts: tuple[float, ...]


def choose_alpha(pair: CovariancePair, components: int = 2) -> ChosenAlpha:
    """Return a contrast between the covariances of two sets.

    Each of 40 candidates spans a subspace V; two are as alike as the product of the cosines of the angles between them,
    |det(V Wᵀ)|. Spectral clustering finds five groups, whose exemplars are the members most like the others. So far the
    original, which leaves the choice among the exemplars to a viewer; here it is the one that keeps most of the
    target's variance and least of the background's. Nothing is random: the same covariances give the same α.

    Args:
        pair: the covariances.
        components: k, how many components span a subspace.

    References:
        Abid et al. 2018, Nature Communications 9, algorithm 2 (groups and exemplars).
    """
    spaces = torch.stack([pair.leading(alpha, components)[1] for alpha in CANDIDATES])
    affinity = subspace_affinity(spaces).cpu().numpy()
    labels = spectral_labels(affinity - np.diag(np.diag(affinity)), GROUPS)
    groups = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    places = sorted(int(group[affinity[np.ix_(group, group)].sum(1).argmax()]) for group in groups)
    most = [_most(part, components) for part in (pair.target, pair.background)]
    contrasts = [
        _share(spaces[at], pair.target, most[0]) - _share(spaces[at], pair.background, most[1]) for at in places
    ]
    best = places[int(np.argmax(contrasts))]
    return ChosenAlpha(CANDIDATES[best], tuple(CANDIDATES[at] for at in places), tuple(contrasts))


def subspace_affinity(spaces: Tensor) -> Tensor:
    """Return how alike subspaces are: the product of the cosines of their principal angles, 1 for equal ones.

    Args:
        spaces: orthonormal rows of each, shape (m, k, r).

    Returns:
        |det(V_i V_jᵀ)|, shape (m, m), in [0, 1], exactly symmetric.

    Examples:
        >>> import torch
        >>> lines = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]], [[0.0, 1.0]]])
        >>> subspace_affinity(lines).round(decimals=2)[0].tolist()
        [1.0, 0.6000000238418579, 0.0]
    """
    found: Tensor = torch.linalg.det(torch.einsum("ikr,jlr->ijkl", spaces, spaces)).abs().clamp(max=1)
    return (found + found.T) / 2


def _most(covariance: Tensor, components: int) -> float:
    """Return the largest variance that so many orthogonal directions can have."""
    return float(torch.linalg.eigvalsh(covariance)[-components:].sum())


def _share(space: Tensor, covariance: Tensor, most: float) -> float:
    return float(((space @ covariance) * space).sum()) / most if most > 0 else 0.0
