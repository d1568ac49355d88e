"""How much a prediction says about the label: their mutual information."""

import math

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays


@takes_arrays
def label_information(labels: Tensor, predictions: Tensor) -> tuple[float, float]:
    """Return the mutual information in nats of labels and predictions, and its standard error.

    I = Σ_i ln(n N_ab / (t_a p_b)) / n over examples i of label a and prediction b; N counts both, t the labels, p the
    predictions. Between 0 and the smaller of the two entropies, and biased up, by about (K − 1)² / (2n) for K classes.
    The error is the standard deviation of the terms over √n.

    Args:
        labels: classes from 0, shape (n,), int64, n ≥ 2.
        predictions: likewise.

    References:
        Moddemeijer 1989, On estimation of entropy and mutual information of continuous distributions, Signal
        Processing 16.

    Examples:
        >>> import torch
        >>> labels = torch.arange(100) % 2
        >>> value, stderr = label_information(labels, labels)
        >>> round(value, 3), round(math.log(2), 3)
        (0.693, 0.693)
    """
    n, classes = len(labels), 1 + int(predictions.max())
    joint = _counts_of_own(labels * classes + predictions)
    terms = (n * joint / (_counts_of_own(labels) * _counts_of_own(predictions))).log()
    # Rounding may leave less than nothing.
    return max(float(terms.mean()), 0.0), float(terms.std()) / math.sqrt(n)


def label_informations(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Return the same of many predictions at once, without errors, shape (s,), float64.

    Args:
        labels: classes from 0, shape (s, n), int64.
        predictions: likewise.
        classes: how many there are.

    Examples:
        >>> import torch
        >>> labels = torch.arange(100) % 2
        >>> label_informations(torch.stack([labels, labels]), torch.stack([labels, labels * 0]), 2).round(decimals=3)
        tensor([0.6930, 0.0000], dtype=torch.float64)
    """
    count, n = labels.shape
    ones = torch.ones(labels.shape, dtype=torch.float64)
    cells = torch.zeros(count, classes * classes, dtype=torch.float64)
    joint = cells.scatter_add_(1, labels * classes + predictions, ones).view(count, classes, classes)
    by_chance = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    # Where nothing is counted the logarithm counts for nothing.
    terms = joint.xlogy(n * joint / by_chance.clamp(min=1.0))
    return (terms.sum((1, 2)) / n).clamp(min=0.0)


def _counts_of_own(codes: Tensor) -> Tensor:
    """Return for every example how many have its code, shape (n,), float64."""
    return torch.bincount(codes)[codes].double()
