"""Singular values of a Hessian-vector product in the shape of a weight, summed up as PLayer-FL's release does."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Below these the release takes a value, or all values of a tensor, for zero; it does not see its own rounding.
_SMALLEST_VALUE = 1e-8
_SMALLEST_TENSOR = 1e-12


@dataclass(frozen=True)
class Summary:
    """What the release keeps of singular values σ ≥ 0; NaN where it is not defined.

    Attributes:
        nuclear: the sum of σ; for convolutions the mean of the slices' sums.
        operator: the largest σ.
        condition: the largest σ over the smallest one above 1e-8 and above rounding.
        skewness: m₃ / m₂^{3/2} with central moments m, not corrected for their bias.
        percent_small: the percentage of σ below 1 % of the largest.
    """

    nuclear: float
    operator: float
    condition: float
    skewness: float
    percent_small: float


def slice_singular_values(tensor: Tensor) -> Tensor:
    """Return the singular values of a tensor in the shape of a weight, in float64.

    Args:
        tensor: finite. Four axes (out, in, height, width): the values of the ``in`` slices (out, height · width), side
            by side and divided by ``in``. Any other shape (out, …): those of the matrix (out, rest).

    Returns:
        Shape (in · min(out, height · width),) or (min(out, rest),).

    Examples:
        >>> import torch
        >>> weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
        >>> slice_singular_values(weight).round(decimals=4).tolist()
        [4.0, 3.0]
    """
    wide = tensor.double().reshape(tensor.shape or (1,))
    slices = wide.transpose(0, 1).flatten(2) if wide.ndim == 4 else wide.reshape(1, len(wide), -1)
    values: Tensor = torch.linalg.svdvals(slices).flatten() / len(slices)
    return values


def resolution(tensor: Tensor) -> float:
    """Return the part of the largest singular value below which there is only rounding: max(rows, columns) · ε.

    ε is that of the tensor's own precision. Some singular values are exactly zero, such as one of every product with a
    softmax's last layer, whose columns sum to zero; in float32 they come out as 1e-8 of the largest.

    Args:
        tensor: see :func:`slice_singular_values`.

    References:
        Press et al. 2007, Numerical Recipes, ch. 2.6 (the threshold of ``numpy.linalg.matrix_rank``).

    Examples:
        >>> import torch
        >>> 0 < resolution(torch.eye(3)) < 1e-4
        True
    """
    rows = tensor.shape[0] if tensor.ndim else 1
    columns = tensor[0, 0].numel() if tensor.ndim == 4 else tensor.numel() // rows
    return max(rows, columns) * float(torch.finfo(tensor.dtype).eps)


def summarise(values: Tensor, rounding: float = 0.0) -> Summary:
    """Return what the release keeps of singular values; all NaN if none is above 1e-12.

    Args:
        values: σ, shape (n,), n ≥ 1, float64, as :func:`slice_singular_values` returns them.
        rounding: the part of the largest that counts as zero in the condition, as :func:`resolution` returns it.

    Examples:
        >>> import torch
        >>> found = summarise(torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64), 1e-12)
        >>> found.nuclear, found.operator, found.condition
        (7.0, 4.0, 4.0)
    """
    largest = float(values.max())
    if not largest > _SMALLEST_TENSOR:
        return Summary(*[math.nan] * 5)
    counted = values[values > max(_SMALLEST_VALUE, rounding * largest)]
    return Summary(
        nuclear=float(values.sum()),
        operator=largest,
        condition=largest / float(counted.min()) if len(counted) else math.nan,
        skewness=_skewness(values),
        percent_small=100 * float((values < 0.01 * largest).double().mean()),
    )


def _skewness(values: Tensor) -> float:
    deviations = values - values.mean()
    second, third = float(deviations.square().mean()), float(deviations.pow(3).mean())
    # Equal up to rounding: the quotient would be noise.
    equal = second <= (torch.finfo(values.dtype).eps * float(values.mean())) ** 2
    return math.nan if equal else third / math.sqrt(second) ** 3
