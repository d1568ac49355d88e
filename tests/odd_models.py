"""Networks for tests, named by ``_target_`` in place of the MLP's, whose arguments they take."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


class TinyBatchNorm(nn.Module):
    """One hidden layer with batch normalisation."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        (width,) = hidden
        self.first = nn.Linear(math.prod(input_shape), width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        logits: Tensor = self.last(self.norm(self.first(features.flatten(1))).relu())
        return logits
