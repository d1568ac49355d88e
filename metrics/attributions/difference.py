"""Where a client's own model and the global one look differently."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.attributions.grad_cam import scaled


@dataclass(frozen=True)
class MapDifference:
    """Two models' maps of the same records, compared.

    Attributes:
        difference: first − second, each map divided by its largest absolute value before, shape (n, …), in [−2, 2].
        by_class: class -> the mean of the differences of its records.
        similarity: cosine of the two maps of each record, shape (n,), float64; NaN where one of them is 0 everywhere.
    """

    difference: Tensor
    by_class: dict[int, Tensor]
    similarity: Tensor


def map_difference(first: Tensor, second: Tensor, labels: Tensor) -> MapDifference:
    """Return where two models look differently, record by record and on average over each class.

    Args:
        first: attribution maps of one model, such as a client's own, shape (n, …).
        second: of the other, such as the global one, of the same records, layer and class, shape (n, …).
        labels: classes of the records, shape (n,).

    Raises:
        ValueError: they are not of the same records or size.

    Examples:
        >>> import torch
        >>> found = map_difference(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([7]))
        >>> found.difference.tolist(), found.by_class[7].tolist(), found.similarity.tolist()
        ([[1.0, -1.0]], [1.0, -1.0], [0.0])
    """
    if first.shape != second.shape or labels.shape != first.shape[:1]:
        raise ValueError(
            f"first, second and labels must be of the same records and size, got {tuple(first.shape)}, "
            f"{tuple(second.shape)} and {tuple(labels.shape)}"
        )
    difference = scaled(first) - scaled(second)
    classes = {label: difference[labels == label].mean(0) for label in sorted(set(labels.tolist()))}
    a, b = first.flatten(1).double(), second.flatten(1).double()
    norms = [rows.square().sum(1).sqrt() for rows in (a, b)]
    similarity = (a * b).sum(1) / (norms[0] * norms[1])
    return MapDifference(difference, classes, torch.where(similarity.isfinite(), similarity, torch.nan))
