"""Balanced softmax: cross entropy that knows how often each class occurs."""

import copy
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from fedlayers.core.checks import one_of
from fedlayers.objectives.class_weights import COUNTED, ClassNumbers
from fedlayers.objectives.objective import ClassCounts, Objective, ObjectiveError


class BalancedSoftmax(Objective):
    """ℓ = −log(n_y exp z_y / Σ_c n_c exp z_c): n_c training examples of class c, z the logits, y the label.

    Cross entropy of z + log n. A model that has learnt with the frequencies added to its logits predicts without them,
    as if all classes were equally frequent: accuracies take the largest z_c, as they do with every objective. Equal n_c
    give cross entropy. A class without training examples counts as one with a single example.

    Args:
        counts: whose training examples are counted: ``client`` or ``federation``.

    References:
        Ren et al. 2020, Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS, arXiv 2007.10740.
    """

    unit: ClassVar[str] = "nat"
    reference: ClassVar[str] = "Ren et al. 2020, Balanced Meta-Softmax for Long-Tailed Recognition, arXiv 2007.10740"
    takes_logits: ClassVar[bool] = True
    is_safe: ClassVar[bool] = True

    def __init__(self, counts: str = "client") -> None:
        one_of("objective.counts", counts, COUNTED)
        self.counts = counts
        self._log_counts: ClassNumbers | None = None

    def bound(self, counts: ClassCounts) -> "BalancedSoftmax":
        """Return it with the counts."""
        own = copy.copy(self)
        own._log_counts = ClassNumbers(counts.of(self.counts).clamp(min=1).double().log())
        return own

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return ℓ of each example in nats.

        Raises:
            ObjectiveError: it has no counts.
        """
        return F.cross_entropy(self._adjusted(outputs), labels, reduction="none")

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of ℓ.

        Raises:
            ObjectiveError: it has no counts.
        """
        return F.cross_entropy(self._adjusted(outputs), labels)

    def _adjusted(self, outputs: Tensor) -> Tensor:
        if self._log_counts is None:
            raise ObjectiveError(
                "objective BalancedSoftmax must be bound to training counts before use, got none",
                "call bound(counts) first",
            )
        return outputs + self._log_counts.like(outputs)
