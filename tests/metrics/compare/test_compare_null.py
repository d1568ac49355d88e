"""The closed-form permutation null against all permutations, and against random ones."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import pearson3
from torch import Tensor

from metrics.compare.chance.permutation_null import SMALLEST_P, cubes, null_band, null_deviation, skewness
from metrics.compare.chance.permutations import example_permutations, sampled_null
from metrics.compare.measures.cka import CKA
from metrics.compare.products.centred import centred
from metrics.geometry.chance import against_chance
from metrics.statistics.chance_quantile import chance_quantile
from tests.metrics.compare.test_compare_cka import normal, u_centred


def representation(seed: int, examples: int, decay: float, units: int) -> Tensor:
    return normal(seed, examples, units) * torch.arange(1, units + 1, dtype=torch.float64).pow(-decay)


@pytest.mark.parametrize("examples", [6, 7])
def test_moments_are_those_over_all_permutations(examples: int) -> None:
    x, y = representation(0, examples, 0.5, 3), representation(1, examples, 0.0, 2)
    a, b = u_centred(x), u_centred(y)
    orders = [list(order) for order in itertools.permutations(range(examples))]
    values = np.array([(a * b[np.ix_(order, order)]).sum() for order in orders])
    values /= math.sqrt((a**2).sum() * (b**2).sum())
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.std() == pytest.approx(null_deviation(examples), rel=1e-12)
    (found,) = skewness([cubes(centred(x))], [cubes(centred(y))], examples)
    assert found == pytest.approx((values**3).mean() / values.std() ** 3, rel=1e-5)


@pytest.mark.parametrize("units", [5, 50])
def test_cubes_are_those_of_the_matrix(units: int) -> None:
    x = representation(0, 30, 0.7, units)
    a = u_centred(x)
    scale = (a**2).sum() ** 1.5
    found = cubes(centred(x))
    # Cubes of both signs cancel: float32 leaves its rounding of their sizes.
    rounding = 1e-6 * (abs(a) ** 3).sum() / scale
    assert found.elements == pytest.approx((a**3).sum() / scale, rel=1e-4, abs=rounding)
    assert found.trace == pytest.approx(np.trace(a @ a @ a) / scale, rel=1e-5)


@pytest.mark.parametrize(("decay", "units"), [(0.0, 40), (1.0, 40), (0.0, 1), (2.0, 10)])
def test_the_quantile_is_that_of_random_permutations(decay: float, units: int) -> None:
    examples = 80
    x, y = representation(0, examples, decay, units), representation(1, examples, decay, units)
    found = CKA().compare([x, y], [(0, 1)], 0, 0)[0]
    assert found.chance is not None and found.chance_hi is not None and found.p is not None
    a, b = u_centred(x), u_centred(y)
    orders = example_permutations(examples, 3000, seed=1).numpy()
    values = np.array([(a * b[np.ix_(order, order)]).sum() for order in orders])
    values /= math.sqrt((a**2).sum() * (b**2).sum())
    assert found.chance[0] == 0
    assert np.mean(values > found.chance_hi[0]) == pytest.approx(0.05, abs=0.012)
    assert found.p[0] == pytest.approx(np.mean(values >= found.value[0]), abs=0.05)


def test_p_values_of_independent_representations_are_uniform() -> None:
    found = [CKA().compare([normal(s, 50, 6), normal(s + 500, 50, 3)], [(0, 1)], 0, 0)[0].p for s in range(200)]
    p = np.array([one[0] for one in found if one is not None])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_p_value_stops_where_the_fit_does() -> None:
    x = normal(0, 300, 20)
    found = CKA().compare([x, x + 0.1 * normal(1, 300, 20)], [(0, 1)], 0, 0)[0]
    assert found.p is not None and found.p[0] == SMALLEST_P


@pytest.mark.parametrize("permutations", [0, 200])
def test_the_biased_null_is_sampled(permutations: int) -> None:
    x, y = normal(0, 40, 30), normal(1, 40, 30)
    found = CKA("biased").compare([x, y], [(0, 1)], permutations, seed=5)[0]
    assert found.chance is not None and found.chance_hi is not None and found.p is not None
    if permutations == 0:
        assert np.isnan([found.chance[0], found.chance_hi[0], found.p[0]]).all()
        return
    # E tr(K P L Pᵀ) = tr K tr L / (n − 1) over all permutations of centred Gram matrices.
    k, l_ = centred(x), centred(y)
    own = [float((item.rows @ item.rows.T).square().sum()) for item in (k, l_)]
    traces = [float(item.squares.sum()) for item in (k, l_)]
    assert found.chance[0] == pytest.approx(traces[0] * traces[1] / 39 / math.sqrt(own[0] * own[1]), rel=0.02)
    assert found.chance[0] < found.chance_hi[0] < 1
    assert found.p[0] > 0.01


def test_sampled_bands_of_distances_end_below() -> None:
    shuffled = [np.linspace(0.5, 1.5, 101)]
    mean, end, p = sampled_null(shuffled, np.array([0.55]), upper=False)
    # Of 101 the value of rank 0.05 · 102 = 5.1.
    assert (mean[0], end[0]) == (pytest.approx(1.0), pytest.approx(0.541))
    assert p[0] == pytest.approx(7 / 102)


@pytest.mark.parametrize("count", [19, 20, 37, 100])
@pytest.mark.parametrize("upper", [True, False])
def test_a_further_value_of_chance_passes_the_band_one_time_in_twenty(count: int, upper: bool) -> None:
    values = np.random.default_rng(count).standard_exponential((40_000, count + 1))
    ends = chance_quantile(values[:, 1:], upper)
    passed = values[:, 0] > ends if upper else values[:, 0] < ends
    # Interpolating where the density falls adds a little.
    assert np.mean(passed) == pytest.approx(0.05, abs=0.005)


def test_too_few_values_of_chance_have_no_band() -> None:
    assert np.isnan(chance_quantile(np.zeros((3, 18)), upper=True)).tolist() == [True] * 3
    (found,) = (one for one in CKA("biased").compare([normal(0, 9, 2), normal(1, 9, 2)], [(0, 1)], 18, 0)[:1])
    assert found.chance is not None and found.chance_hi is not None and found.p is not None
    assert np.isnan(found.chance_hi[0]) and np.isfinite([found.chance[0], found.p[0]]).all()
    few = against_chance(0.5, torch.linspace(0, 1, 18, dtype=torch.float64))
    assert few.chance_hi is None and few.chance == pytest.approx(0.5) and few.p == pytest.approx(10 / 19)


@pytest.mark.parametrize("deviation", [0.1, 3e-3, 0.0, math.nan])
def test_the_band_is_that_of_the_library(deviation: float) -> None:
    random = np.random.default_rng(0)
    skews = np.concatenate([random.normal(size=100), [0, 1.6e-5, -1.6e-5, 1e-6, -1e-3, 5, -5, math.nan]])
    values = random.normal(size=len(skews)) * 0.3
    values[0] = math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        end, p = null_band(values, skews, deviation)
        known = pearson3(skews, loc=0.0, scale=deviation)
        expected = known.ppf(0.95), np.maximum(known.sf(values), SMALLEST_P)
    np.testing.assert_allclose((end, p), expected, rtol=1e-12)
