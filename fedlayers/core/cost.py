"""What a network costs: multiply-adds of one forward pass."""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn


def multiply_adds(module: nn.Module, example: Tensor) -> int:
    """Return the multiply-adds of one example's forward pass in the layers that own parameters.

    A weight of shape (out, …) meets each of the output's positions once: numel(weight) × positions. That is exact for
    linear layers and convolutions and a fair guess for the rest.

    Args:
        module: the network.
        example: one example's features, shape (1, *shape).
    """
    was_training = module.training
    try:
        device = next(module.parameters()).device
        module.eval()
        return multiply_adds_in([module], lambda: module(example.to(device)))
    finally:
        module.train(was_training)


def multiply_adds_in(modules: Iterable[nn.Module], block: Callable[[], Any]) -> int:
    """Return the multiply-adds of some modules, those inside of them included, in a block of code on one example."""
    counts: list[int] = []

    def count(owner: nn.Module, _inputs: Any, output: Any) -> None:
        for parameter in owner.parameters(recurse=False):
            if parameter.dim() >= 2 and isinstance(output, Tensor):
                channels_last = isinstance(owner, nn.Linear)
                positions = output.shape[1:-1] if channels_last else output.shape[2:]
                counts.append(parameter.numel() * prod(positions))

    owners = dict.fromkeys(owner for module in modules for owner in module.modules())
    handles = [owner.register_forward_hook(count) for owner in owners]
    try:
        with torch.no_grad():
            block()
    finally:
        for handle in handles:
            handle.remove()
    return sum(counts)
