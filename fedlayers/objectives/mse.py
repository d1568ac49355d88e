"""The squared difference between outputs and one-hot labels."""

from typing import ClassVar

from torch import Tensor

from fedlayers.objectives.objective import Objective
from fedlayers.objectives.one_hot import is_label


class MeanSquaredError(Objective):
    """ℓ = 1 / C Σ_c (z_c − [c = y])²: z the C outputs, without softmax, y the label, or [c ∈ y], y the label set.

    The mean over classes, so that with the mean over examples it is torch's ``mse_loss`` of one-hot labels; for many
    classes the slopes are small, and the learning rate wants to be larger.

    References:
        Hui & Belkin 2021, Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy in
        Classification Tasks, ICLR, arXiv 2006.07322.

    Examples:
        >>> import torch
        >>> MeanSquaredError()(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])).tolist()
        [0.0, 2.5]
    """

    reference: ClassVar[str] = "Hui & Belkin 2021, Square Loss vs Cross-Entropy in Classification, arXiv 2006.07322"
    takes_label_sets: ClassVar[bool] = True
    is_safe: ClassVar[bool] = True

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return ℓ of each example, a pure number."""
        return (outputs - is_label(outputs, labels).to(outputs.dtype)).square().mean(1)
