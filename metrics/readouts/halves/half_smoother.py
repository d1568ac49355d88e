"""Ridge regressions from one half of the examples to the other, each as one matrix that serves every target."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.geometry.linear_probe import ridge_penalty


@dataclass(frozen=True)
class HalfSmoother:
    """What a ridge regression with intercept, fitted to one half, predicts for the other: ŷ_held = W y_training.

    Attributes:
        training: indices of the m examples it is fitted to.
        held: indices of the h examples that it predicts.
        weights: W, shape (h, m), float64; every row sums to 1.
    """

    training: Tensor
    held: Tensor
    weights: Tensor

    def predict(self, targets: Tensor) -> Tensor:
        """Return the held-out predictions, shape (h, t), of targets of all examples, shape (n, t)."""
        return self.weights @ targets[self.training].double()


def half_smoothers(features: Tensor, halves: Tensor, examples_per_degree: float) -> tuple[HalfSmoother, HalfSmoother]:
    """Return the regressions from each half of the examples to the other.

    With X the m training examples, their mean x̄ taken away: ŷ(x) = ȳ + (x − x̄)ᵀ (XᵀX + αI)⁻¹ Xᵀ (y − ȳ).
    α = (m − 1) a, a that of :func:`metrics.geometry.linear_probe.ridge_penalty` for m / examples_per_degree effective
    degrees of freedom, from the training examples alone: so no stage's regression is more flexible than another's,
    whatever its width, and no target is needed to choose α. Nothing changes with the scale or a rotation of the units.

    It costs a product of the features and the cube of the smaller of m and d, whatever the number of targets.

    Args:
        features: shape (n, d), n ≥ 4, finite.
        halves: 0 or 1 for every example, shape (n,); two examples or more each.
        examples_per_degree: training examples for each effective degree of freedom, positive.

    References:
        Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, ch. 3.4.1 and 18.3.5 (fewer examples
        than units).

    Examples:
        >>> import torch
        >>> x = torch.arange(6.0)[:, None]
        >>> first, second = half_smoothers(x, torch.arange(6) % 2, 1.0)
        >>> second.held.tolist(), second.predict(2 * x + 1).flatten().round(decimals=4).tolist()
        ([1, 3, 5], [3.0, 7.0, 11.0])
    """
    parts = [torch.nonzero(halves == half).flatten() for half in (0, 1)]
    wide = features.double()
    found = [
        HalfSmoother(training, held, _weights(wide[training], wide[held], examples_per_degree))
        for held, training in (parts, parts[::-1])
    ]
    return found[0], found[1]


def _weights(training: Tensor, held: Tensor, examples_per_degree: float) -> Tensor:
    """Return W; that of the mean where the training examples do not vary."""
    m, d = training.shape
    mean = training.mean(0)
    x, z = training - mean, held - mean
    by_units = d < m
    products = x.T @ x if by_units else x @ x.T
    eigenvalues = torch.linalg.eigvalsh(products)
    kept = eigenvalues[eigenvalues > max(m, d) * torch.finfo(torch.float64).eps * eigenvalues[-1]]
    # A mean of equal numbers may differ from them by rounding.
    if not len(kept) or float(kept.sum()) <= 1e-24 * float(training.square().sum()):
        return torch.full((len(held), m), 1 / m, dtype=torch.float64)
    variances = (kept / max(m - 1, 1)).flip(0)
    products.diagonal().add_(max(m - 1, 1) * ridge_penalty(variances, m / examples_per_degree))
    factor = torch.linalg.cholesky(products)
    if by_units:
        return z @ torch.cholesky_solve(x.T, factor) + 1 / m
    return torch.cholesky_solve(x @ z.T, factor).T + 1 / m


def joined(smoothers: Sequence[HalfSmoother], targets: Tensor) -> Tensor:
    """Return for every example what the regression predicts that was fitted to the other half.

    Args:
        smoothers: of both halves.
        targets: shape (n, t).

    Returns:
        Shape (n, t), float64.

    Examples:
        >>> import torch
        >>> both = half_smoothers(torch.eye(4), torch.tensor([0, 0, 1, 1]), 1.0)
        >>> joined(both, torch.ones(4, 1)).flatten().round(decimals=6).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    found = torch.empty(len(targets), targets.shape[1], dtype=torch.float64)
    for one in smoothers:
        found[one.held] = one.predict(targets)
    return found
