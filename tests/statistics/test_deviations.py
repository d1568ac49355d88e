"""How far values lie from the middle of their group."""

import numpy as np
import pytest
from scipy.stats import median_abs_deviation, norm

from fedlayers.statistics.deviations import ODD, modified_z_scores


def test_they_are_distances_from_the_median_in_normal_deviations() -> None:
    values = np.random.default_rng(0).normal(size=(4, 11))
    spread = median_abs_deviation(values, axis=1, keepdims=True) / norm.ppf(0.75)
    expected = (values - np.median(values, axis=1, keepdims=True)) / spread
    np.testing.assert_allclose(modified_z_scores(values), expected, rtol=1e-4)


def test_one_that_is_far_away_is_odd_and_leaves_the_others_as_they_are() -> None:
    scores = modified_z_scores(np.array([1.0, 1.1, 0.9, 1.05, 0.95, 50.0, np.nan, np.inf]))
    assert scores[5] > ODD > np.abs(scores[:5]).max()
    assert np.isnan(scores[6:]).all()


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [3.0, 3.0, 3.0, 9.0], [0.3, 0.1 + 0.2, 0.3, 0.3 + 1e-9], [np.nan] * 4, [0.0, 0.0, 0.0]]
)
def test_too_few_and_equal_ones_have_none(values: list[float]) -> None:
    assert np.isnan(modified_z_scores(np.array(values))).all()
