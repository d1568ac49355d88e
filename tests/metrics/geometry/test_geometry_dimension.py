"""Dimensions and entropy of a representation against closed forms and naive twins."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import digamma
from scipy.stats import multivariate_normal, ortho_group
from torch import Tensor

from metrics.geometry.effective_rank import effective_rank
from metrics.geometry.gaussian_entropy import gaussian_entropy
from metrics.geometry.participation_ratio import debiased_participation_ratio, plain_participation_ratio
from metrics.geometry.principal_coordinates import principal_coordinates, why_undefined
from metrics.statistics.jackknife import jackknife_error


def normal(n: int, d: int, seed: int = 0, scales: Tensor | None = None) -> Tensor:
    found = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return found if scales is None else found * scales


def decaying(d: int) -> Tensor:
    return torch.arange(1, d + 1, dtype=torch.float64) ** -0.7


def plain(features: Tensor) -> float:
    return plain_participation_ratio(principal_coordinates(features))


def debiased(features: Tensor) -> float:
    return debiased_participation_ratio(principal_coordinates(features))[0]


def rank(features: Tensor) -> float:
    return effective_rank(principal_coordinates(features))[0]


def entropy(features: Tensor, epsilon: float = 1e-3) -> float:
    return gaussian_entropy(principal_coordinates(features), epsilon)[0]


DIMENSIONS = (plain, debiased, rank)


@pytest.mark.parametrize(("n", "d"), [(30, 7), (12, 40), (20, 20)])
def test_coordinates_keep_distances_and_are_uncorrelated(n: int, d: int) -> None:
    features = normal(n, d) + 5
    found = principal_coordinates(features)
    assert found.rows.shape == (n, min(n - 1, d)) and found.units == d
    torch.testing.assert_close(
        torch.cdist(found.rows, found.rows), torch.cdist(features, features), rtol=1e-9, atol=1e-6
    )
    torch.testing.assert_close(torch.cov(found.rows.T), torch.diag(found.variances), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.rows.mean(0), torch.zeros(len(found.variances)).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("d", [5, 40])
def test_scatter_without_some_examples_is_that_of_the_others(d: int) -> None:
    found = principal_coordinates(normal(20, d))
    rest = found.rows[3:17]
    scatter = found.without(torch.tensor([0, 1, 2, 17, 18, 19]))
    assert scatter.count == 14
    torch.testing.assert_close(scatter.mean, rest.mean(0))
    torch.testing.assert_close(scatter.products, 13 * torch.cov(rest.T))


def test_what_has_no_geometry() -> None:
    assert why_undefined(normal(3, 2)) == "4 examples or more are needed, got 3"
    assert why_undefined(torch.full((9, 4), 0.3)) == "the output is the same for all examples"
    assert why_undefined(torch.zeros(9, 4)) == "the output is the same for all examples"
    # The last bit of a float32 is rounding; a small variation beside a large constant unit is not.
    rounding = torch.full((9, 4), 0.3)
    rounding[4] = rounding[4].nextafter(torch.tensor(1.0))
    assert why_undefined(rounding) == "the output is the same for all examples"
    assert why_undefined(torch.cat([torch.full((9, 1), 1e8), torch.eye(9)], 1)) is None


@pytest.mark.parametrize(
    ("seed", "shape", "value"),
    [(0, (64, 16), 12.604122257386118), (13, (1000, 512), 338.470721554364), (11, (20, 40), 12.764239702492953)],
)
def test_plain_ratio_equals_reference_values(seed: int, shape: tuple[int, int], value: float) -> None:
    """Values of tr(S)² / tr(S²) in float64, computed from the covariance matrix before this code was written."""
    features = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
    assert plain(features) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_correction_takes_the_number_of_examples_out(n: int) -> None:
    """Isotropic normal, d = 256: the plain ratio is 41, 112, 204; four standard deviations of the estimate, ~2d/n."""
    features = normal(n, 256, seed=n)
    assert plain(features) == pytest.approx(256 / (1 + 256 / (n - 1)), rel=0.02)
    assert debiased(features) == pytest.approx(256, rel=8 / n)


def test_estimates_are_the_means_over_quadruples() -> None:
    features = normal(7, 3, scales=decaying(3)).abs()
    numerators, denominators = [], []
    for i, j, k, m in itertools.permutations(range(7), 4):
        a, b = features[i] - features[j], features[k] - features[m]
        numerators.append(float(a @ a) * float(b @ b))
        denominators.append(float(a @ b) ** 2)
    assert debiased(features) == pytest.approx(np.mean(numerators) / np.mean(denominators), rel=1e-9)


@pytest.mark.parametrize("d", [6, 50])
def test_error_is_that_of_leaving_out_each_example(d: int) -> None:
    features = normal(37, d, scales=decaying(d))
    value, error = debiased_participation_ratio(principal_coordinates(features))
    kept = [torch.ones(37, dtype=torch.bool).index_fill_(0, block, False) for block in torch.arange(37)[:, None]]
    without = torch.tensor([debiased(features[rest]) for rest in kept], dtype=torch.float64)
    assert error == pytest.approx(jackknife_error(value, without, torch.ones(37)), rel=1e-8)


@pytest.mark.parametrize(
    "estimate",
    [
        lambda features: debiased_participation_ratio(principal_coordinates(features)),
        lambda features: effective_rank(principal_coordinates(features)),
        lambda features: gaussian_entropy(principal_coordinates(features), 1e-3),
    ],
    ids=["participation_ratio", "effective_rank", "gaussian_entropy"],
)
def test_errors_match_the_scatter(estimate: Callable[[Tensor], tuple[float, float]]) -> None:
    found = np.array([estimate(normal(120, 8, seed, decaying(8))) for seed in range(300)])
    assert math.sqrt((found[:, 1] ** 2).mean()) == pytest.approx(found[:, 0].std(), rel=0.15)


def test_errors_are_those_of_weighing_examples() -> None:
    """Adding t z_i z_iᵀ to S changes f by t times example i's influence; checked by differences, one unit dead."""
    features = torch.cat([normal(30, 4, scales=decaying(4)), torch.zeros(30, 1)], 1)
    covariance = torch.cov(features.T)

    def of_rank(matrix: Tensor) -> float:
        shares = torch.linalg.eigvalsh(matrix)[1:] / matrix.trace()
        return math.exp(-float((shares * shares.log()).sum()))

    def of_entropy(matrix: Tensor) -> float:
        raised = matrix + 0.3 * matrix.trace() / 5 * torch.eye(5, dtype=torch.float64)
        return 0.5 * float(torch.logdet(2 * math.pi * math.e * raised))

    coordinates = principal_coordinates(features)
    found = (effective_rank(coordinates), of_rank), (gaussian_entropy(coordinates, 0.3), of_entropy)
    for (value, error), function in found:
        assert value == pytest.approx(function(covariance), rel=1e-9)
        moved = [function(covariance + 1e-6 * torch.outer(z, z)) for z in features - features.mean(0)]
        influences = (np.array(moved) - value) / 1e-6
        assert error == pytest.approx(influences.std(ddof=1) / math.sqrt(30), rel=1e-4)


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 5), (30, 30)])
def test_dimensions_lie_within_their_bounds(n: int, d: int) -> None:
    features = normal(n, d, scales=decaying(d))
    assert 1 <= plain(features) <= rank(features) <= min(n - 1, d)
    assert debiased(features) >= 1


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize(("n", "d"), [(60, 9), (20, 50)])
def test_dimensions_do_not_depend_on_rotation_scale_or_mean(
    dimension: Callable[[Tensor], float], n: int, d: int
) -> None:
    features = normal(n, d, scales=decaying(d))
    rotation = torch.from_numpy(ortho_group.rvs(d, random_state=1))
    value = dimension(features)
    assert dimension(features @ rotation) == pytest.approx(value, rel=1e-9)
    assert dimension(1e-6 * features - 3) == pytest.approx(value, rel=1e-6)
    assert dimension(torch.cat([features, torch.zeros(n, 30)], 1)) == pytest.approx(value, rel=1e-9)
    assert dimension((features + 100).float()) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_one_direction_has_dimension_one(dimension: Callable[[Tensor], float]) -> None:
    line = torch.outer(normal(30, 1)[:, 0], normal(6, 1, seed=1)[:, 0])
    assert dimension(line) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("dimension", [plain, rank])
