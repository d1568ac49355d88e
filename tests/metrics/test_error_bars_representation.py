"""Representations drawn again and again: how often value ± t(n − 1) · stderr covers what they were drawn from."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import Tensor

from metrics.geometry.class_variance import within_class_share
from metrics.geometry.participation_ratio import debiased_participation_ratio
from metrics.geometry.principal_coordinates import principal_coordinates


def drawn(n: int, centres: Tensor, scales: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return examples of five classes, of unequal lengths about their class's centre, and the classes."""
    labels = torch.randint(len(centres), (n,), generator=generator)
    noise = torch.randn(n, len(scales), generator=generator, dtype=torch.float64) * scales
    lengths = torch.exp(0.3 * torch.randn(n, 1, generator=generator, dtype=torch.float64))
    return centres[labels] + noise * lengths, labels


@pytest.mark.slow
@pytest.mark.parametrize(("n", "repeats"), [(100, 250), (1000, 120)])
@pytest.mark.parametrize(("units", "decay"), [(20, 1.0), (60, 0.5)])
def test_intervals_cover_dimension_and_class_share(n: int, repeats: int, units: int, decay: float) -> None:
    generator = torch.Generator().manual_seed(units)
    scales = torch.arange(1, units + 1, dtype=torch.float64) ** -decay
    centres = torch.randn(5, units, generator=generator, dtype=torch.float64) * scales
    within = (scales**2 * np.exp(2 * 0.3**2)).diag()
    spread = centres - centres.mean(0)
    covariance = within + spread.T @ spread / 5
    ratio = float(covariance.trace() ** 2 / covariance.square().sum())
    share = float(within.trace() / covariance.trace())
    covered = []
    for _ in range(repeats):
        features, labels = drawn(n, centres, scales, generator)
        coordinates = principal_coordinates(features)
        dimension, error = debiased_participation_ratio(coordinates)
        part, part_error = within_class_share(coordinates, labels)
        assert error is not None and part_error is not None
        unbiased = (n - 1) / (n - 5)
        width = student.ppf(0.975, n - 1)
        covered.append(
            (
                abs(dimension - ratio) <= width * error,
                abs(part * unbiased - share) <= width * part_error * unbiased,
                abs(part - share) <= width * part_error,
            )
        )
    shares = np.mean(covered, 0)
    assert (shares[:2] >= 0.90).all() and (shares[:2] <= 0.98).all(), shares
    # Its own bias, (K − 1) / (n − 1), is that of chance.
    assert shares[2] >= (0.75 if n < 1000 else 0.88), shares
