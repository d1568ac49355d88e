import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from fedlayers.statistics.comparison.friedman import friedman
from fedlayers.statistics.comparison.post_hoc import against_control, critical_difference, holm, nemenyi
from fedlayers.statistics.comparison.ranks import mean_ranks, ranks_in_blocks
from tests.support.published_scores import DEMSAR, PLAYER_FL

# The mean ranks that Demšar gives; of his rounded table two of them differ by half a rank in one data set.
DEMSAR_RANKS = np.array([3.143, 2.000, 2.893, 1.964])


def test_published_ranks_come_back() -> None:
    assert mean_ranks(DEMSAR, True)[:2].round(3).tolist() == [3.143, 2.0]
    accuracy = np.array([values for values, _ in PLAYER_FL.values()]).T
    published = np.array([rank for _, rank in PLAYER_FL.values()])
    # From rounded scores, so that ties come in.
    assert np.abs(mean_ranks(accuracy, True) - published).max() < 0.6


def test_lower_is_better_turns_ranks_around_and_ties_share() -> None:
    values = np.array([[0.2, 0.2, 0.9], [0.5, 0.1, 0.5]])
    assert ranks_in_blocks(values, False).tolist() == [[1.5, 1.5, 3.0], [2.5, 1.0, 2.5]]
    assert (ranks_in_blocks(values, True) + ranks_in_blocks(values, False) == 4).all()


@pytest.mark.parametrize("values", [DEMSAR, DEMSAR[:, :3], DEMSAR[:5]], ids=["whole", "three", "five"])
def test_friedmans_statistic_is_scipys(values: np.ndarray) -> None:
    found, expected = friedman(values), friedmanchisquare(*values.T)
    assert (found.statistic, found.p_chi2) == pytest.approx((expected.statistic, expected.pvalue))


def test_algorithms_are_treatments_and_data_sets_are_blocks() -> None:
    accuracy = np.array([values for values, _ in PLAYER_FL.values()]).T
    found, turned = friedman(accuracy), friedman(accuracy.T)
    assert (found.blocks, found.algorithms) == (7, 12)
    # The published test had the two exchanged.
    assert found.p_chi2 == pytest.approx(1.3e-3, rel=0.05) and turned.p_chi2 == pytest.approx(6.6e-11, rel=0.05)


def test_p_is_the_share_of_all_orders_that_are_as_uneven() -> None:
    values = np.array([[3.0, 2.0, 1.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]])
    observed = friedmanchisquare(*values.T).statistic
    orders = [np.array(order) for order in permutations([1.0, 2.0, 3.0])]
    every = [friedmanchisquare(*np.array(blocks).T).statistic for blocks in product(orders, repeat=3)]
    exact = np.mean(np.array(every) >= observed - 1e-9)
    assert friedman(values).p == pytest.approx(exact, abs=0.015)


def test_equal_algorithms_raise_an_alarm_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(0)
    alarms = [friedman(random.normal(size=(4, 3))).p <= 0.05 for _ in range(200)]
    assert 0.01 < np.mean(alarms) < 0.09


def test_the_order_of_blocks_and_algorithms_changes_nothing() -> None:
    random = np.random.default_rng(1)
    blocks, algorithms = random.permutation(len(DEMSAR)), random.permutation(4)
    found, moved = friedman(DEMSAR), friedman(DEMSAR[blocks][:, algorithms])
    assert moved.statistic == pytest.approx(found.statistic) and moved.p == pytest.approx(found.p, abs=0.005)


def test_equal_scores_everywhere_do_not_differ() -> None:
    found = friedman(np.ones((5, 3)))
    # Five blocks could show a difference: it is the ties that show none.
    assert found.p == 1.0 and found.least_p == pytest.approx(6**-4)


@pytest.mark.parametrize(("shape", "what"), [((1, 3), "two blocks"), ((5, 1), "two algorithms")])
def test_one_block_or_one_algorithm_has_no_test(shape: tuple[int, int], what: str) -> None:
    found = friedman(np.arange(math.prod(shape), dtype=float).reshape(shape))
    assert math.isnan(found.p) and found.reason == f"a test needs {what} or more"


def test_few_blocks_say_which_p_they_cannot_go_below() -> None:
    clear = np.array([[3.0, 2.0, 1.0]] * 3)
    assert friedman(clear).least_p == pytest.approx(1 / 36)
    assert friedman(clear).p == pytest.approx(1 / 36, abs=0.006)


def test_large_tables_fall_back_on_chi2() -> None:
    found = friedman(np.random.default_rng(2).normal(size=(700, 3)))
    assert found.p == found.p_chi2


# Demšar 2006, table 5a, times the error of a rank difference.
@pytest.mark.parametrize(("algorithms", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (10, 3.164)])
def test_critical_differences_are_those_of_the_published_table(algorithms: int, q: float) -> None:
    expected = q * math.sqrt(algorithms * (algorithms + 1) / (6 * 14))
    assert critical_difference(algorithms, 14) == pytest.approx(expected, abs=2e-3)


def test_nemenyis_p_is_that_of_scikit_posthocs() -> None:
    found = nemenyi(mean_ranks(DEMSAR, True), len(DEMSAR))
    # scikit-posthocs 0.17.1, posthoc_nemenyi_friedman of the same table.
    expected = {
        (0, 1): 0.088673,
        (0, 2): 0.971686,
        (0, 3): 0.061683,
        (1, 2): 0.226697,
        (1, 3): 0.998882,
        (2, 3): 0.170052,
    }
    assert {pair: found[pair] for pair in expected} == pytest.approx(expected, abs=2e-6)
    assert (found == found.T).all() and (np.diag(found) == 1).all()


def test_holms_method_decides_as_published_against_the_control() -> None:
    # Demšar 2006, section 3.2.2: p = 0.016, 0.019 and 0.607 against C4.5; the first two are rejected.
    found = against_control(DEMSAR_RANKS, 14, 0)
    assert found[[3, 1, 2]] == pytest.approx([0.047, 0.047, 0.608], abs=1.5e-3) and math.isnan(found[0])


def test_holms_method_is_that_of_statsmodels() -> None:
    # statsmodels 0.15.0, multipletests(..., method="holm").
    found = holm(np.array([0.01, 0.04, math.nan, 0.03, 0.005, 0.2]))
    assert found[[0, 1, 3, 4, 5]] == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.2]) and math.isnan(found[2])
