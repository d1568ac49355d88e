"""The first system's estimate of mutual information: counts in 50 bins a side, biased far up."""

import numpy as np
import torch
from torch import Tensor

_EDGES = 50


def binned_information(x: Tensor, y: Tensor) -> float:
    """Return Σ_ab p_ab ln(p_ab / (p_a p_b)) in nats, p the shares of examples in cells of a grid.

    Each variable's range is divided by 50 edges of equal distance; the largest value is in a bin of its own. With few
    examples nearly every one is alone in its cell, and independent variables come out near ln n: 2 nats of 128
    examples. Kept to compare with the original's figures; :mod:`metrics.readouts.information.neighbour_information` is
    without this bias.

    Args:
        x: the first principal component of the one variable, shape (n,), not constant.
        y: of the other, likewise.

    References:
        The original's ``mutual_information_estimate``; Moddemeijer 1989, On estimation of entropy and mutual
        information of continuous distributions, Signal Processing 16 (its bias).

    Examples:
        >>> import torch
        >>> x = torch.arange(50.0)
        >>> round(binned_information(x, x), 4) == round(float(torch.tensor(50.0).log()), 4)
        True
    """
    a, b = (_bins(part) for part in (x, y))
    counts = torch.bincount(a * (_EDGES + 1) + b, minlength=(_EDGES + 1) ** 2).double()
    joint = counts.reshape(_EDGES + 1, _EDGES + 1) / len(a)
    independent = torch.outer(joint.sum(1), joint.sum(0))
    return float((joint.xlogy(joint) - joint.xlogy(independent.clamp(min=1e-300))).sum())


def _bins(values: Tensor) -> Tensor:
    numbers = values.double().numpy()
    edges = np.linspace(numbers.min(), numbers.max(), _EDGES)
    return torch.from_numpy(np.digitize(numbers, edges))
