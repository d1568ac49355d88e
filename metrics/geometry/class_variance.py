"""How much of a representation's variance lies within classes."""

import torch
from torch import Tensor

from metrics.geometry.principal_coordinates import PrincipalCoordinates
from metrics.statistics.jackknife import jackknife_error


def within_class_share(coordinates: PrincipalCoordinates, labels: Tensor) -> tuple[float, float | None]:
    """Return Σ ‖x_i − x̄_c(i)‖² / Σ ‖x_i − x̄‖², c(i) the class of example i, and its standard error.

    0 if every class is one point (within-class collapse), 1 if all class means are equal; (n − K) / (n − 1) is its
    expectation over all ways to shuffle the labels of K classes. The share between classes is what is left to 1. The
    error is delete-one-example jackknife.

    Args:
        coordinates: of n examples.
        labels: classes from 0, shape (n,).

    References:
        Papyan, Han & Donoho 2020, Prevalence of neural collapse, arXiv 2008.08186 (Σ_W and Σ_B); Anderson 2001, A new
        method for non-parametric multivariate analysis of variance, Austral Ecology 26 (the shares).
    """
    rows, squares = coordinates.rows, coordinates.rows.square().sum(1)
    counts = torch.bincount(labels).double()
    sums = torch.zeros(len(counts), rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)
    of_classes = sums.square().sum(1) / counts.clamp(min=1)
    value = float(_share(of_classes.sum(), squares.sum(), squares.sum()))
    # Without example i its class has another mean, and so have all examples, whose sum was zero.
    own = (sums[labels] - rows).square().sum(1) / (counts[labels] - 1).clamp(min=1)
    left = squares.sum() - squares
    without = _share(of_classes.sum() - of_classes[labels] + own, left, left - squares / max(len(rows) - 1, 1))
    return value, jackknife_error(value, without, torch.ones(len(rows)))


def _share(of_classes: Tensor, energy: Tensor, total: Tensor) -> Tensor:
    """Return the share within classes from Σ n_c ‖x̄_c‖², Σ ‖x_i‖² and Σ ‖x_i − x̄‖²; NaN without variance."""
    # Rounding may put either end out of reach.
    return torch.where(total > 0, (energy - of_classes) / total, torch.nan).clamp(0, 1)
