"""SVCCA and PWCCA against principal angles, scikit-learn and their definitions."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA
from torch import Tensor

from metrics.compare.measures.cca import PWCCA, SVCCA


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def pair(n: int = 200, p: int = 6, q: int = 4) -> tuple[Tensor, Tensor]:
    x = normal(0, n, p) * torch.linspace(1, 3, p) + 2
    return x, x @ normal(1, p, q) + 4 * normal(2, n, q)


def value(measure: SVCCA | PWCCA, x: Tensor, y: Tensor) -> float:
    return float(measure.compare([x, y], [(0, 1)], 0, 0)[0].value[0])


def correlations(x: Tensor, y: Tensor) -> np.ndarray:
    """Return canonical correlations as cosines of principal angles, ascending."""
    cosines: np.ndarray = np.cos(subspace_angles((x - x.mean(0)).numpy(), (y - y.mean(0)).numpy()))
    return cosines


def directions(x: Tensor, share: float) -> Tensor:
    """Return the scores of the fewest principal directions with a share of the variance."""
    left, singular, _ = np.linalg.svd((x - x.mean(0)).numpy(), full_matrices=False)
    shares = np.cumsum(singular**2) / np.sum(singular**2)
    kept = next(k for k in range(1, len(shares) + 1) if shares[k - 1] >= share)
    return torch.from_numpy(left[:, :kept] * singular[:kept])


def test_all_of_the_variance_gives_the_mean_cosine_of_principal_angles() -> None:
    x, y = pair()
    assert value(SVCCA(1.0), x, y) == pytest.approx(correlations(x, y).mean(), rel=1e-9)


def test_correlations_are_those_of_scikit_learn() -> None:
    x, y = pair()
    model = CCA(n_components=4, scale=False, max_iter=5000, tol=1e-12).fit(x.numpy(), y.numpy())
    scores = zip(*(side.T for side in model.transform(x.numpy(), y.numpy())), strict=True)
    found = [np.corrcoef(a, b)[0, 1] for a, b in scores]
    assert value(SVCCA(1.0), x, y) == pytest.approx(np.mean(found), rel=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_directions_with_little_variance_are_left_out(share: float) -> None:
    x = normal(0, 200, 12) * torch.arange(1, 13) ** -1.5
    y = x @ normal(1, 12, 12) + 0.1 * normal(2, 200, 12)
    first, second = directions(x, share), directions(y, share)
    assert first.shape[1] < 12
    assert value(SVCCA(share), x, y) == pytest.approx(correlations(first, second).mean(), rel=1e-9)


def test_linear_maps_change_nothing_if_everything_is_kept() -> None:
    x, y = pair()
    assert value(SVCCA(1.0), x @ normal(5, 6, 6), y) == pytest.approx(value(SVCCA(1.0), x, y), rel=1e-9)


def weighted(x: Tensor, y: Tensor) -> float:
    """Return projection-weighted CCA by its definition, weighted by the first side."""
    a, b = ((z - z.mean(0)).numpy() for z in (x, y))
    first, second = (np.linalg.qr(z)[0] for z in (a, b))
    left, found, _ = np.linalg.svd(first.T @ second, full_matrices=False)
    variates = first @ left
    weights = [sum(abs(float(h @ unit)) for unit in a.T) for h in variates.T]
    return float(np.average(found, weights=weights))


@pytest.mark.parametrize(("p", "q"), [(6, 4), (4, 6), (5, 5)])
def test_pwcca_is_the_mean_of_both_weightings(p: int, q: int) -> None:
    x, y = pair(p=p, q=q)
    first, second = weighted(x, y), weighted(y, x)
    assert abs(first - second) > 1e-3
    assert value(PWCCA(), x, y) == pytest.approx((first + second) / 2, rel=1e-9)


def test_pwcca_sees_rotations_but_no_order_of_units() -> None:
    x, y = pair()
    assert value(PWCCA(), x[:, [3, 1, 0, 5, 4, 2]], y) == pytest.approx(value(PWCCA(), x, y), rel=1e-12)
    assert abs(value(PWCCA(), x @ torch.linalg.qr(normal(5, 6, 6)).Q, y) - value(PWCCA(), x, y)) > 1e-4


def test_what_agrees_only_where_there_is_little_variance_counts_little() -> None:
    shared, x, y = normal(0, 500, 3), normal(1, 500, 3), normal(2, 500, 3)
    small = [torch.cat([0.01 * shared, z], 1) for z in (x, y)]
    large = [torch.cat([shared, 0.01 * z], 1) for z in (x, y)]
    assert value(PWCCA(), *small) < 0.2 < 0.9 < value(PWCCA(), *large)
    assert value(SVCCA(), *small) < 0.2 < 0.9 < value(SVCCA(), *large)


def test_rounding_errors_are_no_directions() -> None:
    x, y = ((z @ normal(9, z.shape[1], 30)).float() for z in pair())
    assert value(PWCCA(), x, y) == pytest.approx(value(PWCCA(), x.double(), y.double()), abs=1e-4)
    # Ten directions at most: sixty would need more examples.
    assert np.isfinite(value(PWCCA(), x[:50], y[:50]))


@pytest.mark.parametrize("measure", [SVCCA(1.0), PWCCA()], ids=["svcca", "pwcca"])
def test_too_few_examples_force_correlations_and_have_no_value(measure: SVCCA | PWCCA) -> None:
    x, y = normal(0, 11, 6), normal(1, 11, 4)
    assert correlations(x[:10], y[:10]).max() == pytest.approx(1)
    assert correlations(x, y).max() < 1 - 1e-6
    assert 0 < value(measure, x, y) < 1
    (found,) = measure.compare([x[:10], y[:10]], [(0, 1)], 5, 0)
    assert np.isnan(found.value[0])
    reason = "correlations of 6 and 4 directions need more than 10 probe examples, got 10"
    assert found.reasons == {0: reason}


@pytest.mark.parametrize("variance", [0.0, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(variance: float) -> None:
    with pytest.raises(ValueError, match=r"variance must be in \(0, 1\], got"):
        SVCCA(variance)