def test_equal_variances_count_every_direction(dimension: Callable[[Tensor], float]) -> None:
    basis = torch.linalg.qr(normal(30, 6) - normal(30, 6).mean(0)).Q
    assert dimension(basis) == pytest.approx(6, rel=1e-9)


def test_effective_rank_is_the_exponential_of_the_entropy_of_shares() -> None:
    features = normal(40, 6, scales=decaying(6))
    values = np.linalg.eigvalsh(np.cov(features.numpy().T))
    shares = values / values.sum()
    assert rank(features) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-9)


def test_directions_that_cannot_be_counted_are_nan() -> None:
    """Corners of a simplex: all differences of disjoint pairs are orthogonal, the estimate of tr(Σ²) is zero."""
    value, error = debiased_participation_ratio(principal_coordinates(torch.eye(9)))
    assert math.isnan(value) and error is None


def test_four_examples_have_a_value_and_no_error() -> None:
    value, error = debiased_participation_ratio(principal_coordinates(normal(4, 2)))
    assert math.isnan(value) or value >= 1
    assert error is None


def test_entropy_is_that_of_the_normal_distribution() -> None:
    basis = torch.linalg.qr(normal(50, 4) - normal(50, 4).mean(0)).Q
    scales = torch.tensor([3.0, 1.0, 0.5, 0.01], dtype=torch.float64)
    covariance = np.diag((scales**2).numpy())
    epsilon = 1e-3 * np.trace(covariance) / 4
    expected = multivariate_normal(cov=covariance + epsilon * np.eye(4)).entropy()
    assert entropy(basis * scales * 7) == pytest.approx(expected, rel=1e-9)  # √49 makes S the covariance
    assert entropy(basis * scales) == pytest.approx(expected - 4 * math.log(7), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(60, 9), (20, 50)])
