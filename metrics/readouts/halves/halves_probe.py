"""How well a linear probe that was fitted to one half of the examples reads the labels of the other."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.readouts.halves.half_smoother import HalfSmoother, joined

# Columns (classes times labellings) that are held at a time.
_COLUMNS = 1024


def probe_predictions(smoothers: Sequence[HalfSmoother], labellings: Tensor, classes: int) -> Tensor:
    """Return the class that a ridge classifier fitted to the other half predicts for every example.

    Classes are indicators, regressed by :func:`metrics.readouts.halves.half_smoother.half_smoothers`; the largest one
    counts.

    Args:
        smoothers: of both halves, of n examples.
        labellings: classes from 0, shape (s, n): s labellings, each with probes of its own.
        classes: how many there are.

    Returns:
        Classes, shape (s, n), int64.

    References:
        Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644;
        Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, ch. 4.2 (classes as indicators).

    Examples:
        >>> import torch
        >>> from metrics.readouts.halves.half_smoother import half_smoothers
        >>> labels = torch.arange(8) // 4
        >>> both = half_smoothers(F.one_hot(labels), torch.arange(8) % 2, 1.0)
        >>> probe_predictions(both, labels[None], 2).tolist()
        [[0, 0, 0, 0, 1, 1, 1, 1]]
    """
    found = torch.empty_like(labellings.T)
    for some in torch.split(torch.arange(len(labellings)), max(1, _COLUMNS // classes)):
        for one in smoothers:
            # Of the training examples alone, and only the largest one is kept: whole matrices cost as much as products.
            own = labellings[some][:, one.training].T
            targets = torch.zeros(*own.shape, classes, dtype=torch.float64).scatter_(2, own[..., None], 1.0)
            indicators = (one.weights @ targets.flatten(1)).view(-1, len(some), classes)
            found[one.held[:, None], some] = indicators.argmax(2)
    return found.T.contiguous()


def probe_probabilities(smoothers: Sequence[HalfSmoother], labels: Tensor, classes: int) -> Tensor:
    """Return the class probabilities that the probe of the other half gives every example.

    A regression of indicators estimates P(c | x) and sums to 1 over the classes; what is negative counts as 0, and the
    rest is made to sum to 1 again.

    Args:
        smoothers: of both halves, of n examples.
        labels: classes from 0, shape (n,).
        classes: how many there are.

    Returns:
        Shape (n, classes), float64.

    Examples:
        >>> import torch
        >>> from metrics.readouts.halves.half_smoother import half_smoothers
        >>> both = half_smoothers(torch.zeros(4, 1), torch.arange(4) % 2, 1.0)
        >>> probe_probabilities(both, torch.tensor([0, 0, 0, 1]), 2)[0].tolist()
        [0.5, 0.5]
    """
    positive = joined(smoothers, F.one_hot(labels, classes)).clamp(min=0)
    return positive / positive.sum(1, keepdim=True)
