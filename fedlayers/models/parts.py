"""What a network must be made of to be trained in a federation and measured layer by layer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.layers import ComplexPair
from fedlayers.core.machine.allocation import allocated_memory

# Weights are averaged as NumPy arrays, which know no other floating-point types.
_TYPES = (torch.float16, torch.float32, torch.float64)
_MAKERS = ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "eye", "empty_strided")
# Of the weights, at least: the server's, those received, those trained and their gradients.
_COPIES = 4
# A kernel this many times larger than its input does next to nothing, for hours.
_KERNEL_SIDES = 8


def with_usable_parts(network: nn.Module) -> nn.Module:
    """Return the network, complex parameters held as real and imaginary parts, embeddings with dense gradients.

    A federation averages, an optimizer moves and a metric measures real numbers; and sparse gradients save nothing
    where all weights are sent.

    Raises:
        UserError: it is scripted.
    """
    for path, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UserError(
                f"model must be made of plain torch modules, whose layers can be watched, got a {type(part).__name__} "
                f"{path or 'as the whole'}; give the module from before torch.jit"
            )
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False
    _hold_complex_as_pairs(network)
    return network


def check_parameters(network: nn.Module) -> None:
    """Raise UserError if a network has no parameters, none to train, or some of a type that cannot be averaged."""
    name = type(network).__name__
    parameters = dict(network.named_parameters())
    if not parameters:
        raise UserError(f"model must have parameters, got none in {name}; there is nothing to train")
    if not any(tensor.requires_grad for tensor in parameters.values()):
        raise UserError(
            f"model must have parameters that require gradients, got none of {len(parameters)} in {name}; "
            "unfreeze what is to be trained"
        )
    for path, tensor in network.named_parameters():
        if tensor.dtype not in _TYPES:
            raise UserError(
                f"model must have parameters of type float16, float32 or float64, got {tensor.dtype} in {path!r}; "
                + _way_out(tensor)
            )


def _way_out(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "keep the parameters in float32 and compute in another type inside of forward"
    return "register what is not trained as a buffer"


def _hold_complex_as_pairs(network: nn.Module) -> None:
    """Replace complex parameters by their real and imaginary parts; tied ones stay tied."""
    pairs: dict[int, Any] = {}
    complex_ones = [
        (part, name, tensor)
        for part in network.modules()
        for name, tensor in part.named_parameters(recurse=False)
        if not is_lazy(tensor) and tensor.is_complex()
    ]
    for part, name, tensor in complex_ones:
        parametrize.register_parametrization(part, name, ComplexPair(), unsafe=True)
        held: Any = getattr(part.parametrizations, name)
        first = pairs.setdefault(id(tensor), held)
        held.original0, held.original1 = first.original0, first.original1
        for half in (held.original0, held.original1):
            half.requires_grad_(tensor.requires_grad)


class SizeLimit(TorchFunctionMode):
    """Refuses tensors that do not fit into memory before they are allocated, for a block of code that builds a model.

    Args:
        limit_bytes: the most that all tensors made in the block may take together.

    Raises:
        UserError: in the block, at the tensor that is too much.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self.limit_bytes, self._made = limit_bytes, 0.0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what a maker of tensors is about to make."""
        given = dict(kwargs or {})
        if getattr(func, "__name__", "") in _MAKERS:
            self._made += _size_bytes(func, args, given)
            if self._made > self.limit_bytes:
                size = (
                    f"{self._made / 1e9:,.1f} GB or more" if math.isfinite(self._made) else "more than can be counted"
                )
                raise UserError(
                    f"model must fit into memory, got {size} of weights where training has room for "
                    f"{self.limit_bytes / 1e9:,.1f} GB of them; make its layers smaller"
                )
        return func(*args, **given)


def _size_bytes(func: Any, args: Sequence[Any], given: Mapping[str, Any]) -> float:
    """Return the size of what a maker of tensors would make, infinite if it is beyond what can be counted."""
    asked = {key: value for key, value in given.items() if key not in ("generator", "out", "device")}
    try:
        # On the device "meta" a tensor has a size and no memory.
        sketch = func(*args, **asked, device="meta")
    except (TypeError, RuntimeError) as error:
        if "verflow" in str(error):
            return math.inf
        raise
    return float(sketch.numel() * sketch.element_size())


def room_for_weights() -> int:
    """Return the bytes that a model's weights may take on this machine now: training holds several copies of them."""
    free = psutil.virtual_memory().available
    return min(allocated_memory() or free, free) // _COPIES


def check_kernel(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Refuse a convolution whose kernel is many times larger than its input: a hook before the forward pass."""
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd) or not isinstance(inputs[0], Tensor):
        return
    spans = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    sides = list(inputs[0].shape[-len(spans) :])
    check(
        all(span <= _KERNEL_SIDES * max(side, 1) for span, side in zip(spans, sides, strict=True)),
        "model",
        f"convolutions with kernels of at most {_KERNEL_SIDES} times their input's size, which is {tuple(sides)}",
        tuple(spans),
        "nearly all of such a kernel lies outside of the image",
    )