def test_entropy_shifts_with_the_scale_alone(n: int, d: int) -> None:
    features = normal(n, d, scales=decaying(d))
    value = entropy(features)
    assert entropy(100 * features) - value == pytest.approx(d * math.log(100), rel=1e-9)
    assert entropy(features @ torch.from_numpy(ortho_group.rvs(d, random_state=1))) == pytest.approx(value, rel=1e-9)
    assert entropy((features + 100).float()) == pytest.approx(value, rel=1e-4)


def test_a_dead_unit_counts_as_one_of_variance_epsilon() -> None:
    features = normal(50, 3)
    padded = torch.cat([features, torch.zeros(50, 1)], 1)
    covariance = np.cov(padded.numpy().T)
    raised = covariance + 1e-3 * np.trace(covariance) / 4 * np.eye(4)
    assert entropy(padded) == pytest.approx(multivariate_normal(cov=raised).entropy(), rel=1e-9)


def test_entropy_of_samples_is_low_by_what_is_known() -> None:
    """E ln det S = ln det Σ + Σ_j ψ((n − j) / 2) − ln((n − 1) / 2), j = 1 … d; about −d² / (2n)."""
    n, d = 100, 5
    found = np.array([entropy(normal(n, d, seed), 1e-9) for seed in range(400)])
    bias = 0.5 * sum(digamma((n - j) / 2) - math.log((n - 1) / 2) for j in range(1, d + 1))
    expected = 0.5 * d * math.log(2 * math.pi * math.e) + bias
    assert abs(found.mean() - expected) < 4 * found.std() / 20
    assert bias == pytest.approx(-(d**2) / (4 * n), rel=0.25)
