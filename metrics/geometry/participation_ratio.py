"""How many directions carry a representation's variance: the participation ratio, as it is and corrected for n."""

import math
from dataclasses import dataclass

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
    rows, scatter = coordinates.rows, (len(coordinates.rows) - 1) * coordinates.variances
    squares = rows.square().sum(1)
    variances = coordinates.variances
    traces = float(variances.sum()), float(variances.square().sum())
    along, across = rows.square() @ scatter, rows @ (squares @ rows)
    return _estimate(traces, _Parts(squares, along, across, scatter.sum(), scatter.square().sum()))


def participation_ratio_of(rows: Tensor, products: Tensor) -> tuple[float, float | None]:
    """Return the same from a centred representation, without any decomposition.

    tr(S) and tr(S²) are sums of squares of the rows and of the smaller of X Xᵀ and Xᵀ X: n d min(n, d) operations.

    Args:
        rows: X, shape (n, d), float64, columns with mean 0, not all zero.
        products: X Xᵀ, shape (n, n), or Xᵀ X, shape (d, d), if d < n.

    Examples:
        >>> import torch
        >>> x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> x = x - x.mean(0)
        >>> round(participation_ratio_of(x, x.T @ x)[0], 1)
        3.0
    """
    n, units = rows.shape
    squares = rows.square().sum(1)
    if units < n:
        along, across = ((rows @ products) * rows).sum(1), rows @ (squares @ rows)
    else:
        along, across = products.square().sum(1), products @ squares
    parts = _Parts(squares, along, across, squares.sum(), along.sum())
    value, error = _estimate((float(parts.trace) / (n - 1), float(parts.square) / (n - 1) ** 2), parts)
    # Rounding may leave less.
    return value if math.isnan(value) else max(value, 1.0), error


@dataclass(frozen=True)
class _Parts:
    """What the estimate without each example is made of; A = Σ z_k z_kᵀ is the scatter matrix.

    Attributes:
        squares: s_k = ‖z_k‖², shape (n,).
        along: z_kᵀ A z_k, shape (n,).
        across: Σ_i s_i z_kᵀ z_i, shape (n,).
        trace: tr(A).
        square: tr(A²).
    """

    squares: Tensor
    along: Tensor
    across: Tensor
    trace: Tensor
    square: Tensor


def _estimate(traces: tuple[float, float], parts: _Parts) -> tuple[float, float | None]:
    """Return the estimate and its jackknife error; the traces are tr(S) and tr(S²)."""
    n = len(parts.squares)
    known = torch.tensor([*traces, float(parts.squares.square().sum())], dtype=torch.float64)
    value = float(_ratio(n, *known))
    return value, jackknife_error(value, _ratio(n - 1, *_without_each(parts)), torch.ones(n))


def _without_each(parts: _Parts) -> tuple[Tensor, Tensor, Tensor]:
    """Return tr(S), tr(S²) and Σ ‖x_k − x̄‖⁴ of all examples but one, for every example, shape (n,) each.

    Without example i the mean is −z_i / (n − 1) and the scatter matrix A − n z_i z_iᵀ / (n − 1); with m = n − 1,
    s_k = ‖z_k‖² and g_ki = z_kᵀ z_i, ‖z_k − mean‖² = s_k + 2 g_ki / m + s_i / m².
    """
    squares, along = parts.squares, parts.along
    n, left = len(squares), len(squares) - 1
    trace = parts.trace - n / left * squares
    square = parts.square - 2 * n / left * along + (n / left * squares) ** 2
    fourth = (
        squares.square().sum() + 4 / left * parts.across + 2 * squares * squares.sum() / left**2
        + 4 * along / left**2 + n * squares.square() / left**4 - (squares * (1 + 1 / left) ** 2) ** 2
    )  # fmt: skip
    freedom = max(left - 1, 1)
    return trace / freedom, square / freedom**2, fourth


def _ratio(n: int, trace: Tensor, square: Tensor, fourth: Tensor) -> Tensor:
    """Return the ratio of unbiased estimates from tr(S), tr(S²) and Σ ‖x_i − x̄‖⁴, all of one shape."""
    if n < 4:
        return torch.full_like(trace, math.nan)
    shared = n * fourth / (n - 1)
    numerator = 2 * square + (n * n - 3 * n + 1) * trace**2 - shared
    denominator = (n - 1) * (n - 2) * square + trace**2 - shared
    # Below it there is only the rounding of the difference.
    return (numerator / denominator).where(denominator > 1e-12 * n * n * square, math.nan)
