"""Singular values of a Hessian-vector product in the shape of a weight, summed up as PLayer-FL's release does."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Below these the release takes a value, or all values of a tensor, for zero.
_SMALLEST_VALUE = 1e-8
_SMALLEST_TENSOR = 1e-12


@dataclass(frozen=True)
class Summary:
    """What the release keeps of singular values σ ≥ 0; NaN where it is not defined.

    Attributes:
        nuclear: the sum of σ; for convolutions the mean of the slices' sums.
        operator: the largest σ.
        condition: the largest σ over the smallest one above 1e-8.
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
    """
    wide = tensor.double().reshape(tensor.shape or (1,))
    slices = wide.transpose(0, 1).flatten(2) if wide.ndim == 4 else wide.reshape(1, len(wide), -1)
    values: Tensor = torch.linalg.svdvals(slices).flatten() / len(slices)
    return values


def summarise(values: Tensor) -> Summary:
    """Return what the release keeps of singular values; all NaN if none is above 1e-12.

    Args:
        values: σ, shape (n,), n ≥ 1, float64, as :func:`slice_singular_values` returns them.
    """
    largest = float(values.max())
    if not largest > _SMALLEST_TENSOR:
        return Summary(*[math.nan] * 5)
    counted = values[values > _SMALLEST_VALUE]
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
