"""Per-example gradients of single layers from their input and the gradient at their output.

Every function returns, for each parameter, the sum of its gradients over the n examples, and for the layer the
squared norm of each example's gradient. The gradients of all examples are held of norms, and of convolutions with so
many positions that these are formed anyway and are not much larger than what passed the layer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from metrics.example_gradients.patches import gram_cost, padded, patch_columns, patch_grams, patches

# A pass over one (out, in) matrix in memory costs about as much as so many multiplications of its elements.
_MEMORY_COST = 32
# Examples are taken in slices whose intermediate results stay in a processor's cache.
_SLICE_ELEMENTS = 1 << 20
# Without gradients of single examples slices are this much larger: each costs a walk through the sum.
_PIXEL_SLICES = 4
# Gradients of single examples are kept in the place of what passed a convolution up to so many times its size.
_KEPT_SHARE = 4


@dataclass(frozen=True)
class LayerGradients:
    """What one layer contributes to per-example gradients.

    Attributes:
        squares: squared norm of each example's gradient over all parameters of the layer, shape (n,), float64.
        sums: attribute name (``weight``, ``bias``) -> sum of the gradients over examples, in the parameter's shape.
        examples: attribute name -> the gradients of some examples, shape (m, …), for one part of the examples after
            another; None where they are not formed, or much larger than what passed the layer.
    """

    squares: Tensor
    sums: dict[str, Tensor]
    examples: Sequence[Mapping[str, Tensor]] | None = None


def outer_products(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return ‖M_i‖² and Σ_i M_i for the matrices M_i = left_i right_iᵀ, block by block.

    Either the matrices are formed slice by slice, or ‖M_i‖² = ⟨left_iᵀ left_i, right_iᵀ right_i⟩ is taken from two
    Gram matrices over positions, whichever is cheaper.

    Args:
        left: shape (n, blocks, rows, positions).
        right: shape (n, blocks, columns, positions).

    Returns:
        Squared norms (n,), float64, and the sum (blocks, rows, columns).

    References:
        Rochette, Manoel & Tramel 2019, Efficient Per-Example Gradient Computations in Convolutional Neural
        Networks, arXiv 1912.06015.

    Examples:
        >>> import torch
        >>> left, right = torch.tensor([1.0, 2.0]).reshape(1, 1, 2, 1), torch.tensor([3.0]).reshape(1, 1, 1, 1)
        >>> squares, total = outer_products(left, right)
        >>> squares.tolist(), total.flatten().tolist()
        ([45.0], [3.0, 6.0])
    """
    if _by_grams(left.shape[2], right.shape[2], left.shape[3]):
        grams = (left.mT @ left) * (right.mT @ right)
        return grams.flatten(1).sum(1, dtype=torch.float64), torch.einsum("igrp,igcp->grc", left, right)
    matrices = left @ right.mT
    return _squares(matrices), matrices.sum(0)


def _by_grams(rows: int, columns: int, positions: int) -> bool:
    """Say whether Gram matrices over positions are cheaper than the matrices of single examples."""
    return positions**2 * (rows + columns) < _MEMORY_COST * rows * columns


def _held(rows: int, columns: int, positions: int, blocks: int = 1) -> int:
    """Return how many numbers :func:`outer_products` holds for an example: factors, and Gram matrices or matrices."""
    inner = positions**2 if _by_grams(rows, columns, positions) else rows * columns
    return blocks * max((rows + columns) * positions, inner)


def linear_gradients(module: nn.Linear, inputs: Tensor, outputs: Tensor) -> LayerGradients:
    """Return the gradients of a linear layer.

    Args:
        module: the layer.
        inputs: its input, shape (n, …, in).
        outputs: gradient of Σ_i loss_i at its output, shape (n, …, out).

    References:
        Goodfellow 2015, Efficient Per-Example Gradient Computations, arXiv 1510.01799.
    """
    if inputs.ndim == 2:
        squares, weight = _squares(inputs) * _squares(outputs), outputs.mT @ inputs
        return _with_bias(module, squares, weight, outputs)
    n, columns, rows = len(inputs), inputs.shape[-1], outputs.shape[-1]
    right = inputs.reshape(n, 1, -1, columns).mT
    left = outputs.reshape(n, 1, -1, rows).mT
    size = _held(rows, columns, left.shape[3])
    squares, weight = _in_slices(lambda part: outer_products(left[part], right[part]), inputs, size)
    return _with_bias(module, squares, weight[0], left.sum((1, 3)))


