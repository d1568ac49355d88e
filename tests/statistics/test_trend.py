from itertools import permutations

import numpy as np
import pytest

from fedlayers.statistics.trend import trend_over_depth


def enumerated(values: np.ndarray) -> float:
    """Return the two-sided p value of Page's L from its definition: all orders of all rows."""
    ranks = [row.argsort().argsort() + 1 for row in values]
    places = np.arange(1, values.shape[1] + 1)
    of_row = np.array([np.dot(places, order) for order in permutations(places)])
    sums = of_row
    for _ in values[1:]:
        sums = np.add.outer(sums, of_row).ravel()
    found = sum(int(np.dot(places, row)) for row in ranks)
    return float(min(1.0, 2 * min((sums >= found).mean(), (sums <= found).mean())))


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (2, 5)])
def test_pages_test_is_that_of_all_orders(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    for shift in (-1.0, 0.0, 0.4):
        values = generator.normal(size=shape) + shift * np.arange(shape[1])
        trend = trend_over_depth(values)
        assert trend.test == "Page's L"
        assert trend.p == pytest.approx(enumerated(values))
        assert trend_over_depth(-values).p == pytest.approx(trend.p)
        assert trend_over_depth(np.exp(values)).p == trend.p  # only the order counts
        assert trend_over_depth(-values).tau == pytest.approx(-trend.tau)


def test_in_random_tables_a_trend_is_shown_in_at_most_one_of_twenty() -> None:
    generator = np.random.default_rng(0)
    for runs, layers in ((1, 5), (3, 4), (5, 6)):
        tables = generator.normal(size=(100, runs, layers)) + generator.normal(size=(100, runs, 1))
        shown = np.mean([trend_over_depth(table).is_shown for table in tables])
        assert shown <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 100), (runs, layers)


def test_ties_never_make_a_trend() -> None:
    tied = trend_over_depth(np.array([[1.0, 1.0, 2.0, 3.0, 4.0]]))
    assert tied.p == pytest.approx(2 / 60)  # 60 different orders, two of which are sorted
    same = trend_over_depth(np.ones((3, 4)))
    assert (same.reason, same.test) == ("all layers have the same value", "") and np.isnan(same.p)
    one_flat = trend_over_depth(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]))
    assert one_flat.tau == 1.0 and one_flat.p > trend_over_depth(np.array([[1.0, 2.0, 3.0]] * 3)).p


def test_what_so_few_runs_and_layers_cannot_say() -> None:
    one = trend_over_depth(np.array([[0.1, 0.5, 0.7, 0.9]]))
    assert one.test == "Kendall's τ" and (one.p, one.least_p) == pytest.approx((1 / 12, 1 / 12))
    assert not one.is_shown
    assert trend_over_depth(np.array([[0.1, 0.5, 0.7, 0.9, 1.0]])).is_shown
    assert trend_over_depth(np.array([[0.5], [0.7]])).reason == "one layer has no trend over depth"
    assert trend_over_depth(np.empty((2, 0))).reason == "no layer has a value in every run"
    two = trend_over_depth(np.array([[0.1, 0.2]]))
    assert two.reason == "two layers of one run have no trend that a test could tell from chance"


def test_two_layers_in_several_runs_have_the_sign_test() -> None:
    rising = np.array([[0.0, 1.0]] * 6)
    found = trend_over_depth(rising)
    assert found.test == "sign test" and (found.p, found.least_p) == pytest.approx((2 / 64, 2 / 64))
    assert trend_over_depth(rising[:5]).least_p > 0.05
    # Who has the same value at both layers speaks for neither side.
    with_tie = np.vstack([rising[:5], [[1.0, 1.0]]])
    assert trend_over_depth(with_tie).p == pytest.approx(2 / 32)
