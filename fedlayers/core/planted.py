"""What planted groups of clients change in the examples that are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.kinds.labels import is_label_set


@dataclass(frozen=True)
class Planted:
    """What is done to some examples whenever they are read.

    Attributes:
        groups: the group of each example, shape (n,), int64.
        turns: how many times 90 degrees each group's images are turned counter-clockwise, shape (groups,), 0 to 3.
        relabel: the new label of each old one, shape (groups, classes), int64.
    """

    groups: Tensor
    turns: Tensor
    relabel: Tensor

    def take(self, positions: Tensor) -> "Planted":
        """Return the same for some of the examples; ``positions`` (b,) are integers from 0 to n - 1."""
        return Planted(self.groups.index_select(0, positions), self.turns, self.relabel)

    def labelled(self, labels: Tensor) -> Tensor:
        """Return the new labels of all examples, whose old ones are given in the same order; label sets stay."""
        if is_label_set(labels):
            return labels
        relabel, groups = (tensor.to(labels.device, non_blocking=True) for tensor in (self.relabel, self.groups))
        return relabel[groups, labels]

    def turned(self, features: Tensor) -> Tensor:
        """Return all examples' features, images (n, c, h, w) turned and rows as they are; the input may change."""
        turns = self.turns[self.groups]
        for quarters in (1, 2, 3):
            # Looked for on the CPU, so that nobody waits for a card.
            chosen = (turns == quarters).nonzero().flatten().to(features.device, non_blocking=True)
            if len(chosen):
                features[chosen] = torch.rot90(features[chosen], quarters, (-2, -1))
        return features


@dataclass(frozen=True)
class Planting:
    """Which client is in which group, and what the groups differ in.

    Attributes:
        groups: one group a client, from 0; every client of a group has the same change, group 0 none.
        turns, relabel: see :class:`Planted`.
    """

    groups: tuple[int, ...]
    turns: Tensor
    relabel: Tensor

    def of(self, clients: Sequence[int], sizes: Sequence[int]) -> Planted:
        """Return what is done to the examples of some clients, so many each, one client after the other."""
        groups = torch.tensor([self.groups[client] for client in clients])
        return Planted(groups.repeat_interleave(torch.tensor(sizes)), self.turns, self.relabel)
