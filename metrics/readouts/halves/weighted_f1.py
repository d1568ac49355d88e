"""F1 of many predictions at once, each class weighted by how frequent it is."""

import torch
from torch import Tensor


def weighted_f1(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Return Σ_k t_k F1_k / n with F1_k = 2 N_kk / (t_k + p_k): N_kk hits, t_k labels, p_k predictions of class k.

    Args:
        labels: classes from 0, shape (s, n).
        predictions: likewise.
        classes: how many there are.

    Returns:
        Shape (s,), float64, in [0, 1].

    References:
        Opitz & Burst 2019, Macro F1 and Macro F1, arXiv 1911.03347.

    Examples:
        >>> import torch
        >>> weighted_f1(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 1]]), 2).round(decimals=4).tolist()
        [0.6667]
    """
    true, predicted = _counts(labels, classes), _counts(predictions, classes)
    hits = _counts(labels.where(labels == predictions, classes), classes + 1)[:, :classes]
    return (true * 2 * hits / (true + predicted).clamp(min=1)).sum(1) / labels.shape[1]


def _counts(codes: Tensor, classes: int) -> Tensor:
    """Return how often each class is in each row, shape (s, classes), float64."""
    zeros = torch.zeros(len(codes), classes, dtype=torch.float64)
    return zeros.scatter_add_(1, codes, torch.ones(codes.shape, dtype=torch.float64))
