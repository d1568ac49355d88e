import math

import numpy as np
import pytest
from scipy import stats

from fedlayers.core.errors import UserError
from fedlayers.statistics.comparison.fairness import mean_of_worst, participation_rate, variance_over_clients
from fedlayers.statistics.comparison.paired import paired_p, seeds_needed
from fedlayers.statistics.comparison.resampling import over_seeds


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("seeds", [5, 6, 12])
def test_the_ends_are_percentiles_of_resampled_seeds(statistic: str, seeds: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, seeds))
    found = over_seeds(values, statistic)
    reduce = getattr(np, statistic)
    options = {"axis": 1, "vectorized": True, "n_resamples": 20_000, "method": "percentile"}
    drawn = stats.bootstrap((values,), reduce, rng=np.random.default_rng(1), **options).bootstrap_distribution
    t = stats.t.ppf(0.975, seeds - 1)
    tail = stats.norm.cdf(-math.sqrt(seeds / (seeds - 1)) * t)
    spread = np.ptp(values, axis=1)
    for own, end in ((found.low, tail), (found.high, 1 - tail)):
        assert (np.abs(own - np.quantile(drawn, end, axis=1)) < 0.06 * spread).all()
    assert found.kind == "bootstrap" and found.value == pytest.approx(getattr(np, statistic)(values, axis=1))


def test_all_resamples_of_five_seeds_count_by_how_likely_they_are() -> None:
    # Of 0 0 0 0 1 the mean is k/5 with the chance of k ones in five draws.
    found = over_seeds(np.array([[0.0, 0.0, 0.0, 0.0, 1.0]]))
    tail = stats.norm.cdf(-math.sqrt(5 / 4) * stats.t.ppf(0.975, 4))
    assert found.high[0] == pytest.approx(stats.binom.ppf(1 - tail, 5, 0.2) / 5) and found.low[0] == 0


def test_intervals_hold_what_they_are_of_in_nineteen_of_twenty_cases() -> None:
    values = np.random.default_rng(2).normal(size=(600, 8))
    for statistic in ("mean", "median"):
        found = over_seeds(values, statistic)
        assert np.mean((found.low <= 0) & (found.high >= 0)) == pytest.approx(0.95, abs=0.035)


def test_the_order_of_seeds_and_the_company_change_nothing() -> None:
    values = np.random.default_rng(3).normal(size=(1200, 5))
    whole, alone = over_seeds(values), over_seeds(values[1100:1101, ::-1])
    assert alone.low == pytest.approx(whole.low[1100:1101]) and alone.high == pytest.approx(whole.high[1100:1101])


def test_few_seeds_have_students_interval_of_the_mean_and_none_of_the_median() -> None:
    values = np.array([[0.1, 0.5, 0.6]])
    found, ends = over_seeds(values), stats.ttest_1samp(values[0], 0).confidence_interval()
    assert (found.low[0], found.high[0], found.kind) == pytest.approx((ends.low, ends.high, "t"))
    assert np.isnan(over_seeds(values, "median").low).all()
    alone = over_seeds(values[:, :1])
    assert alone.value[0] == 0.1 and np.isnan(alone.high[0]) and alone.kind == ""


def test_another_statistic_is_refused() -> None:
    with pytest.raises(UserError, match="statistic must be one of mean, median, got 'mode'"):
        over_seeds(np.ones((1, 5)), "mode")


def test_p_is_that_of_students_paired_test() -> None:
    first, second = np.array([0.3, 0.6, 1.0, 0.2]), np.array([0.1, 0.5, 0.9, 0.3])
    assert paired_p(first - second) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert math.isnan(paired_p(np.array([0.2])))
    assert (paired_p(np.zeros(3)), paired_p(np.full(3, 0.5))) == (1.0, 0.0)


# statsmodels 0.15.0, TTestPower().solve_power(effect, alpha=0.05, power=0.8), rounded up.
@pytest.mark.parametrize(("effect", "expected"), [(0.3, 90), (0.5, 34), (1, 10), (2, 5), (5, 3)])
def test_seeds_needed_are_those_of_statsmodels(effect: float, expected: int) -> None:
    standard = np.array([-1.0, 0.0, 1.0])
    assert seeds_needed(standard + effect) == seeds_needed(standard - effect) == expected


def test_what_no_number_of_seeds_shows() -> None:
    assert math.isnan(seeds_needed(np.array([1.0])))
    assert seeds_needed(np.zeros(3)) == seeds_needed(np.array([-1.0, 0.0, 1.0])) == math.inf
    assert seeds_needed(np.full(3, 0.1)) == 2


def test_fairness_of_clients() -> None:
    values = np.array([0.9, 0.5, 0.7, 0.6, *[0.8] * 7])
    assert variance_over_clients(values) == pytest.approx(np.mean((values - values.mean()) ** 2))
    # A tenth of eleven clients are two.
    assert mean_of_worst(values, True) == pytest.approx(0.55) and mean_of_worst(values, False) == pytest.approx(0.85)
    assert mean_of_worst(values[:3], True) == 0.5 and mean_of_worst(np.full(10, 0.3), True) == pytest.approx(0.3)


def test_a_client_takes_part_for_more_than_it_has_alone() -> None:
    alone, average, federated = np.array([0.5, 0.6, 0.7]), np.array([0.4, 0.9, 0.7]), np.array([0.6, 0.8, 0.7])
    assert participation_rate(federated, alone[None], True) == pytest.approx(2 / 3)
    assert participation_rate(federated, np.stack([alone, average]), True) == pytest.approx(1 / 3)
    assert participation_rate(-federated, -alone[None], False) == pytest.approx(2 / 3)
