"""Means and spreads over clients, and over the other clients."""

import numpy as np
import pandas as pd
import pytest

from fedlayers.statistics.over_clients import mean_and_deviation, mean_chance, mean_over_others, median_over_clients
from fedlayers.statistics.spread import spread_along


def test_spread_agrees_with_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"round": np.repeat([2, 1], 15), "value": generator.normal(size=30), "stderr": np.nan})
    spread = spread_along(rows, "round", (0.0, 1.0))
    np.testing.assert_array_equal(spread.x, [1, 2])
    for place, number in enumerate((1, 2)):
        values = [value for r, value in zip(rows["round"], rows["value"], strict=True) if r == number]
        assert spread.mean[place] == pytest.approx(sum(values) / 15)
        assert spread.low[place] == pytest.approx(float(np.percentile(values, 10)))
        assert spread.high[place] == pytest.approx(float(np.percentile(values, 90)))
    few = spread_along(rows[:3], "round", (0.0, 1.0))
    assert (few.low[0], few.high[0]) == (rows["value"][:3].min(), rows["value"][:3].max())


def test_mean_over_others_of_two_clients_is_their_distance() -> None:
    rows = pd.DataFrame({"round": [1], "place": [0], "client": [3], "other": [7], "value": [0.4]})
    means = mean_over_others(rows)
    assert means[["client", "value"]].to_numpy().tolist() == [[3, 0.4], [7, 0.4]]


def test_chance_is_the_mean_at_each_place_where_it_is_known() -> None:
    nan = np.nan
    rows = pd.DataFrame({"place": [1, 1, 0, 2], "chance": [0.1, 0.3, nan, 0.5], "chance_hi": [0.4, 0.6, 0.9, nan]})
    found = mean_chance(rows, "place")
    assert found.index.tolist() == [1, 2]
    np.testing.assert_allclose(found.to_numpy(), [[0.2, 0.5], [0.5, nan]])


def test_medians_and_deviations_over_clients() -> None:
    rows = pd.DataFrame({"place": [1, 0, 1, 1], "value": [9.0, 5.0, 1.0, 2.0]})
    assert median_over_clients(rows, "place").to_dict() == {0: 5.0, 1: 2.0}
    assert mean_and_deviation(pd.Series([1.0, 2.0, 3.0])) == (2.0, 1.0)
    assert np.isnan(mean_and_deviation(pd.Series([1.0]))[1])
