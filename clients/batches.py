"""Batches of a client's examples: which ones, in which order, as the tensors of a step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.config.schema.training import Training
from metrics.base import ExampleSet

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    Attributes:
        features: shape (b, *shape).
        labels: shape (b,).
    """

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """The number b of examples."""
        return len(self.labels)


def positions(count: int, training: Training, generator: torch.Generator, smallest: int = 1) -> Iterator[Tensor]:
    """Yield the positions (b,) of one batch after another, a fresh order every epoch.

    Args:
        count: the number of examples.
        training: ``batch_size``, and ``steps`` or else ``epochs``, see :meth:`Training.length`.
        generator: draws the order.
        smallest: a shorter last batch joins the one before it, unless there is none.
    """
    size, length = training.batch_size, training.length(count, smallest)
    for step in range(length.steps):
        place = step % length.per_epoch
        if place == 0:
            order = torch.randperm(count, generator=generator)
        yield order[place * size : count if place == length.per_epoch - 1 else (place + 1) * size]


def gathered(
    examples: ExampleSet,
    chosen: Tensor,
    augment: Augment | None,
    generator: torch.Generator,
    device: torch.device | str,
) -> Batch:
    """Return the examples at some positions as one batch.

    Args:
        examples: the client's training examples.
        chosen: positions (b,).
        augment: maps features (b, *shape) and the generator to features of the same shape.
        generator: a CPU generator, for ``augment``.
        device: where the batch is to be.
    """
    features, labels = examples.batch(chosen)
    if augment is not None:
        features = augment(features, generator)
    return Batch(features.to(device, non_blocking=True), labels.to(device, non_blocking=True))
