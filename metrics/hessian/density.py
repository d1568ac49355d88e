"""Stochastic Lanczos quadrature: the spectrum of a large symmetric matrix as a density, and sums over it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

from metrics.hessian.lanczos import Ritz
from metrics.statistics.jackknife import jackknife_error

_POINTS = 201
_SMALL = 0.01


@dataclass(frozen=True)
class SpectrumNumber:
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

    negative_share: SpectrumNumber
    nuclear: SpectrumNumber
    skewness: SpectrumNumber
    small_share: SpectrumNumber


def summaries(known: np.ndarray, runs: Sequence[Ritz], size: int) -> Summaries:
    """Return sums over a spectrum, each Σ f(λ) = Σ f(known) + the mean over runs of Σ weights · f(θ) for the rest.

    Few steps of Lanczos integrate polynomials exactly, but |λ| has a kink at zero, where most eigenvalues are: the sums
    are off by up to a third, in turns too small and too large from one step to the next. So each run is integrated
    twice, by Gauss' rule of all steps but one and by the anti-Gauss rule, whose error is of about the same size and
    opposite; their mean is the value. Its error is made of the spread over runs (jackknife) and of half their
    difference.

    Args:
        known: eigenvalues that are known, shape (k,); all of them if there are no runs, which makes the sums exact.
        runs: Lanczos runs from vectors of independent signs without the eigenvectors of the known ones.
        size: d.

    References:
        Ghorbani, Krishnan & Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density,
        arXiv 1901.10159; Ubaru, Chen & Saad 2017, Fast Estimation of tr(f(A)) via Stochastic Lanczos Quadrature;
        Laurie 1996, Anti-Gaussian Quadrature Formulas, Mathematics of Computation 65.
    """
    largest = max(float(np.abs(values).max()) for values in (known, *(run.values for run in runs)) if len(values))

    def moments(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        singular = np.abs(values)
        sums = [weights @ singular**power for power in (1, 2, 3)]
        small = singular < _SMALL * largest
        next_above = weights[np.argmin(np.where(small, np.inf, singular))]
        return np.array([*sums, weights @ (singular * (values < 0)), weights @ small, next_above]) / size

    head = moments(known, np.ones(len(known))) if len(known) else np.zeros(6)
    head[-1] = 0.0
    rules = [(_gauss(run), _anti_gauss(run)) for run in runs]
    tables = [
        np.stack([head + moments(values, (size - len(known)) * weights) for values, weights in rule])
        for rule in zip(*rules, strict=True)
    ] or [head[None]] * 2

    def number(function: Callable[[np.ndarray], float], resolution: float = 0.0) -> SpectrumNumber:
        table = (tables[0] + tables[1]) / 2
        value = function(table.mean(0))
        if len(runs) < 2 or not math.isfinite(value):
            return SpectrumNumber(value, None)
        without = [function(np.delete(table, place, 0).mean(0)) for place in range(len(runs))]
        jackknife = jackknife_error(value, torch.tensor(without, dtype=torch.float64), torch.ones(len(runs)))
        apart = (function(tables[0].mean(0)) - function(tables[1].mean(0))) / 2
        error = math.nan if jackknife is None else math.hypot(jackknife, apart, resolution)
        return SpectrumNumber(value, error if math.isfinite(error) else None)

    return Summaries(
        negative_share=number(lambda sums: float(sums[3] / sums[0]) if sums[0] > 0 else math.nan),
        nuclear=number(lambda sums: float(size * sums[0])),
        skewness=number(_skewness),
        # What is next above the limit may stand for values on both sides of it.
        small_share=number(lambda sums: float(np.clip(sums[4], 0, 1)), float(tables[0][:, 5].mean()) / 2),
    )


def spectral_density(known: np.ndarray, runs: Sequence[Ritz], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and the density of the spectrum at each, a sum of Gaussians that integrates to 1.

    Each Ritz value θ is widened by 0.1 |θ| and a thousandth of the largest, so that the bulk around zero stays as
    narrow as it is beside outliers; the mean of the density is that of the eigenvalues.

    Args:
        known: eigenvalues that are known, shape (k,).
        runs: Lanczos runs on the rest, see :func:`summaries`.
        size: d.

    Returns:
        Eigenvalues, ascending, as close together as the widths are there, and densities, each of shape (201,).
    """
    values = np.concatenate([known, *(run.values for run in runs)])
    rest = (size - len(known)) / size / max(len(runs), 1)
    weights = np.concatenate([np.full(len(known), 1 / size), *(rest * run.weights for run in runs)])
    least = 1e-3 * (float(np.abs(values).max()) or 1e-12)
    widths = 0.1 * np.abs(values) + least
    low, high = float((values - 4 * widths).min()), float((values + 4 * widths).max())
    grid = least * np.sinh(np.linspace(np.arcsinh(low / least), np.arcsinh(high / least), _POINTS))
    bumps = np.exp(-((grid[:, None] - values) ** 2) / (2 * widths**2)) / (widths * math.sqrt(2 * math.pi))
    return grid, bumps @ weights


def _gauss(run: Ritz) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss' rule of all steps but the last; of all, if they found the spectrum whole."""
    last = len(run.diagonal) if run.complete else max(len(run.diagonal) - 1, 1)
    return _rule(run.diagonal[:last], run.below[: last - 1])


def _anti_gauss(run: Ritz) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the rule whose error is opposite, its nodes kept where the spectrum is."""
    below = run.below[:-1].copy()
    if not run.complete:
        below[-1:] *= math.sqrt(2)
    values, weights = _rule(run.diagonal, below)
    return np.clip(values, run.values.min(), run.values.max()), weights


def _rule(diagonal: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = eigh_tridiagonal(diagonal, below)
    return values, vectors[0] ** 2


def _skewness(sums: np.ndarray) -> float:
    mean, second, third = sums[:3]
    variance = second - mean**2
    if variance <= 1e-12 * second:
        return math.nan
    return float((third - 3 * mean * second + 2 * mean**3) / variance**1.5)
