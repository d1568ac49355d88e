"""Procrustes distance: the angle that is left after one representation was rotated onto the other."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from metrics.base import Facts
from metrics.compare.measures.pairwise import PairwiseComparison
from metrics.compare.products.centred import Centred
from metrics.compare.products.cross_products import shuffled_norms
from metrics.compare.products.principal import principal

# Below, roots of eigenvalues and the rotation made of them are as exact as singular vectors.
_WELL_CONDITIONED = 1e-6
# Above, the arc cosine loses digits.
_CLOSE = 0.99


class Procrustes(PairwiseComparison[Centred]):
    """Angular Procrustes distance ``procrustes_distance``: arccos( ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F) ), in radians.

    X and Y have centred columns, ‖·‖_* is the sum of singular values. It is 0 for representations that are equal up to
    rotation, reflection, scale and translation, and a metric; π/2 at most. It equals the angular distance of
    netrep's ``LinearMetric(alpha=1)``. With few examples for the units it is small by chance: see ``chance``.

    Standard errors: infinitesimal jackknife over examples (rows of one example together). With unit norms and the best
    rotation Q, example i pulls the distance θ by (e_i − (1 − cos θ)(‖x_i‖² + ‖y_i‖²)) / (2 sin θ), with
    e_i = ‖x_i Q − y_i‖².
    Null: random permutations of the second side's examples.

    References:
        Williams et al. 2021, Generalized Shape Metrics on Neural Representations, arXiv 2110.14739; Ding, Denain &
        Steinhardt 2021, Grounding Representation Similarity with Statistical Testing, arXiv 2108.01661.
    """

    facts = (
        Facts(
            "procrustes_distance", "rad", 0.0, math.pi / 2, "lower", "Williams et al. 2021, arXiv 2110.14739",
            symmetric=True, cost="pass", minimum_n=4,
        ),
    )  # fmt: skip

    def prepare(self, features: Tensor, item: Centred) -> Centred:
        """Return X / ‖X‖_F with at most N columns, which no rotation can tell from X."""
        rows = item.rows / len(item.rows) ** 0.5
        return replace(item, rows=principal(rows)[0] if rows.shape[1] > len(rows) else rows)

    def value(self, a: Centred, b: Centred) -> tuple[float, float]:
        """Return the distance and its standard error."""
        angle, _, residuals = rotated_angle(a.rows, b.rows)
        if angle == 0:
            return 0.0, 0.0
        pull = a.by_example(residuals - 2 * math.sin(angle / 2) ** 2 * (a.squares + b.squares)) / (2 * math.sin(angle))
        return angle, math.sqrt(float((pull - pull.mean()).square().sum()) * len(pull) / (len(pull) - 1))

    def shuffled(self, a: Centred, b: Centred, orders: Tensor) -> np.ndarray:
        """Return the distances with the second side's examples in other orders."""
        found: np.ndarray = np.arccos(np.clip(shuffled_norms(a, b, orders), 0, 1))
        return found


def rotated_angle(x: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return the angle between X Q and Y for the rotation Q that makes it smallest.

    arccos ‖XᵀY‖_*, or 2 asin(‖X Q − Y‖_F / 2) where the arc cosine would lose digits.

    Args:
        x: X, shape (N, p), ‖X‖_F = 1.
        y: Y, shape (N, q), ‖Y‖_F = 1.

    Returns:
        The angle in [0, π/2]; Q, shape (p, q); and of every row ‖x_i Q − y_i‖², or ‖x_i − y_i Qᵀ‖² if p > q,
        shape (N,).

    Examples:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]], dtype=torch.float64)
        >>> round(abs(rotated_angle(x, x.flip(1))[0]), 6)
        0.0
    """
    if x.shape[1] > y.shape[1]:
        angle, rotation, residuals = rotated_angle(y, x)
        return angle, rotation.T, residuals
    cosine, rotation = best_rotation(x.T @ y)
    # In place: new memory for every step would cost as much as the product.
    residuals = (x @ rotation).sub_(y).square_().sum(1)
    if cosine > _CLOSE:
        return 2 * math.asin(math.sqrt(float(residuals.sum())) / 2), rotation, residuals
    return math.acos(cosine), rotation, residuals


def best_rotation(product: Tensor) -> tuple[float, Tensor]:
    """Return ‖M‖_* = max tr(QᵀM) over Q with orthonormal rows, and that Q.

    With M = U S Vᵀ: Q = U Vᵀ = (M Mᵀ)^(−1/2) M, the latter, half as expensive, where M is well conditioned.

    Args:
        product: M, shape (p, q), p ≤ q, of norm 1 or less.

    Examples:
        >>> import torch
        >>> total, rotation = best_rotation(torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64))
        >>> round(total, 6), rotation.abs().round(decimals=6).tolist()
        (3.0, [[0.0, 1.0], [1.0, 0.0]])
    """
    squares, vectors = torch.linalg.eigh(product @ product.T)
    norm = float(squares.clamp(min=0).sqrt().sum())
    if norm < _CLOSE and float(squares[0]) > _WELL_CONDITIONED * float(squares[-1]):
        return norm, (vectors / squares.sqrt()) @ (vectors.T @ product)
    left, singular, right = torch.linalg.svd(product, full_matrices=False)
    return float(singular.sum()), left @ right
