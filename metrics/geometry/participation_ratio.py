"""How many directions carry a representation's variance: the participation ratio, as it is and corrected for n."""

import math

import torch
from torch import Tensor

from metrics.geometry.principal_coordinates import PrincipalCoordinates
from metrics.statistics.jackknife import jackknife_error


def plain_participation_ratio(coordinates: PrincipalCoordinates) -> float:
    """Return tr(S)² / tr(S²) of the sample covariance S, at least 1 and at most min(n − 1, d).

    It grows with the number n of examples: d / (1 + d / (n − 1)) for an isotropic normal distribution in d dimensions.

    References:
        Gao et al. 2017, A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv 214262.
    """
    return float(coordinates.variances.sum() ** 2 / coordinates.variances.square().sum())


def debiased_participation_ratio(coordinates: PrincipalCoordinates) -> tuple[float, float | None]:
    """Return an estimate of tr(Σ)² / tr(Σ²) of the distribution that the examples come from, and its standard error.

    Numerator and denominator are replaced by their unbiased estimates, the means over all quadruples of different
    examples of ‖x_i − x_j‖² ‖x_k − x_l‖² / 4 and ((x_i − x_j)ᵀ(x_k − x_l))² / 4. With a = tr(S), b = tr(S²) and
    Q = Σ ‖x_i − x̄‖⁴ / (n − 1) their ratio is

        (2b + (n² − 3n + 1) a² − nQ) / ((n − 1)(n − 2) b + a² − nQ).

    Both are exact for any distribution; what is left of the bias is that of a ratio.

    Args:
        coordinates: of n ≥ 4 examples.

    Returns:
        The value, at least 1, not bounded by d; NaN if the estimated denominator is not positive, that is if there
        are far more directions than n can show. The error is delete-one-example jackknife; None if one of its values is
        not defined.

    References:
        Himeno & Yamada 2014, Estimations for some functions of covariance matrix in high dimension under
        non-normality, JMVA 130 (the estimates); Chun et al. 2025, Estimating Dimensionality of Neural
        Representations from Finite Samples, arXiv 2509.26560 (the ratio, there called row-corrected).
    """
    rows, variances = coordinates.rows, coordinates.variances
    fourth = float(rows.square().sum(1).square().sum())
    value = _ratio(len(rows), float(variances.sum()), float(variances.square().sum()), fourth)
    pairs = zip(*(numbers.tolist() for numbers in _without_each(coordinates)), strict=True)
    without = torch.tensor([_ratio(len(rows) - 1, *numbers) for numbers in pairs], dtype=torch.float64)
    return value, jackknife_error(value, without, torch.ones(len(rows)))


def _without_each(coordinates: PrincipalCoordinates) -> tuple[Tensor, Tensor, Tensor]:
    """Return tr(S), tr(S²) and Σ ‖x_k − x̄‖⁴ of all examples but one, for every example, shape (n,) each.

    Without example i the mean is −z_i / (n − 1) and the scatter matrix A − n z_i z_iᵀ / (n − 1); with m = n − 1,
    s_k = ‖z_k‖² and g_ki = z_kᵀ z_i, ‖z_k − mean‖² = s_k + 2 g_ki / m + s_i / m².
    """
    rows, scatter = coordinates.rows, (len(coordinates.rows) - 1) * coordinates.variances
    n, left = len(rows), len(rows) - 1
    squares = rows.square().sum(1)
    along = rows.square() @ scatter
    trace = scatter.sum() - n / left * squares
    square = scatter.square().sum() - 2 * n / left * along + (n / left * squares) ** 2
    fourth = (
        squares.square().sum() + 4 / left * (rows @ (squares @ rows)) + 2 * squares * squares.sum() / left**2
        + 4 * along / left**2 + n * squares.square() / left**4 - (squares * (1 + 1 / left) ** 2) ** 2
    )  # fmt: skip
    freedom = max(left - 1, 1)
    return trace / freedom, square / freedom**2, fourth


def _ratio(n: int, trace: float, square: float, fourth: float) -> float:
    """Return the ratio of unbiased estimates from tr(S), tr(S²) and Σ ‖x_i − x̄‖⁴."""
    if n < 4:
        return math.nan
    shared = n * fourth / (n - 1)
    numerator = 2 * square + (n * n - 3 * n + 1) * trace**2 - shared
    denominator = (n - 1) * (n - 2) * square + trace**2 - shared
    # Below it there is only the rounding of the difference.
    return numerator / denominator if denominator > 1e-12 * n * n * square else math.nan
