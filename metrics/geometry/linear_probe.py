"""How well a linear classifier reads the labels off a representation of examples that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.geometry.principal_coordinates import PrincipalCoordinates

# Of the total variance: below it there is the rounding of float32.
_LEAST_PENALTY = 1e-8
# Columns (classes times labellings) that are held at a time.
_COLUMNS = 512


@dataclass(frozen=True)
class _Fold:
    """What does not depend on the labels in one fold of h examples: what its ridge classifier makes of any.

    Attributes:
        held: indices of the examples that are predicted, shape (h,).
        count: m, the number of training examples.
        mean: x̄ of the training examples, shape (r,).
        smoother: (XᵀX + αI)⁻¹ (x_i − x̄) of the held-out examples, shape (r, h); X: training examples, centred.
    """

    held: Tensor
    count: int
    mean: Tensor
    smoother: Tensor


def stratified_folds(labels: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Return the fold of every example, at random, with folds and every class's parts of them equal to one example.

    Equal parts matter: a class that is rarer in training than in the held-out examples pulls chance below its level.

    Args:
        labels: shape (n,).
        folds: how many, 2 or more; no more than n // 2 are made, so that a fold holds two examples or more.
        generator: of the CPU.

    Returns:
        Shape (n,), int64, values from 0.

    Examples:
        >>> import torch
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> folds = stratified_folds(labels, 3, torch.Generator().manual_seed(0))
        >>> sorted(folds[labels == 0].tolist()), sorted(folds[labels == 1].tolist())
        ([0, 1, 2], [0, 1, 2])
    """
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order)) % min(folds, max(len(order) // 2, 1))
    return found


def shuffled_within_folds(labels: Tensor, folds: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return labels in random order within every fold, so that the classes' parts of the folds stay as they are.

    Args:
        labels: shape (n,).
        folds: shape (n,).
        count: how many times, 0 or more.
        generator: of the CPU.

    Returns:
        Shape (count, n).

    Examples:
        >>> import torch
        >>> labels, folds = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1])
        >>> shuffled = shuffled_within_folds(labels, folds, 5, torch.Generator().manual_seed(0))
        >>> shuffled.shape, sorted(set(shuffled[:, :2].flatten().tolist()))
        (torch.Size([5, 4]), [0, 1])
    """
    keys = folds + torch.rand(count, len(labels), generator=generator, dtype=torch.float64)
    found = labels.expand(count, -1).clone()
    found[:, folds.argsort(stable=True)] = labels[keys.argsort(1)]
    return found


def ridge_penalty(variances: Tensor, freedom: float) -> float:
    """Return the a for which Σ λ_j / (λ_j + a) = freedom: a ridge regression's effective degrees of freedom.

    Where there are no more directions than that, or hardly any variance in the others: 1e-8 Σλ, next to nothing.

    Args:
        variances: λ_j > 0, shape (r,), r ≥ 1.
        freedom: positive.

    References:
        Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, eq. 3.50.

    Examples:
        >>> import torch
        >>> penalty = ridge_penalty(torch.ones(10, dtype=torch.float64), 5.0)
        >>> round(10 / (1 + penalty), 3)
        5.0
    """

    def excess(penalty: float) -> float:
        return float((variances / (variances + penalty)).sum()) - freedom

    total = float(variances.sum())
    least = _LEAST_PENALTY * total
    if excess(least) <= 0:
        return least
    # Here, because it takes a fifth of a second to import, which every run would spend.
    from scipy.optimize import brentq

    return float(brentq(excess, least, total / freedom, xtol=1e-6 * least))


def held_out_predictions(
    coordinates: PrincipalCoordinates, labels: Tensor, folds: Tensor, examples_per_degree: float
) -> Tensor:
    """Return the class that a ridge classifier fitted to the other folds predicts for every example.

    For every fold, with m training examples X, their mean taken away, and one indicator column a class in Y:
    W = (XᵀX + αI)⁻¹ Xᵀ(Y − Ȳ), prediction argmax of Ȳ + (x − x̄)ᵀW. α = (m − 1) a, a that of :func:`ridge_penalty` for
    m / examples_per_degree degrees of freedom, from the eigenvalues of all examples. So no layer's probe is more
    flexible than that, whatever its width and spectrum; no label is needed to choose α; and no scale and no rotation of
    the units changes a prediction.

    Args:
        coordinates: of n examples. They are a rotation found without labels, which the classifier does not notice.
        labels: classes from 0, shape (s, n), int64: s labellings of the examples, each with probes of its own.
        folds: the fold of every example, shape (n,), two folds or more.
        examples_per_degree: training examples for each effective degree of freedom, positive.

    Returns:
        Classes, shape (s, n), int64.

    References:
        Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644;
        Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, ch. 4.2 (classes as indicators).
    """
    held = [torch.nonzero(folds == fold).flatten() for fold in torch.unique(folds).tolist()]
    parts = [_fold(coordinates, own, examples_per_degree) for own in held]
    classes = int(labels.max()) + 1
    chunks = torch.split(labels, max(1, _COLUMNS // classes))
    return torch.cat([_predictions(coordinates.rows, chunk, classes, parts) for chunk in chunks])


def _fold(coordinates: PrincipalCoordinates, held: Tensor, examples_per_degree: float) -> _Fold:
    scatter = coordinates.without(held)
    penalty = ridge_penalty(coordinates.variances, scatter.count / examples_per_degree)
    scatter.products.diagonal().add_(max(scatter.count - 1, 1) * penalty)
    factor = torch.linalg.cholesky(scatter.products)
    smoother = torch.cholesky_solve((coordinates.rows[held] - scatter.mean).T, factor)
    return _Fold(held, scatter.count, scatter.mean, smoother)


def _predictions(rows: Tensor, labels: Tensor, classes: int, folds: Sequence[_Fold]) -> Tensor:
    """Return the predictions for some labellings, shape (s, n)."""
    targets = F.one_hot(labels.T, classes).flatten(1).double()
    products, sums = rows.T @ targets, targets.sum(0)
    found = torch.empty_like(labels)
    for fold in folds:
        own = targets[fold.held]
        training = sums - own.sum(0)
        # Xᵀ(Y − Ȳ) of the training examples, from that of all examples.
        centred = products - rows[fold.held].T @ own - torch.outer(fold.mean, training)
        scores = training / fold.count + fold.smoother.T @ centred
        found[:, fold.held] = scores.reshape(len(own), -1, classes).argmax(2).T
    return found
