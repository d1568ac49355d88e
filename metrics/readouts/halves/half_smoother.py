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


def half_smoothers(
    features: Tensor, halves: Tensor, examples_per_degree: float, products: Tensor | None = None
) -> tuple[HalfSmoother, HalfSmoother]:
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
        products: X Xᵀ of the features without their mean, shape (n, n), float64, which saves half of the work where
            there are no fewer units than examples; None: not at hand.

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
    wide, found = features.double(), []
    for held, training in (parts, parts[::-1]):
        if products is None:
            mean = wide[training].mean(0)
            x, z = wide[training] - mean, wide[held] - mean
            by_units = x.shape[1] < len(x)
            inner, across = (x.T @ x, z) if by_units else (x @ x.T, z @ x.T)
        else:
            x, by_units, (inner, across) = wide[training], False, _of_halves(products, training, held)
        penalty = _penalty(inner, wide[training], examples_per_degree)
        weights = torch.full((len(held), len(training)), 1 / len(training), dtype=torch.float64)
        if penalty is not None:
            inner.diagonal().add_(penalty)
            factor = torch.linalg.cholesky(inner)
            weights += (
                across @ torch.cholesky_solve(x.T, factor) if by_units else torch.cholesky_solve(across.T, factor).T
            )
        found.append(HalfSmoother(training, held, weights))
    return found[0], found[1]


def _of_halves(products: Tensor, training: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """Return x xᵀ and z xᵀ from the products of all examples, the training examples' mean taken away."""
    known = products[torch.cat([training, held])[:, None], training]
    around = known - known[: len(training)].mean(0)
    around = around - around.mean(1, keepdim=True)
    return around[: len(training)], around[len(training) :]


def _penalty(inner: Tensor, training: Tensor, examples_per_degree: float) -> float | None:
    """Return α; None where the training examples do not vary.

    Args:
        inner: x xᵀ or xᵀ x, the smaller of both.
        training: x and its mean, shape (m, d).
        examples_per_degree: see :func:`half_smoothers`.
    """
    m, d = training.shape
    eigenvalues = torch.linalg.eigvalsh(inner)
    kept = eigenvalues[eigenvalues > max(m, d) * torch.finfo(torch.float64).eps * eigenvalues[-1]]
    # A mean of equal numbers may differ from them by rounding.
    if not len(kept) or float(kept.sum()) <= 1e-24 * float(training.square().sum()):
        return None
    variances = (kept / max(m - 1, 1)).flip(0)
    return max(m - 1, 1) * ridge_penalty(variances, m / examples_per_degree)


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
