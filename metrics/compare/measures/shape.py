"""Shape distances: Procrustes distances after partial whitening, between rotations and all linear maps."""

import math
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from metrics.base import Facts
from metrics.compare.measures.cca import correlations_unbiased_from
from metrics.compare.measures.pairwise import PairwiseComparison
from metrics.compare.measures.procrustes import rotated_angle
from metrics.compare.products.centred import Centred
from metrics.compare.products.cross_products import shuffled_norms
from metrics.compare.products.principal import directions, principal

SCORES = ("angular", "euclidean")
_LEAST_EIGENVALUE = 1e-7
# Below it an angle, or a distance as a share of the norms, is rounding.
_ROUNDING = 1e-8
_WILLIAMS = "Williams et al. 2021, Generalized Shape Metrics on Neural Representations, arXiv 2110.14739"


@dataclass(frozen=True)
class Whitened:
    """A partially whitened representation A = X V diag(α + (1 − α) λ^(−1/2)), before its total variance is restored.

    Attributes:
        item: A / ‖A‖_F, one column for each of the r directions that X has.
        norm: ‖A‖_F.
        scores: X V, shape (N, r).
        eigenvalues: λ, shape (r,), descending.
        units: how many units it came with.
    """

    item: Centred
    norm: float
    scores: Tensor
    eigenvalues: Tensor
    units: int


class ShapeMetric(PairwiseComparison[Whitened]):
    """Distance of representations after partial whitening and the best rotation.

    With X centred and XᵀX = V diag(λ) Vᵀ, X becomes X V diag(α + (1 − α) λ^(−1/2)) Vᵀ, rescaled so that Σ λ is kept;
    narrower representations get zero columns. Directions with λ below 1e-10 of the largest are rounding errors, and
    none. Of the two results A and B:

    - ``shape_distance`` (angular): arccos( ‖AᵀB‖_* / (‖A‖_F ‖B‖_F) ), in radians.
    - ``size_and_shape_distance`` (euclidean): min over rotations Q of ‖A Q − B‖_F, in units of the activations. It is
      not divided by the number of examples and grows with its root.

    α = 1 is Procrustes; α = 0 is unchanged by all invertible linear maps, a form of CCA, and 0 for any two
    representations with as many units as examples: see ``chance``. The definitions are those of netrep's
    ``LinearMetric``, which takes λ below 1e-7 for 1e-7; with α < 1 the euclidean one depends on the number of units
    that do not vary.

    Between 0 and 1, α is no fixed place between the two: λ is a sum over examples of squared activations, and where it
    is far above 1, α dominates (1 − α) λ^(−1/2), and the distance is all but Procrustes'. It changes with the scale of
    the activations and with the number of examples; compare values of equal probes only.

    Standard errors: infinitesimal jackknife over examples (rows of one example together). With C = AᵀB, Q its
    orthogonal factor, example i pulls ‖C‖_* = tr QᵀC by a_iᵀ Q b_i, and through the whitening by x_iᵀ (Γ ∘ H) x_i with
    H the symmetric part of XᵀB Qᵀ and Γ_jk = (1 − α) (λ_j^(−1/2) − λ_k^(−1/2)) / (λ_j − λ_k). Null: random permutations
    of the second side's examples.

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

    def unbiased_from(self, units: int) -> int:
        """Return that of canonical correlations for α = 0, a mean of them.

        See :func:`metrics.compare.measures.cca.correlations_unbiased_from`.
        """
        return correlations_unbiased_from(units) if self.alpha == 0 else 0

    def prepare(self, features: Tensor, item: Centred) -> Whitened:
        """Return the partially whitened representation."""
        # The scale that was taken away with the mean: whitening is relative to it.
        scale = float((features.double().flatten(0, -2) * item.rows).sum()) / len(item.rows)
        scores, squares = principal(item.rows * scale)
        held = directions(squares)
        scores, eigenvalues = scores[:, :held], squares[:held]
        rows = scores * (self.alpha + (1 - self.alpha) * eigenvalues.rsqrt())
        norm = float(rows.square().sum().sqrt())
        return Whitened(replace(item, rows=rows / norm), norm, scores, eigenvalues, features.shape[-1])

    def value(self, a: Whitened, b: Whitened) -> tuple[float, float]:
        """Return the distance and its standard error."""
        angle, rotation, _ = rotated_angle(a.item.rows, b.item.rows)
        value = float(self._distance(a, b, np.array(angle)))
        pull = self._pull(a, b, angle, value, rotation)
        by_example = a.item.by_example(pull)
        return value, math.sqrt(float(by_example.var()) * len(by_example))

    def shuffled(self, a: Whitened, b: Whitened, orders: Tensor) -> np.ndarray:
        """Return the distances with the second side's examples in other orders."""
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
        missing = units - len(whitened.eigenvalues)
        variance = float(whitened.eigenvalues.sum()) + missing * _LEAST_EIGENVALUE
        return whitened.norm * math.sqrt(variance / (whitened.norm**2 + missing * self._missing_square))

    @property
    def _missing_square(self) -> float:
        """What a unit that does not vary adds to ‖A‖_F² in netrep's definition."""
        return (self.alpha * math.sqrt(_LEAST_EIGENVALUE) + 1 - self.alpha) ** 2

    def _pull(self, a: Whitened, b: Whitened, angle: float, value: float, rotation: Tensor) -> Tensor:
        """Return how every row pulls the distance: its derivative with respect to the row's weight, shape (N,)."""
        cosine, sine = math.cos(angle), math.sin(angle)
        norms = self._norm_pull(a) / a.norm**2 + self._norm_pull(b) / b.norm**2
        product = ((a.item.rows @ rotation) * b.item.rows).sum(1)
        product += self._whitening_pull(a, b, rotation) + self._whitening_pull(b, a, rotation.T)
        change = product - cosine * norms / 2
        if self.angular:
            return -change / max(sine, _ROUNDING)
        units = max(a.units, b.units)
        first, second = self._restored_norm(a, units), self._restored_norm(b, units)
        own, other = self._restored_pull(a, units), self._restored_pull(b, units)
        square = own * (1 - cosine * second / first) + other * (1 - cosine * first / second)
        return (square - 2 * first * second * change) / max(2 * value, _ROUNDING * (first + second))

    def _norm_pull(self, one: Whitened) -> Tensor:
        """Return how every row pulls ‖A‖_F² = Σ (α √λ + 1 − α)²."""
        roots = one.eigenvalues.sqrt()
        return one.scores.square() @ ((self.alpha * roots + 1 - self.alpha) * self.alpha / roots)

    def _whitening_pull(self, one: Whitened, other: Whitened, rotation: Tensor) -> Tensor:
        """Return how every row pulls ‖AᵀB‖_* / (‖A‖_F ‖B‖_F) through the whitening of A."""
        roots = one.eigenvalues.sqrt()
        slopes = (self.alpha - 1) / (roots[:, None] * roots * (roots[:, None] + roots))
        half = one.scores.T @ (other.item.rows @ rotation.T) / (2 * one.norm)
        return ((one.scores @ (slopes * (half + half.T))) * one.scores).sum(1)

    def _restored_pull(self, one: Whitened, units: int) -> Tensor:
        """Return how every row pulls the square of the restored norm."""
        missing = units - len(one.eigenvalues)
        variance = float(one.eigenvalues.sum()) + missing * _LEAST_EIGENVALUE
        square, lost = one.norm**2, missing * self._missing_square
        own: Tensor = one.scores.square().sum(1) * (square / (square + lost))
        return own + self._norm_pull(one) * (variance * lost / (square + lost) ** 2)
