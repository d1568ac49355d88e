"""Watches single layers during one forward and backward pass: their input, and the gradient at their output."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Tap:
    """What passed one layer.

    Attributes:
        calls: how often it was called.
        inputs: its input at the last call; None if that was not one positional tensor.
        output_shape: the shape of its output, empty if that was not one tensor.
        gradient: the gradient at its output; None if none arrived.
    """

    calls: int = 0
    inputs: Tensor | None = None
    output_shape: tuple[int, ...] = ()
    gradient: Tensor | None = None

    def is_batched(self, size: int) -> bool:
        """Say whether the layer was called once, with ``size`` examples along the first axis, in and out."""
        if self.calls != 1 or self.inputs is None:
            return False
        return len(self.inputs) == size and self.output_shape[:1] == (size,)


def held_bytes(taps: Mapping[str, Tap]) -> int:
    """Return the bytes that some taps keep in memory; layers in a row share theirs."""
    tensors = [tensor for tap in taps.values() for tensor in (tap.inputs, tap.gradient) if tensor is not None]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@contextmanager
def tapped(modules: Mapping[str, nn.Module], anchor: Tensor) -> Iterator[dict[str, Tap]]:
    """Watch modules for a block of code that runs a model forward and differentiates by ``anchor``.

    ``torch.autograd.grad(loss, anchor, allow_unused=True)`` then walks exactly the part of the graph that leads
    to the layers' outputs: it computes no gradient of any weight, nor of the model's input. The hooks are gone
    when the block ends, however it ends.

    Args:
        modules: name -> module; modules whose own output autograd does not keep for its backward pass.
        anchor: a scalar that requires grad, on the model's device.

    Yields:
        Name -> what passed that module, filled in as the block runs.
    """
    taps = {name: Tap() for name in modules}
    handles = [module.register_forward_hook(_hook(taps[name], anchor)) for name, module in modules.items()]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()


def _hook(tap: Tap, anchor: Tensor) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        tap.calls += 1
        single = len(inputs) == 1 and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
        if not single or inputs[0].ndim == 0:
            tap.inputs = None
            return output
        tap.inputs, tap.output_shape = inputs[0].detach(), tuple(output.shape)
        # A step in the graph that marks the output as changed in place copies nothing, and what later changes
        # it in place (a ReLU) comes after it; autograd forbids that for views.
        own = output.clone() if output._is_view() else output
        return _Step.apply(own, anchor, tap)  # type: ignore[no-untyped-call]

    return hook


class _Step(torch.autograd.Function):
    """The identity; its backward pass leaves the gradient in the tap."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, _anchor: Tensor, tap: Tap) -> Tensor:
        ctx.tap = tap
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.tap.gradient = gradient
        return gradient, None, None
