"""Focal loss: cross entropy that examples predicted well hardly take part in."""

import copy
import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from fedlayers.core.checks import check, not_negative
from fedlayers.objectives.class_weights import ClassWeights, Given
from fedlayers.objectives.objective import ClassCounts, Objective
from fedlayers.objectives.one_hot import is_label


class Focal(Objective):
    """ℓ = −α_y (1 − p_y)^γ log p_y, p = softmax(z), z the C logits, y the label; α = 1 without weights.

    γ = 0 is cross entropy, weighted by α. 1 − p_y is taken from the other logits, so that ℓ and its derivatives are
    numbers, also for an example whose p_y is 1.

    Args:
        gamma: γ, 0 or more.
        alpha: α, one number for each class, 0 or more; ``client`` or ``federation``: from the training examples of the
            client or of all clients, see :mod:`fedlayers.objectives.class_weights`; None for none.

    References:
        Lin et al. 2017, Focal Loss for Dense Object Detection, ICCV, arXiv 1708.02002.

    Examples:
        >>> import torch
        >>> logits, labels = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0])
        >>> Focal(gamma=2.0)(logits, labels).double().round(decimals=4).tolist()
        [0.1733, 0.0018]
    """

    unit: ClassVar[str] = "nat"
    reference: ClassVar[str] = "Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002"
    takes_logits: ClassVar[bool] = True
    is_safe: ClassVar[bool] = True

    def __init__(self, gamma: float = 2.0, alpha: Given = None) -> None:
        check(not_negative(gamma), "objective.gamma", "0 or more (0 is cross entropy)", gamma)
        self.gamma, self.alpha = gamma, ClassWeights("objective.alpha", alpha)

    def bound(self, counts: ClassCounts) -> "Focal":
        """Return it with its weights; itself where the counts change nothing.

        Raises:
            UserError: there are not as many weights as classes.
        """
        weights = self.alpha.bound(counts)
        if weights is self.alpha:
            return self
        own = copy.copy(self)
        own.alpha = weights
        return own

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return ℓ of each example in nats."""
        weights = self.alpha.like(outputs)
        losses = F.cross_entropy(outputs, labels, weight=weights, reduction="none")
        if self.gamma == 0 or outputs.shape[1] == 1:
            return losses
        return (self.gamma * _log_of_the_others(outputs, labels)).exp() * losses


def _log_of_the_others(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return log(1 − p_y), shape (n,), without the difference, which would be 0 where p_y is nearly 1."""
    others = outputs.masked_fill(is_label(outputs, labels), -math.inf)
    return others.logsumexp(1) - outputs.logsumexp(1)
