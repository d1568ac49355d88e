"""Networks for tests, named by ``_target_`` in place of the MLP's, whose arguments they take."""

import math
from collections.abc import Sequence

import torch
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


class OwnParameters(nn.Module):
    """Owns a shift and a number without axes beside two layers, the last defined first."""

    def __init__(
        self, input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (8,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        (width,) = hidden
        self.last = nn.Linear(width, num_classes)
        self.first = nn.Linear(math.prod(input_shape), width)
        self.shift = nn.Parameter(torch.zeros(width))
        self.temperature = nn.Parameter(torch.tensor(1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        logits: Tensor = self.last(self.first(features.flatten(1)).relu() + self.shift)
        return logits * self.temperature


class ComplexAndEmpty(nn.Module):
    """A complex layer, and a list of parameters of which the only one has no numbers."""

    def __init__(
        self, input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (8,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        (width,) = hidden
        self.first = nn.Linear(math.prod(input_shape), width, dtype=torch.complex64)
        self.prompt = nn.ParameterList([torch.zeros(0, width)])
        self.last = nn.Linear(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        hidden: Tensor = self.first(features.flatten(1).to(torch.complex64)).abs() + self.prompt[0].sum(0)
        logits: Tensor = self.last(hidden)
        return logits
