"""Examples of several clients side by side, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.cohorts.examples import CommonExamples
from metrics.views import ExampleSet


@dataclass(frozen=True)
class MeasuredBatch:
    """A batch of each of those k clients that have examples left, the first of all.

    Attributes:
        features: shape (k, b, *shape), b the examples of the client that has most.
        labels: shape (k, b).
        counts: how many of them are each client's own, the first ones; one of its own fills up a shorter batch.
    """

    features: Tensor
    labels: Tensor
    counts: Sequence[int]


def measured_batches(
    examples: Sequence[ExampleSet], chosen: Sequence[Tensor], sizes: Sequence[int], device: torch.device
) -> Iterator[MeasuredBatch]:
    """Yield the chosen examples of all clients.

    Args:
        examples: those of each client.
        chosen: positions among them; the client with most of them first, no client without.
        sizes: of each batch, how many the first client has in it.
        device: where they are to be.
    """
    common = CommonExamples.of(examples)
    start = 0
    for size in sizes:
        parts = [own[start : start + size] for own in chosen if len(own) > start]
        rows = [torch.cat([part, part[:1].expand(size - len(part))]) for part in parts]
        if common is None:
            pairs = [own.batch(row) for own, row in zip(examples, rows, strict=False)]
            features, labels = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
        else:
            taken = torch.stack([own.index[row] for own, row in zip(common.clients, rows, strict=False)])
            features, labels = common.batch(taken, slice(0, len(rows)))
        counts = [len(part) for part in parts]
        yield MeasuredBatch(features.to(device, non_blocking=True), labels.to(device, non_blocking=True), counts)
        start += size
