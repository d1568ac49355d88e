import math

import numpy as np
import pytest
from scipy import stats

from fedlayers.statistics.differences import difference, mean_interval


def test_runs_of_equal_seeds_are_paired() -> None:
    first, second = {0: [0.1], 1: [0.5], 2: [0.9]}, {2: [1.0], 0: [0.3], 1: [0.6]}
    found = difference(first, second)
    expected = stats.ttest_rel([0.3, 0.6, 1.0], [0.1, 0.5, 0.9])
    assert found.paired and found.runs == (3, 3)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    turned = difference(second, first)
    assert (turned.mean, turned.low) == pytest.approx((-found.mean, -found.high))


@pytest.mark.parametrize(
    "second", [{3: [0.3], 4: [0.6], 5: [1.0], 6: [0.2]}, {0: [0.3, 0.6], 1: [1.0, 0.2]}], ids=["seeds", "twice"]
)
def test_others_have_welchs_interval(second: dict[int, list[float]]) -> None:
    found = difference({0: [0.1], 1: [0.5]}, second)
    other = [value for own in second.values() for value in own]
    ends = stats.ttest_ind(other, [0.1, 0.5], equal_var=False).confidence_interval(0.95)
    assert not found.paired and found.runs == (2, 4)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(other) - 0.3, ends.low, ends.high))


def test_one_run_has_no_interval() -> None:
    found = difference({0: [0.1]}, {0: [0.4]})
    assert found.mean == pytest.approx(0.3) and math.isnan(found.low) and math.isnan(found.high)
    assert not found.paired
    assert mean_interval(np.array([2.0]))[0] == 2.0 and math.isnan(mean_interval(np.array([2.0]))[1])


def test_equal_groups_do_not_differ() -> None:
    same = {seed: [0.1 * seed] for seed in range(3)}
    assert difference(same, same).low == difference(same, same).high == 0.0
    flat = difference({0: [1.0], 1: [1.0]}, {2: [1.5], 3: [1.5]})
    assert (flat.low, flat.high) == (0.5, 0.5)
