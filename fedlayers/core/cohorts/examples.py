"""Examples of several clients that lie in one array: the batches of all are gathered at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.federation import Examples
from fedlayers.core.kinds.tokens import normalised


@dataclass(frozen=True)
class CommonExamples:
    """The examples of K clients in the arrays of a data set.

    Attributes:
        clients: their examples.
        scale, shift: as in :class:`Examples`, those of all clients stacked, or one for all.
    """

    clients: Sequence[Examples]
    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, clients: Sequence[object]) -> "CommonExamples | None":
        """Return some clients' examples as those of one array, None if they are not."""
        found = [examples for examples in clients if isinstance(examples, Examples)]
        first = found[0] if found else None
        if first is None or len(found) < len(clients):
            return None
        if any(_differ(first, other) for other in found):
            return None
        scale, shift = (torch.stack([getattr(one, name) for one in found]) for name in ("scale", "shift"))
        if bool((scale == scale[:1]).all()) and bool((shift == shift[:1]).all()):
            scale, shift = scale[:1], shift[:1]
        return cls(found, *(_beside_batch(numbers, first.features.dim()) for numbers in (scale, shift)))

    def batch(self, rows: Tensor, clients: slice) -> tuple[Tensor, Tensor]:
        """Return features (n, b, *shape) and labels (n, b) or (n, b, C), as :meth:`Examples.batch` does.

        Args:
            rows: positions in the arrays, of n of the clients, shape (n, b), on the CPU.
            clients: these clients.
        """
        common = self.clients[0]
        flat = rows.flatten().to(common.features.device, non_blocking=True)
        taken, labels = (tensor.index_select(0, flat) for tensor in (common.features, common.labels))
        own = slice(None) if len(self.scale) == 1 else clients
        features = normalised(taken.view(*rows.shape, *taken.shape[1:]), self.scale[own], self.shift[own])
        return features, labels.view(*rows.shape, *labels.shape[1:])


def _differ(one: Examples, other: Examples) -> bool:
    """Say whether two clients' examples lie in other arrays, or are not made of them alike."""
    arrays = one.features is not other.features or one.labels is not other.labels
    alike = one.scale.dtype == other.scale.dtype and one.scale.shape == other.scale.shape
    return arrays or not alike or other.shift.shape != one.shift.shape or other.planted is not None


def _beside_batch(numbers: Tensor, dimensions: int) -> Tensor:
    """Return numbers (K, …) as (K, 1, …), to be broadcast over features (K, b, *shape), b·shape of ``dimensions``."""
    missing = dimensions - numbers.dim()
    return numbers.reshape(len(numbers), 1, *[1] * missing, *numbers.shape[1:])
