"""Cross entropy, with label smoothing and weights for classes."""

import copy
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from fedlayers.core.checks import check, finite
from fedlayers.objectives.class_weights import ClassWeights, Given
from fedlayers.objectives.objective import ClassCounts, Objective


class CrossEntropy(Objective):
    """ℓ = (1 − ε) w_y (−log p_y) + ε / C Σ_c w_c (−log p_c), p = softmax(z).

    z are the C logits, y is the label; w = 1 without weights. The objective is the mean of ℓ over examples, whatever
    their weights: torch's own divides by the sum of a batch's weights, so that an example's loss would depend on the
    others of its batch.

    Args:
        label_smoothing: ε in [0, 1): the share of a label that is spread over all classes.
        class_weights: w, one number for each class, 0 or more; ``client`` or ``federation``: from the training examples
            of the client or of all clients, see :mod:`fedlayers.objectives.class_weights`; None for none.

    References:
        Goodfellow et al. 2016, Deep Learning, ch. 6; smoothing: Szegedy et al. 2016, Rethinking the Inception
        Architecture for Computer Vision, CVPR, arXiv 1512.00567.

    Examples:
        >>> import torch
        >>> CrossEntropy()(torch.zeros(2, 4), torch.tensor([0, 3])).double().round(decimals=4).tolist()
        [1.3863, 1.3863]
    """

    unit: ClassVar[str] = "nat"
    reference: ClassVar[str] = "Goodfellow et al. 2016, Deep Learning, ch. 6"
    takes_logits: ClassVar[bool] = True
    is_safe: ClassVar[bool] = True

    def __init__(self, label_smoothing: float = 0.0, class_weights: Given = None) -> None:
        fine = finite(label_smoothing) and 0 <= label_smoothing < 1
        check(fine, "objective.label_smoothing", "in [0, 1)", label_smoothing)
        self.label_smoothing = label_smoothing
        self.class_weights = ClassWeights("objective.class_weights", class_weights)

    def bound(self, counts: ClassCounts) -> "CrossEntropy":
        """Return it with its weights; itself where the counts change nothing.

        Raises:
            UserError: there are not as many weights as classes.
        """
        weights = self.class_weights.bound(counts)
        if weights is self.class_weights:
            return self
        own = copy.copy(self)
        own.class_weights = weights
        return own

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return ℓ of each example in nats."""
        weight = self.class_weights.like(outputs)
        smoothing = self.label_smoothing
        return F.cross_entropy(outputs, labels, weight=weight, label_smoothing=smoothing, reduction="none")

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of ℓ, without weights in one kernel."""
        if self.class_weights.given is None:
            return F.cross_entropy(outputs, labels, label_smoothing=self.label_smoothing)
        return self.losses(outputs, labels).mean()


# What is minimised, and measured, where nothing else is said.
CROSS_ENTROPY = CrossEntropy()