def conv_gradients(module: _ConvNd, inputs: Tensor, outputs: Tensor) -> LayerGradients:
    """Return the gradients of a convolution (not transposed) with any padding, stride, dilation and groups.

    Where it has few positions, norms come from inner products of positions, those of what a position sees from those
    of single pixels if that is cheaper: see :func:`metrics.example_gradients.patches.patch_grams`.

    Args:
        module: the layer.
        inputs: its input, shape (n, in, *positions).
        outputs: gradient of Σ_i loss_i at its output, shape (n, out, *positions).
    """
    extended = padded(module, inputs)
    left = outputs.reshape(len(outputs), module.groups, outputs.shape[1] // module.groups, -1)
    rows, columns, positions = left.shape[2], math.prod(module.weight.shape[1:]), left.shape[3]
    size = _held(rows, columns, positions, module.groups)
    kept: list[Tensor] | None = None

    def part_of(part: slice) -> tuple[Tensor, Tensor]:
        if kept is None:
            return outer_products(left[part], patches(module, extended[part]))
        kept.append(left[part] @ patches(module, extended[part]).mT)
        return _squares(kept[-1]), kept[-1].sum(0)

    def from_pixels(part: slice) -> tuple[Tensor, Tensor]:
        grams = (left[part].mT @ left[part]) * patch_grams(module, inputs[part])
        own = left[part].permute(1, 2, 0, 3).flatten(2)
        return grams.flatten(1).sum(1, dtype=torch.float64), own @ patch_columns(module, extended[part]).mT

    by_pixels = positions**2 * rows + gram_cost(module, inputs, positions, _MEMORY_COST)
    if by_pixels < min(positions**2 * (rows + columns), _MEMORY_COST * rows * columns):
        squares, weight = _in_slices(from_pixels, inputs, max(1, size // _PIXEL_SLICES))
    else:
        passed = (inputs.numel() + outputs.numel()) // len(inputs)
        if not _by_grams(rows, columns, positions) and module.groups * rows * columns <= _KEPT_SHARE * passed:
            kept = []
        squares, weight = _in_slices(part_of, inputs, size)
    found = _with_bias(module, squares, weight.reshape(module.weight.shape), outputs.flatten(2).sum(2))
    return found if kept is None else replace(found, examples=_parts(module, kept, outputs))


def _parts(module: _ConvNd, kept: Sequence[Tensor], outputs: Tensor) -> list[dict[str, Tensor]]:
    """Return the gradients of single examples by attribute, those of the weights given in slices."""
    examples = [{"weight": part.reshape(-1, *module.weight.shape)} for part in kept]
    if module.bias is None:
        return examples
    biases = torch.split(outputs.flatten(2).sum(2), [len(part) for part in kept])
    return [{**part, "bias": bias} for part, bias in zip(examples, biases, strict=True)]


def norm_gradients(module: nn.Module, inputs: Tensor, outputs: Tensor) -> LayerGradients:
    """Return the gradients of scale and shift of layer, RMS, group or (in evaluation mode) batch norm.

    Args:
        module: the layer.
        inputs: its input, shape (n, channels, …) or (n, …, *normalized_shape).
        outputs: gradient of Σ_i loss_i at its output, in the shape of ``inputs``.
    """
    shifts, scales = outputs, outputs * _NORMALISED[type(module)](module, inputs)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        shape = (len(inputs), -1, *module.normalized_shape)
        shifts, scales = shifts.reshape(shape).sum(1), scales.reshape(shape).sum(1)
    elif inputs.ndim > 2:
        shifts, scales = shifts.flatten(2).sum(2), scales.flatten(2).sum(2)
    examples = {"weight": scales, "bias": shifts}
    owned = {name: examples[name] for name, owned in module.named_parameters(recurse=False) if owned is not None}
    squares = torch.stack([_squares(tensor) for tensor in owned.values()]).sum(0)
    return LayerGradients(squares, {name: tensor.sum(0) for name, tensor in owned.items()}, [owned])


def _batch_norm(module: Any, x: Tensor) -> Tensor:
    return F.batch_norm(x, module.running_mean, module.running_var, eps=module.eps)


# The output of each kind of norm before scale and shift.
_NORMALISED: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.LayerNorm: lambda module, x: F.layer_norm(x, module.normalized_shape, eps=module.eps),
    nn.RMSNorm: lambda module, x: F.rms_norm(x, module.normalized_shape, eps=module.eps),
    nn.GroupNorm: lambda module, x: F.group_norm(x, module.num_groups, eps=module.eps),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
}

# The formula for each kind of layer that has one; subclasses may compute something else and have none.
FORMULAS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], LayerGradients]] = {
    nn.Linear: linear_gradients,
    nn.Conv1d: conv_gradients,
    nn.Conv2d: conv_gradients,
    nn.Conv3d: conv_gradients,
    **dict.fromkeys(_NORMALISED, norm_gradients),
}


def _squares(rows: Tensor) -> Tensor:
    """Return the squared norm of each row, (n, …) -> (n,) in float64."""
    return rows.square().flatten(1).sum(1, dtype=torch.float64)


def _in_slices(part_of: Callable[[slice], tuple[Tensor, Tensor]], inputs: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Run ``part_of`` on slices of the examples; ``size`` is how many numbers it holds for one of them."""
    budget = _SLICE_ELEMENTS if inputs.device.type == "cpu" else 128 * _SLICE_ELEMENTS
    step = max(1, budget // size)
    first, total = part_of(slice(0, step))
    squares = [first]
    for start in range(step, len(inputs), step):
        further, part = part_of(slice(start, start + step))
        squares.append(further)
        total += part
    return torch.cat(squares), total


def _with_bias(module: Any, squares: Tensor, weight: Tensor, bias: Tensor) -> LayerGradients:
    """Add the bias, whose gradients per example are (n, out), to those of the weight."""
    if module.bias is None:
        return LayerGradients(squares, {"weight": weight})
    return LayerGradients(squares + _squares(bias), {"weight": weight, "bias": bias.sum(0)})
