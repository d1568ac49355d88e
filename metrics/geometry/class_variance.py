"""How much of a representation's variance lies within classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.geometry.principal_coordinates import PrincipalCoordinates
from metrics.jackknife import jackknife_error


def within_class_share(
    coordinates: PrincipalCoordinates, labels: Tensor, blocks: Sequence[Tensor]
) -> tuple[float, float | None]:
    """Return Σ ‖x_i − x̄_c(i)‖² / Σ ‖x_i − x̄‖², c(i) the class of record i, and its standard error.

    0 if every class is one point (within-class collapse), 1 if all class means are equal; (n − K) / (n − 1) is its
    expectation over all ways to shuffle the labels of K classes. The share between classes is what is left to 1.

    Args:
        coordinates: of n records.
        labels: classes from 0, shape (n,).
        blocks: index tensors that split the records, for the delete-a-block jackknife.

    References:
        Papyan, Han & Donoho 2020, Prevalence of neural collapse, arXiv 2008.08186 (Σ_W and Σ_B); Anderson 2001, A new
        method for non-parametric multivariate analysis of variance, Austral Ecology 26 (the shares).
    """
    rows, energies = coordinates.rows, coordinates.rows.square().sum(1)
    sums = _class_sums(rows, labels, int(labels.max()) + 1)
    counts = torch.bincount(labels).double()
    value = _share(sums, counts, float(energies.sum()))
    without = []
    for block in blocks:
        rest = sums - _class_sums(rows[block], labels[block], len(counts))
        left = counts - torch.bincount(labels[block], minlength=len(counts))
        without.append(_share(rest, left, float(energies.sum() - energies[block].sum())))
    sizes = torch.tensor([len(block) for block in blocks])
    return value, jackknife_error(value, torch.tensor(without, dtype=torch.float64), sizes)


def _class_sums(rows: Tensor, labels: Tensor, classes: int) -> Tensor:
    return torch.zeros(classes, rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)


def _share(sums: Tensor, counts: Tensor, energy: float) -> float:
    """Return the share within classes from the classes' sums (K, r), their counts (K,) and Σ ‖x_i‖²."""
    of_classes = float((sums.square().sum(1) / counts.clamp(min=1)).sum())
    total = energy - float(sums.sum(0).square().sum() / counts.sum())
    # Rounding may put either end out of reach.
    return min(max((energy - of_classes) / total, 0.0), 1.0) if total > 0 else float("nan")
