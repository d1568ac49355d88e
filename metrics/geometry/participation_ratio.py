"""How many directions carry a representation's variance: the participation ratio, as it is and corrected for n."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.geometry.principal_coordinates import PrincipalCoordinates
from metrics.jackknife import jackknife_error


def plain_participation_ratio(coordinates: PrincipalCoordinates) -> float:
    """Return tr(S)² / tr(S²) of the sample covariance S, at least 1 and at most min(n − 1, d).

    It grows with the number n of records: d / (1 + d / (n − 1)) for an isotropic normal distribution in d dimensions.

    References:
        Gao et al. 2017, A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv 214262.
    """
    return float(coordinates.variances.sum() ** 2 / coordinates.variances.square().sum())


def debiased_participation_ratio(
    coordinates: PrincipalCoordinates, blocks: Sequence[Tensor]
) -> tuple[float, float | None]:
    """Return an estimate of tr(Σ)² / tr(Σ²) of the distribution that the records come from, and its standard error.

    Numerator and denominator are replaced by their unbiased estimates, the means over all quadruples of different
    records of ‖x_i − x_j‖² ‖x_k − x_l‖² / 4 and ((x_i − x_j)ᵀ(x_k − x_l))² / 4. With a = tr(S), b = tr(S²) and
    Q = Σ ‖x_i − x̄‖⁴ / (n − 1) their ratio is

        (2b + (n² − 3n + 1) a² − nQ) / ((n − 1)(n − 2) b + a² − nQ).

    Both are exact for any distribution; what is left of the bias is that of a ratio.

    Args:
        coordinates: of n ≥ 4 records.
        blocks: index tensors that split the records, for the delete-a-block jackknife.

    Returns:
        The value, at least 1, not bounded by d; NaN if the estimated denominator is not positive, that is if there
        are far more directions than n can show. The error is None if a jackknife value is not defined.

    References:
        Himeno & Yamada 2014, Estimations for some functions of covariance matrix in high dimension under
        non-normality, JMVA 130 (the estimates); Chun et al. 2025, Estimating Dimensionality of Neural
        Representations from Finite Samples, arXiv 2509.26560 (the ratio, there called row-corrected).
    """
    rows, variances = coordinates.rows, coordinates.variances
    fourth = float(rows.square().sum(1).square().sum())
    value = _ratio(len(rows), float(variances.sum()), float(variances.square().sum()), fourth)
    kept = torch.ones(len(rows), dtype=torch.bool)
    without = []
    for block in blocks:
        rest = coordinates.without(block)
        kept[block] = False
        fourth = float((rows[kept] - rest.mean).square().sum(1).square().sum())
        kept[block] = True
        freedom = max(rest.count - 1, 1)
        trace = float(rest.products.trace()) / freedom
        without.append(_ratio(rest.count, trace, float(rest.products.square().sum()) / freedom**2, fourth))
    sizes = torch.tensor([len(block) for block in blocks])
    return value, jackknife_error(value, torch.tensor(without, dtype=torch.float64), sizes)


def _ratio(n: int, trace: float, square: float, fourth: float) -> float:
    """Return the ratio of unbiased estimates from tr(S), tr(S²) and Σ ‖x_i − x̄‖⁴."""
    if n < 4:
        return math.nan
    shared = n * fourth / (n - 1)
    numerator = 2 * square + (n * n - 3 * n + 1) * trace**2 - shared
    denominator = (n - 1) * (n - 2) * square + trace**2 - shared
    # Below it there is only the rounding of the difference.
    return numerator / denominator if denominator > 1e-12 * n * n * square else math.nan
