"""Where in what a layer puts out the examples are."""

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.layers import as_written
from fedlayers.core.seeding import GlobalGenerators
from metrics.probe.listening import listening

# What was found out about modules of one class: which layers of it, and the kind of their examples -> layer -> axis.
KnownAxes = MutableMapping[object, dict[str, int]]


def example_axes(
    module: nn.Module, names: Sequence[str], features: Tensor, known: KnownAxes | None = None
) -> dict[str, int]:
    """Return along which axis every layer's output holds the examples, −1 where there is none.

    The axis that is as long as there are examples, for two of them and for three: one batch alone could have as many
    examples as a sequence has steps. Weights change nothing about it, unless they decide which layers see an example:
    where a layer has no such axis, others are looked at anew. So are models that draw at random, which must give the
    same whoever was looked at before.

    Args:
        module: the model, in eval mode.
        names: its layers.
        features: some examples, shape (b, *shape).
        known: what was found out about modules of the same class with other weights, to be used and added to.

    Examples:
        >>> example_axes(nn.Sequential(nn.Linear(4, 2)).eval(), ["0"], torch.ones(8, 4))
        {'0': 0}
    """
    key, known = (tuple(names), features.shape[1:], features.dtype), {} if known is None else known
    if key not in known:
        generators = GlobalGenerators.now()
        found = _found_axes(module, names, features)
        if min(found.values(), default=0) < 0 or not generators.are_as_before():
            return found
        known[key] = found
    return known[key]


def _found_axes(module: nn.Module, names: Sequence[str], features: Tensor) -> dict[str, int]:
    shapes: dict[str, list[list[torch.Size]]] = {name: [] for name in names}
    for size in (2, 3):
        chosen = torch.arange(size, device=features.device) % len(features)
        with listening(module, names, _shapes) as seen, torch.no_grad(), as_written(module):
            module(features[chosen])
        for name, calls in seen.items():
            shapes[name].append(calls[-1] if calls else [])
    return {name: _shared_axis(*pair) for name, pair in shapes.items()}


def _shapes(_name: str, tensors: Sequence[Tensor], _module: nn.Module) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors]


def _shared_axis(two: list[torch.Size], three: list[torch.Size]) -> int:
    """Return the first axis that has length 2 in all of some shapes and 3 in the others; −1 if there is none."""
    axes = range(min((len(shape) for shape in [*two, *three]), default=0) - 1)
    if len(two) != len(three):
        return -1
    return next(
        (axis for axis in axes if all((a[axis], b[axis]) == (2, 3) for a, b in zip(two, three, strict=True))), -1
    )
