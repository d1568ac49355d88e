"""The probe's labels and all that is drawn for them, the same for all stages, clients, moments, rounds and runs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.kinds.labels import SEVERAL_LABELS, is_label_set, one_class
from fedlayers.core.seeding import torch_generator
from metrics.geometry.linear_probe import shuffled_within_folds, stratified_folds

# As many as a 95 % quantile needs.
_SHUFFLES = 19


@dataclass(frozen=True)
class ProbeLabels:
    """Labels of n examples, and how they are divided and shuffled.

    Attributes:
        labellings: classes 0 … C − 1, shape (1 + s, n): the labels, and s times the same in random order.
        classes: C.
        halves: 0 or 1 for every example, shape (n,), classes in equal parts.
        orders: of the examples, shape (19, n), for nulls that need no labels.
        reason: why nothing can be said about labels, None if it can.
    """

    labellings: Tensor
    classes: int
    halves: Tensor
    orders: Tensor
    reason: str | None

    @classmethod
    def of(cls, labels: Tensor, classes: int, permutations: int) -> "ProbeLabels":
        """Divide and shuffle labels, shape (n,), −1 where there is none, ``permutations`` times within the halves.

        Of label sets, shape (n, C), nothing can be said, as no example has one class.

        Examples:
            >>> import torch
            >>> found = ProbeLabels.of(torch.tensor([0, 1, 0, 1]), 2, 5)
            >>> found.labellings.shape, found.halves.sum().item(), found.reason
            (torch.Size([6, 4]), 2, None)
        """
        several, labels = is_label_set(labels), one_class(labels)
        # Seeds of their own: nothing must change from one client or round to the next.
        halves = stratified_folds(labels, 2, torch_generator(0, "readout/halves"))
        shuffled = shuffled_within_folds(labels, halves, permutations, torch_generator(0, "readout/labels"))
        drawn = torch.rand(_SHUFFLES, len(labels), generator=torch_generator(0, "readout/orders"), dtype=torch.float64)
        reason = SEVERAL_LABELS if several else _problem(labels, classes)
        return cls(torch.cat([labels[None], shuffled]), classes, halves, drawn.argsort(1), reason)


def _problem(labels: Tensor, classes: int) -> str | None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        return "the probe has no labels"
    if low == high:
        return f"all labels of the probe are of one class, {low}"
    return None if high < classes else f"labels of the probe must be below {classes}, the number of classes, got {high}"
