"""The forward-forward network: layers that tell examples with their own label from those with another."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from fedlayers.core.checks import check, count, finite
from fedlayers.core.stages import applied
from fedlayers.models.greedy_mlp import UnitLength
from fedlayers.models.kaiming import kaiming_uniform


class WithLabel(nn.Module):
    """Puts a label beside each flattened example: (n, d) becomes (n, d + C).

    Args:
        classes: C.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, examples: Tensor) -> Tensor:
        """Return examples with the label that says nothing, 1 / C of each class, shape (n, d + C)."""
        return self.beside(examples, torch.full((len(examples), self.classes), 1 / self.classes).to(examples))

    def beside(self, examples: Tensor, label: Tensor) -> Tensor:
        """Return examples (n, …) with labels of shape (n, C), shape (n, d + C)."""
        return torch.cat([examples.flatten(1), label.to(examples)], 1)


class ForwardForward(nn.Module):
    """Layers ``fc1`` to ``fcL`` with ReLU on an example and a label; a label's logit is its energy Σ_l ‖a_l‖².

    Its stages, and so the metrics of stages, see the example with a label that says nothing (1 / C of each class).

    Args:
        input_shape: one example's shape, which is flattened.
        num_classes: C.
        width: units of every layer, 1 or more.
        layers: L, 1 or more.
        normalise: whether each layer sees the direction of the one before it only, so that it cannot read the length.
        theta: θ: a layer takes an example's label for its own with probability σ(‖a‖² − θ).

    References:
        Hinton 2022, The Forward-Forward Algorithm, arXiv:2212.13345.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        width: int = 1024,
        layers: int = 4,
        normalise: bool = True,
        theta: float = 2.0,
    ) -> None:
        super().__init__()
        count("model.width", width)
        count("model.layers", layers, most=1000)
        check(finite(theta), "model.theta", "a number", theta)
        self.depth, self.theta, self.classes = layers, theta, num_classes
        self.with_label, self.relu = WithLabel(num_classes), nn.ReLU()
        self.unit = UnitLength(2) if normalise else nn.Identity()
        before = math.prod(input_shape) + num_classes
        for depth in range(1, layers + 1):
            layer = nn.Linear(before, width)
            kaiming_uniform(layer)
            self.add_module(f"fc{depth}", layer)
            before = width

    def forward(self, examples: Tensor) -> Tensor:
        """Return the energy of each label, shape (n, C), of examples (n, *shape)."""
        labels = one_hot(torch.arange(self.classes, device=examples.device), self.classes)
        rows = examples.flatten(1).unsqueeze(1).expand(-1, self.classes, -1)
        h = torch.cat([rows, labels.to(examples).expand(len(examples), -1, -1)], 2)
        energy = examples.new_zeros(())
        for part in self.after_label():
            h = applied(part, h)
            energy = energy + self.goodness(h)
        return energy

    @staticmethod
    def goodness(h: Tensor) -> Tensor:
        """Return ‖h‖² along the last axis."""
        return h.square().sum(-1)

    def after_label(self) -> list[tuple[nn.Module, ...]]:
        """Return the stages, the first one without what puts the label beside the example."""
        between = [(), *[(self.unit,)] * (self.depth - 1)]
        return [(*unit, self.get_submodule(f"fc{depth}"), self.relu) for depth, unit in enumerate(between, 1)]

    def stages_and_head(self) -> tuple[list[tuple[nn.Module, ...]], None]:
        """Return the layers; all of them answer together. See :func:`fedlayers.core.stages.stages`."""
        first, *others = self.after_label()
        return [(self.with_label, *first), *others], None
