"""Binary cross entropy: every label is a question of its own, answered yes or no."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from fedlayers.objectives.objective import Objective
from fedlayers.objectives.one_hot import is_label


class BinaryCrossEntropy(Objective):
    """ℓ = 1 / C Σ_c −[y_c log σ(z_c) + (1 − y_c) log(1 − σ(z_c))]: z the C logits, y the labels that hold.

    The mean over labels, so that with the mean over examples it is torch's ``binary_cross_entropy_with_logits``. Labels
    are sets, vectors of 0 and 1 (several may hold, or none), or classes, of which exactly one holds (one against the
    others).

    References:
        Zhang & Zhou 2006, Multilabel Neural Networks with Applications to Functional Genomics and Text Categorization,
        IEEE TKDE; Nam et al. 2014, Large-scale Multi-label Text Classification, arXiv 1312.5419 (this form).

    Examples:
        >>> import torch
        >>> loss = BinaryCrossEntropy()
        >>> loss(torch.zeros(2, 3), torch.tensor([[1, 0, 1], [0, 0, 0]])).double().round(decimals=4).tolist()
        [0.6931, 0.6931]
    """

    unit: ClassVar[str] = "nat"
    reference: ClassVar[str] = "Nam et al. 2014, Large-scale Multi-label Text Classification, arXiv 1312.5419"
    takes_logits: ClassVar[bool] = True
    takes_label_sets: ClassVar[bool] = True
    is_safe: ClassVar[bool] = True

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return ℓ of each example in nats."""
        target = is_label(outputs, labels).to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs, target, reduction="none").mean(1)
