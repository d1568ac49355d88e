"""Stochastic Lanczos quadrature: the spectrum of a large symmetric matrix as a density, and sums over it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metrics.hessian.lanczos import Ritz
from metrics.jackknife import jackknife_error

_POINTS = 201
_SMALL = 0.01


@dataclass(frozen=True)
class Spread:
    """One number about a spectrum, with its standard error over runs (None if there is one run or it is exact)."""

    value: float
    error: float | None


@dataclass(frozen=True)
class Summaries:
    """Numbers about the spectrum λ_1 … λ_d of a symmetric matrix, whose singular values are the |λ|.

    Attributes:
        negative_share: Σ_{λ<0} |λ| / Σ |λ|; NaN if all are 0.
        nuclear: Σ |λ|, the sum of the singular values.
        skewness: third standardised moment of the singular values; NaN if they are equal.
        small_share: share of the singular values below 1 % of the largest.
    """

    negative_share: Spread
    nuclear: Spread
    skewness: Spread
    small_share: Spread


def summaries(runs: Sequence[Ritz], size: int, exact: bool) -> Summaries:
    """Return sums over a spectrum, each (1/d) Σ f(λ) ≈ the mean over runs of Σ weights · f(θ).

    Args:
        runs: Lanczos runs from vectors of independent signs, or one run that holds all eigenvalues.
        size: d.
        exact: whether it is the latter.

    References:
        Ghorbani, Krishnan & Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density,
        arXiv 1901.10159; Ubaru, Chen & Saad 2017, Fast Estimation of tr(f(A)) via Stochastic Lanczos Quadrature.
    """
    largest = max(float(np.abs(run.values).max()) for run in runs)

    def moments(run: Ritz) -> np.ndarray:
        singular, weights = np.abs(run.values), run.weights
        below = weights @ (singular < _SMALL * largest)
        return np.array(
            [weights @ singular**power for power in (1, 2, 3)] + [weights @ (singular * (run.values < 0)), below]
        )

    table = np.stack([moments(run) for run in runs])

    def spread(function: Callable[[np.ndarray], float]) -> Spread:
        value = function(table.mean(0))
        if exact or len(runs) < 2:
            return Spread(value, None)
        without = [function(np.delete(table, place, 0).mean(0)) for place in range(len(runs))]
        sizes = torch.ones(len(runs))
        return Spread(value, jackknife_error(value, torch.tensor(without, dtype=torch.float64), sizes))

    return Summaries(
        negative_share=spread(lambda sums: float(sums[3] / sums[0]) if sums[0] > 0 else math.nan),
        nuclear=spread(lambda sums: float(size * sums[0])),
        skewness=spread(_skewness),
        small_share=spread(lambda sums: float(np.clip(sums[4], 0, 1))),
    )


def spectral_density(runs: Sequence[Ritz]) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and the density of the spectrum at each, a sum of Gaussians that integrates to 1.

    Each Ritz value θ is widened by 0.1 |θ| and a thousandth of the largest, so that the bulk around zero stays as
    narrow as it is beside outliers; the mean of the density is that of the eigenvalues.

    Args:
        runs: see :func:`summaries`.

    Returns:
        Eigenvalues, ascending, as close together as the widths are there, and densities, each of shape (201,).
    """
    values = np.concatenate([run.values for run in runs])
    weights = np.concatenate([run.weights for run in runs]) / len(runs)
    least = 1e-3 * (float(np.abs(values).max()) or 1e-12)
    widths = 0.1 * np.abs(values) + least
    low, high = float((values - 4 * widths).min()), float((values + 4 * widths).max())
    grid = least * np.sinh(np.linspace(np.arcsinh(low / least), np.arcsinh(high / least), _POINTS))
    bumps = np.exp(-((grid[:, None] - values) ** 2) / (2 * widths**2)) / (widths * math.sqrt(2 * math.pi))
    return grid, bumps @ weights


def _skewness(sums: np.ndarray) -> float:
    mean, second, third = sums[:3]
    variance = second - mean**2
    if variance <= 1e-12 * second:
        return math.nan
    return float((third - 3 * mean * second + 2 * mean**3) / variance**1.5)
