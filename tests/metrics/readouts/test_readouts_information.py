"""Mutual information, entropy and dimension against closed forms, scikit-learn, naive twins and null cases."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.special import digamma
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score
from torch import Tensor

from metrics.geometry.participation_ratio import debiased_participation_ratio, participation_ratio_of
from metrics.geometry.principal_coordinates import principal_coordinates
from metrics.readouts.information.binned_information import binned_information
from metrics.readouts.information.diagonal_entropy import diagonal_entropy
from metrics.readouts.information.leading_components import leading_components, smaller_products
from metrics.readouts.information.neighbour_information import neighbour_information


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def orders(n: int, count: int = 19, seed: int = 0) -> Tensor:
    return torch.rand(count, n, generator=generator(seed)).argsort(1)


def correlated(n: int, d: int, rho: float, seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """Return d pairs of normal variables with correlation ρ, and their mutual information −(d/2) ln(1 − ρ²)."""
    x, noise = normal(n, d, seed), normal(n, d, seed + 5000)
    return x, rho * x + math.sqrt(1 - rho**2) * noise, -d / 2 * math.log(1 - rho**2)


def components(x: Tensor) -> Tensor:
    return leading_components(x, smaller_products(x), 3)


@pytest.mark.parametrize(("n", "d"), [(520, 530), (530, 520)])
@pytest.mark.parametrize("strong", [0, 1, 5])
def test_components_of_many_examples_are_those_of_a_decomposition(strong: int, n: int, d: int) -> None:
    x = normal(n, d) if strong != 1 else normal(n, 1).expand(n, d).clone()
    x[:, :strong] *= 20 * (1 + torch.arange(strong, 0, -1))
    x = centred(x)
    found = leading_components(x, smaller_products(x), 2)
    expected = PCA(2, svd_solver="full").fit_transform(x.numpy())
    assert found.shape[1] == (1 if strong == 1 else 2)
    for own, other in zip(found.T.numpy(), expected.T, strict=False):
        assert abs(np.corrcoef(own, other)[0, 1]) == pytest.approx(1)
    assert torch.equal(found, leading_components(x, smaller_products(x), 2))


def centred(x: Tensor) -> Tensor:
    return x - x.mean(0)


def test_information_is_that_of_the_definition() -> None:
    x, y, _ = correlated(80, 2, 0.7)
    joint = np.hstack([x, y])
    reached = KDTree(joint).query(joint, 4, p=np.inf)[0][:, 3]
    terms = []
    for i, radius in enumerate(reached):
        near = [int((np.abs(part - part[i]).max(1) < radius).sum()) - 1 for part in (x.numpy(), y.numpy())]
        terms.append(digamma(3) + digamma(80) - sum(digamma(count + 1) for count in near))
    found = neighbour_information(x, y, orders(80, 0))
    assert found.value == pytest.approx(np.mean(terms), rel=1e-10)


@pytest.mark.parametrize(("d", "rho"), [(1, 0.3), (1, 0.9), (2, 0.5), (2, 0.8)])
def test_information_of_normal_pairs_is_known(d: int, rho: float) -> None:
    known = correlated(10, d, rho)[2]
    found = [neighbour_information(*correlated(300, d, rho, seed)[:2], orders(300, 0)) for seed in range(20)]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(known, abs=0.03 * known + 3 * values.std() / math.sqrt(20))
    assert 0.7 < np.mean([one.stderr or 0 for one in found]) / values.std() < 2.2


@pytest.mark.parametrize("d", [1, 2])
def test_information_of_noise_is_zero_within_its_error(d: int) -> None:
    found = [neighbour_information(normal(128, d, s), normal(128, d, s + 900), orders(128)) for s in range(40)]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(0, abs=3 * values.std() / math.sqrt(40))
    # The 97.5 % quantile of Student's t of ten blocks.
    assert np.mean([abs(one.value) < 2.26 * (one.stderr or 0) for one in found]) >= 0.9
    assert np.mean([one.chance.p is not None and one.chance.p > 0.05 for one in found]) >= 0.85
    assert np.mean([one.chance.chance or 0 for one in found]) == pytest.approx(0, abs=0.02)


def test_few_examples_have_a_value_and_no_error() -> None:
    found = neighbour_information(normal(12, 2), normal(12, 2), orders(12))
    assert math.isfinite(found.value) and found.stderr is None


def test_information_sees_what_no_correlation_shows() -> None:
    x = normal(300, 1)
    found = neighbour_information(x, x.square(), orders(300))
    assert found.value > 1.5 and found.chance.p == 0.05 and (found.chance.chance_hi or 1) < 0.3


def test_the_binned_estimate_is_the_originals_two_nats_of_noise_included() -> None:
    x, y = normal(128, 1)[:, 0], normal(128, 1, seed=1)[:, 0]
    bins = [np.digitize(part, np.linspace(part.min(), part.max(), 50)) for part in (x.numpy(), y.numpy())]
    assert binned_information(x, y) == pytest.approx(mutual_info_score(*bins), rel=1e-10)
    assert binned_information(x, y) > 1.8


@pytest.mark.parametrize(("n", "d"), [(60, 20), (20, 60), (5, 9)])
def test_components_are_those_of_scikit_learn(n: int, d: int) -> None:
    x = centred(normal(n, d) * torch.linspace(3, 0.1, d))
    found = components(x)
    expected = PCA(3, whiten=True, svd_solver="full").fit_transform(x)
    assert np.abs(found.numpy()) == pytest.approx(np.abs(expected), rel=1e-6, abs=1e-8)
    assert found.var(0).numpy() == pytest.approx(1.0)


def test_there_are_no_more_components_than_directions() -> None:
    x = centred(normal(30, 1) @ normal(1, 8))
    assert components(x).shape == (30, 1)
    assert components(torch.zeros(30, 8, dtype=torch.float64)).shape == (30, 0)
    assert components(torch.zeros(4, 8, dtype=torch.float64)).shape == (4, 0)


def test_entropy_is_that_of_independent_normal_units() -> None:
    deviations = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    values = [diagonal_entropy(centred(normal(2000, 3, seed) * deviations)) for seed in range(40)]
    known = multivariate_normal(cov=np.diag(deviations.square())).entropy()
    found = np.array([value for value, _ in values])
    assert found.mean() == pytest.approx(known, abs=4 * found.std() / math.sqrt(40) + 1e-3)
    assert np.mean([error or 0 for _, error in values]) == pytest.approx(found.std(), rel=0.35)
    x = centred(normal(50, 4))
    assert diagonal_entropy(x / 100)[0] == pytest.approx(diagonal_entropy(x)[0] - 4 * math.log(100), rel=1e-10)


def test_a_unit_that_does_not_vary_has_no_floor() -> None:
    x = centred(normal(50, 4))
    x[:, 2] = 0
    assert diagonal_entropy(x) == (-math.inf, None)


@pytest.mark.parametrize(("n", "d"), [(50, 12), (12, 50), (40, 40)])
def test_the_participation_ratio_without_a_decomposition_is_the_same(n: int, d: int) -> None:
    x = normal(n, d).exp()
    expected = debiased_participation_ratio(principal_coordinates(x))
    assert participation_ratio_of(centred(x), smaller_products(centred(x))) == pytest.approx(expected, rel=1e-9)
