"""What every output position of a convolution sees of its input, its patch, and the inner products of patches."""

import math
from itertools import product

import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.conv import _ConvNd


def padded(module: _ConvNd, inputs: Tensor) -> Tensor:
    """Return a convolution's input (n, in, *pixels) with its padding around it."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(inputs, _padding(module), mode)


def patches(module: _ConvNd, extended: Tensor) -> Tensor:
    """Return what each output position sees, shape (n, groups, in / groups · kernel, positions).

    Args:
        module: the convolution.
        extended: its padded input, shape (n, in, *pixels).
    """
    windows, axes = _windows(module, extended), len(module.kernel_size)
    kernel_first = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    positions = math.prod(windows.shape[2 : 2 + axes])
    return windows.permute(kernel_first).reshape(len(extended), module.groups, -1, positions)


def patch_columns(module: _ConvNd, extended: Tensor) -> Tensor:
    """Return :func:`patches` of all examples side by side, shape (groups, in / groups · kernel, n · positions)."""
    windows, axes = _windows(module, extended), len(module.kernel_size)
    examples_last = (1, *range(2 + axes, 2 + 2 * axes), 0, *range(2, 2 + axes))
    positions = math.prod(windows.shape[2 : 2 + axes])
    return windows.permute(examples_last).reshape(module.groups, -1, len(extended) * positions)


def patch_grams(module: _ConvNd, inputs: Tensor) -> Tensor:
    """Return the inner products of all patches of an example, without the patches.

    Those of two patches are sums over the kernel of those of two pixels, ⟨x_{p+k}, x_{q+k}⟩, which are inner products
    over channels only: where there are about as many pixels as positions, a share of 1 / kernel of the work.

    Args:
        module: the convolution.
        inputs: its input, shape (n, in, *pixels).

    Returns:
        Shape (n, groups, positions, positions).

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> layer, images = nn.Conv1d(1, 1, 2), torch.tensor([[[1.0, 2.0, 3.0]]])
        >>> patch_grams(layer, images).tolist()  # of (1, 2) and (2, 3)
        [[[[5.0, 8.0], [8.0, 13.0]]]]
    """
    zeros, axes = module.padding_mode == "zeros", len(module.kernel_size)
    source = inputs if zeros else padded(module, inputs)
    pixels = source.reshape(len(inputs) * module.groups, source.shape[1] // module.groups, -1)
    grams = (pixels.mT @ pixels).reshape(-1, *source.shape[2:], *source.shape[2:])
    if zeros:
        grams = F.pad(grams, _padding(module) * 2)
    counts = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, dilation, stride in zip(
            grams.shape[1 : 1 + axes], module.kernel_size, module.dilation, module.stride, strict=True
        )
    ]
    total: Tensor | None = None
    for offsets in product(*map(range, module.kernel_size)):
        seen = tuple(
            slice(offset * dilation, offset * dilation + stride * (count - 1) + 1, stride)
            for offset, dilation, stride, count in zip(offsets, module.dilation, module.stride, counts, strict=True)
        )
        part = grams[(slice(None), *seen, *seen)]
        total = part.clone() if total is None else total.add_(part)
    assert total is not None
    return total.reshape(len(inputs), module.groups, math.prod(counts), math.prod(counts))


def gram_cost(module: _ConvNd, inputs: Tensor, positions: int, memory_cost: int) -> int:
    """Return how many multiplications :func:`patch_grams` costs for an example and group of channels.

    Args:
        module: the convolution.
        inputs: its input, shape (n, in, *pixels).
        positions: of its output.
        memory_cost: what a pass over a number in memory costs.
    """
    pixels = math.prod(inputs.shape[2:])
    return pixels**2 * module.weight.shape[1] + memory_cost * math.prod(module.kernel_size) * positions**2


def _windows(module: _ConvNd, extended: Tensor) -> Tensor:
    """Return a view of what each position sees, shape (n, in, *positions, *kernel)."""
    windows = extended
    for axis, size in enumerate(module.kernel_size):
        dilation, stride = module.dilation[axis], module.stride[axis]
        windows = windows.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return windows


def _padding(module: _ConvNd) -> list[int]:
    """Return what ``F.pad`` needs: before and after, last axis first."""
    if module.padding == "valid":
        pairs = [(0, 0) for _ in module.kernel_size]
    elif module.padding == "same":
        spans = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        pairs = [(span // 2, span - span // 2) for span in spans]
    else:
        pairs = [(int(size), int(size)) for size in module.padding]
    return [size for pair in reversed(pairs) for size in pair]
