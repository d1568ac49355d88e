"""Floating-point operations of a forward pass, by layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fedlayers.core.layers import ROOT, as_written, buffers_kept
from metrics.resource_usage.operations import ALL, operations_of

_counted: list[nn.Module] = []


def is_counted(model: nn.Module) -> bool:
    """Say whether a model's forward pass is one whose operations are counted, and no pass of anybody's training."""
    return any(one is model for one in _counted)


@contextmanager
def _counting(model: nn.Module) -> Iterator[None]:
    _counted.append(model)
    try:
        yield
    finally:
        _counted.pop()


def forward_flops(model: nn.Module, *inputs: Any, **keywords: Any) -> dict[str, int]:
    """Return module -> operations of one forward pass of all these inputs together, modules inside it included.

    A multiplication and an addition are two. Counted are products of matrices, convolutions and attention, as
    ``torch.utils.flop_counter`` does; modules with none are left out, the whole model is ``(model)``. Buffers, mode and
    random generators are as before afterwards.

    Args:
        model: any module.
        inputs: of its forward pass.
        keywords: of its forward pass.

    Examples:
        >>> forward_flops(nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2)), torch.zeros(3, 10))
        {'(model)': 360, '0': 300, '2': 60}
        >>> forward_flops(nn.Linear(10, 5), torch.zeros(1, 10))  # one example
        {'(model)': 100}
    """
    training = {name: part.training for name, part in model.named_modules()}
    devices = sorted({tensor.device.index or 0 for tensor in model.parameters() if tensor.is_cuda})
    try:
        model.eval()
        with (
            torch.no_grad(),
            buffers_kept(model),
            as_written(model),
            torch.random.fork_rng(devices),
            _counting(model),
        ):
            counts = operations_of(lambda: model(*inputs, **keywords))
    finally:
        for name, part in model.named_modules():
            part.training = training[name]
    whole = type(model).__name__
    found = {ROOT: counts.get(ALL, 0)}
    for name, _ in model.named_modules():
        if name and (of_module := counts.get(f"{whole}.{name}", 0)):
            found[name] = of_module
    return found


def flops_per_example(model: nn.Module, *inputs: Any, **keywords: Any) -> dict[str, float]:
    """Return :func:`forward_flops` divided by the number of examples, the length of the first tensor given.

    Examples:
        >>> flops_per_example(nn.Linear(10, 5), torch.zeros(3, 10))
        {'(model)': 100.0}
    """
    lengths = (len(given) for given in (*inputs, *keywords.values()) if isinstance(given, torch.Tensor) and given.ndim)
    examples = max(next(lengths, 1), 1)
    return {name: count / examples for name, count in forward_flops(model, *inputs, **keywords).items()}
