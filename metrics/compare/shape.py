"""Shape distances: Procrustes distances after partial whitening, between rotations and all linear maps."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metrics.base import Facts
from metrics.compare.centred import Centred
from metrics.compare.cross_products import shuffled_norms
from metrics.compare.pairwise import PairwiseComparison
from metrics.compare.principal import principal
from metrics.compare.procrustes import rotated_angle

SCORES = ("angular", "euclidean")
_LEAST_EIGENVALUE = 1e-7
_WILLIAMS = "Williams et al. 2021, Generalized Shape Metrics on Neural Representations, arXiv 2110.14739"


@dataclass(frozen=True)
class Whitened:
    """A partially whitened representation X V diag(α + (1 − α) λ^(−1/2)), before its total variance is restored.

    Attributes:
        item: the same, divided by its norm.
        norm: its norm ‖·‖_F.
        eigenvalues: λ of the directions that it has, 1e-7 or more, shape (r,).
        units: how many units it came with.
    """

    item: Centred
    norm: float
    eigenvalues: Tensor
    units: int


class ShapeMetric(PairwiseComparison[Whitened]):
    """Distance of representations after partial whitening and the best rotation.

    With X centred, XᵀX = V diag(λ) Vᵀ and λ at least 1e-7, X becomes X V diag(α + (1 − α) λ^(−1/2)) Vᵀ, rescaled so
    that Σ λ is kept; narrower representations get zero columns. Of the two results A and B:

    - ``shape_distance`` (angular): arccos( ‖AᵀB‖_* / (‖A‖_F ‖B‖_F) ), in radians.
    - ``size_and_shape_distance`` (euclidean): min over rotations Q of ‖A Q − B‖_F, in units of the activations. It is
      not divided by the number of records and grows with its root.

    α = 1 is Procrustes; α = 0 is unchanged by all invertible linear maps, a form of CCA, and 0 for any two
    representations with as many units as records: see ``chance``. The definitions are those of netrep's
    ``LinearMetric``; with α < 1 the euclidean one depends on the number of units that do not vary.

    Standard errors: delete-a-block jackknife over eight blocks of records. Null: random permutations of the second
    side's records.

    Args:
        alpha: α in [0, 1].
        score: ``angular`` or ``euclidean``.

    References:
        Williams et al. 2021, arXiv 2110.14739; Dryden & Mardia 2016, Statistical Shape Analysis (size-and-shape).
    """

    facts: tuple[Facts, ...] = (
        Facts("shape_distance", "rad", 0.0, math.pi / 2, "lower", _WILLIAMS, symmetric=True, cost="pass", minimum_n=4),
        Facts(
            "size_and_shape_distance", "1", 0.0, math.inf, "lower", _WILLIAMS, symmetric=True, cost="pass", minimum_n=4
        ),
    )

    def __init__(self, alpha: float, score: str = "angular") -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha!r}")
        if score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
        self.alpha, self.angular = float(alpha), score == "angular"
        self.facts = (ShapeMetric.facts[SCORES.index(score)],)
        self.variant = f"alpha={self.alpha:g}, {score}"

    def prepare(self, features: Tensor, item: Centred) -> Whitened:
        """Return the partially whitened representation."""
        # The scale that was taken away with the mean: eigenvalues are clipped on the scale of the activations.
        scale = float((features.double().flatten(0, -2) * item.rows).sum()) / len(item.rows)
        scores, squares = principal(item.rows * scale)
        eigenvalues = squares.clamp(min=_LEAST_EIGENVALUE)
        rows = scores * (self.alpha + (1 - self.alpha) * eigenvalues.rsqrt())
        norm = float(rows.square().sum().sqrt())
        return Whitened(replace(item, rows=rows / norm), norm, eigenvalues, features.shape[-1])

    def value(self, a: Whitened, b: Whitened) -> tuple[float, None]:
        """Return the distance."""
        return float(self._distance(a, b, np.array(rotated_angle(a.item.rows, b.item.rows)[0]))), None

    def shuffled(self, a: Whitened, b: Whitened, orders: Tensor) -> np.ndarray:
        """Return the distances with the second side's records in other orders."""
        return self._distance(a, b, np.arccos(np.clip(shuffled_norms(a.item, b.item, orders), 0, 1)))

    def _distance(self, a: Whitened, b: Whitened, angle: np.ndarray) -> np.ndarray:
        """Return the angle, or the distance ‖A Q − B‖_F² = (‖A‖ − ‖B‖)² + 4 ‖A‖‖B‖ sin²(θ/2) that belongs to it."""
        if self.angular:
            return angle
        units = max(a.units, b.units)
        first, second = self._restored_norm(a, units), self._restored_norm(b, units)
        found: np.ndarray = np.hypot(first - second, 2 * math.sqrt(first * second) * np.sin(angle / 2))
        return found

    def _restored_norm(self, whitened: Whitened, units: int) -> float:
        """Return the norm with the total variance kept, zero columns for missing units counting as λ = 1e-7."""
        missing = torch.full((units - len(whitened.eigenvalues),), _LEAST_EIGENVALUE, dtype=torch.float64)
        roots = torch.cat([whitened.eigenvalues, missing]).sqrt()
        kept = self.alpha * roots + 1 - self.alpha
        return whitened.norm * math.sqrt(float(roots.square().sum() / kept.square().sum()))
