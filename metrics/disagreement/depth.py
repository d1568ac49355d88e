"""From which layer on two models part: the disagreement of what can be read out of each layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator
from metrics.array_arguments import Array, as_tensor
from metrics.disagreement.null_level import ExcessDisagreement, excess_disagreement
from metrics.disagreement.per_record import record_disagreement
from metrics.readouts.halves.half_smoother import half_smoothers
from metrics.readouts.halves.halves_probe import probe_probabilities

LEVEL = 0.01
_EXAMPLES_PER_DEGREE = 4.0


@dataclass(frozen=True)
class DisagreementByDepth:
    """The disagreement of two models, layer by layer.

    Attributes:
        layers: mean divergence and null level of the read-outs of each layer, in order.
        parting: the first layer from which on, that layer and every later one, the divergence exceeds its null level;
            None if that of the last layer does not.
    """

    layers: tuple[ExcessDisagreement, ...]
    parting: int | None


def disagreement_by_depth(
    first: Sequence[Array], second: Sequence[Array], null: Sequence[Array], level: float = LEVEL
) -> DisagreementByDepth:
    """Return how far two models disagree at each layer, and from which layer on more than two seeds do.

    The probability that a layer that parts nowhere is named is ``level`` at most: a layer is named only if the last one
    exceeds its null level, too, and each layer before it, going back from the last, likewise.

    Args:
        first: class probabilities that are read out of each layer of the first model, each of shape (n, C).
        second: of the second model, the same layers and records.
        null: of a model that differs from the first by its seed only.
        level: the largest p value at which a layer counts as parted, in (0, 1).

    Raises:
        ValueError: the models do not have the same number of layers, or none.

    Examples:
        >>> import torch
        >>> sure = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).repeat(5, 1)
        >>> found = disagreement_by_depth([sure, sure], [sure, sure.flip(1)], [sure, sure])
        >>> found.parting, [round(layer.value, 2) for layer in found.layers]
        (1, [0.0, 0.21])
    """
    if not len(first) == len(second) == len(null) or not len(first):
        raise ValueError(
            "first, second and null must hold as many layers, 1 or more, "
            f"got {len(first)}, {len(second)} and {len(null)}"
        )
    layers = []
    for own, other, seed in zip(first, second, null, strict=True):
        between, chance = record_disagreement(own, other), record_disagreement(own, seed)
        layers.append(excess_disagreement(between.divergence, chance.divergence))
    parting = len(layers)
    while parting and layers[parting - 1].excess > 0 and layers[parting - 1].p <= level:
        parting -= 1
    return DisagreementByDepth(tuple(layers), parting if parting < len(layers) else None)


def layer_readout(features: Array, labels: Array, classes: int, seed: int = 0) -> Tensor:
    """Return what a linear probe reads out of a layer: class probabilities of every record, held out.

    Fitted to one half of the records and read on the other, both ways; the halves depend on the seed alone, so that
    layers and models can be compared.

    Args:
        features: what the layer puts out, shape (n, …), n ≥ 4.
        labels: classes from 0, shape (n,).
        classes: how many there are.
        seed: decides on the halves.

    Returns:
        Shape (n, classes), float64.

    References:
        Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644.

    Examples:
        >>> import torch
        >>> labels = torch.arange(40) % 2
        >>> float((layer_readout(labels[:, None].float(), labels, 2).argmax(1) == labels).float().mean())
        1.0
    """
    rows = as_tensor(features, "features").flatten(1).double().cpu()
    if len(rows) < 4:
        raise ValueError(f"features must hold 4 records or more, got {len(rows)}")
    halves = torch.zeros(len(rows), dtype=torch.long)
    halves[torch.randperm(len(rows), generator=torch_generator(seed, "read-out halves"))[: len(rows) // 2]] = 1
    return probe_probabilities(
        half_smoothers(rows, halves, _EXAMPLES_PER_DEGREE), as_tensor(labels, "labels").long().cpu(), classes
    )
