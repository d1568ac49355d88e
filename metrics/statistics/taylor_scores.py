"""Taylor scores: how much a loss would change if weights were removed, and their sum from the first layer on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays
from metrics.statistics.jackknife import jackknife_error, leave_out


@dataclass(frozen=True)
class Cumulative:
    """Cumulative scores of K layers.

    Attributes:
        values: S_l, K numbers; NaN or infinite where a score is, and everywhere if the first layer's is zero.
        errors: their standard errors, None where there is none.
    """

    values: list[float]
    errors: list[float | None]


@takes_arrays
def taylor_score(weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> float:
    """Return Σ (w ⊙ s)² over all numbers of some tensors, multiplied and summed in float64.

    With s = ∂L/∂w, w ⊙ s is, to first order, what the loss L loses if one weight is set to zero; the score adds up
    the squares.

    Args:
        weights: tensors w.
        slopes: tensors s of the same shapes.

    References:
        Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, arXiv 1906.10771.

    Examples:
        >>> import torch
        >>> taylor_score([torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 0.5])])
        10.0
    """
    pairs = zip(weights, slopes, strict=True)
    return sum(float((weight.double() * slope.double()).square().sum()) for weight, slope in pairs)


@takes_arrays
def cumulative_scores(scores: Tensor) -> Cumulative:
    """Return S_l = Σ_{k≤l} s_k / s_1 with s_k = Σ_b s_kb / B, for every layer l.

    S_1 = 1, and S never falls. Standard errors: delete-one-batch jackknife of the ratio of means, so that what the
    layers share in a batch cancels as it does in the ratio.

    Args:
        scores: s_kb ≥ 0 of layer k on batch b, shape (K, B), float64.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829.

    Examples:
        >>> import torch
        >>> cumulative_scores(torch.tensor([[2.0, 1.0, 3.0], [2.0, 3.0, 1.0]], dtype=torch.float64)).values
        [1.0, 2.0]
    """
    ratios = _ratios(scores.sum(1, keepdim=True)).squeeze(1)
    without = _ratios(leave_out(scores))
    sizes = torch.ones(scores.shape[1])
    values = ratios.tolist()
    return Cumulative(values, [jackknife_error(value, row, sizes) for value, row in zip(values, without, strict=True)])


def _ratios(scores: Tensor) -> Tensor:
    return scores.cumsum(0) / scores[:1]
