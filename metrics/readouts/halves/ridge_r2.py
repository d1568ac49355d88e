"""How much of the next stage's representation a linear map of this one gives, on examples it was not fitted to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.geometry.chance import Chance
from metrics.readouts.halves.half_smoother import HalfSmoother
from metrics.readouts.reading import Reading


def held_out_r2(smoothers: Sequence[HalfSmoother], targets: Tensor) -> Reading:
    """Return 1 − Σ_i ‖y_i − ŷ_i‖² / Σ_i ‖y_i − ȳ‖², ŷ_i and ȳ those of the half that example i is not in.

    1 if a linear map gives the targets exactly, 0 if it predicts no better than the mean, below 0 if worse: nothing is
    clipped. All units count by their variance, so that units that do not vary count for nothing. The value is unchanged
    by scales and rotations of either side.

    ``chance`` is exact: if the targets' examples are shuffled, every residual is a contrast of n exchangeable rows, and
    the ratio of expectations is 1 − Σ_i (1 + ‖w_i‖²) / Σ_i (1 + 1/m_i), w_i the weights of the prediction of i from m_i
    training examples. The error is that of a ratio of sums over examples, given both regressions.

    Args:
        smoothers: of both halves, see :func:`metrics.readouts.halves.half_smoother.half_smoothers`.
        targets: Y, shape (n, t), not the same for all examples.

    References:
        Campbell & Thompson 2008, Predicting Excess Stock Returns Out of Sample, Review of Financial Studies 21 (R²
        against the training mean).

    Examples:
        >>> import torch
        >>> from metrics.readouts.halves.half_smoother import half_smoothers
        >>> x = torch.arange(8.0)[:, None]
        >>> round(held_out_r2(half_smoothers(x, torch.arange(8) % 2, 1.0), 3 * x - 1).value, 4)
        1.0
    """
    wide = targets.double()
    wide = wide - wide.mean(0)
    residual, total, spread, plain = (torch.empty(len(wide), dtype=torch.float64) for _ in range(4))
    for one in smoothers:
        own, training = wide[one.held], wide[one.training]
        residual[one.held] = (own - one.weights @ training).square().sum(1)
        total[one.held] = (own - training.mean(0)).square().sum(1)
        spread[one.held] = 1 + one.weights.square().sum(1)
        plain[one.held] = 1 + 1 / len(training)
    ratio = float(residual.sum() / total.sum())
    n = len(wide)
    stderr = float((residual - ratio * total).square().sum().sqrt() / total.sum()) * (n / (n - 1)) ** 0.5
    return Reading(1 - ratio, stderr, Chance(1 - float(spread.sum() / plain.sum())))
