"""Means over runs, with an interval."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedlayers.statistics.over_runs import mean_over_runs
from tests.support.quantities import KNOWN


def test_interval_is_students() -> None:
    values = np.array([0.2, 0.5, 0.9, 0.4])
    rows = pd.DataFrame({"run": list("abcd"), "round": 1, "value": values})
    found = mean_over_runs(rows, "round", KNOWN["unknown"].limits)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean[0], found.low[0], found.high[0]) == pytest.approx((values.mean(), low, high))
    half = (found.high - found.low)[0] / 2
    assert half == pytest.approx(3.182446 * values.std(ddof=1) / 2)  # a table's t at 3 degrees of freedom
    assert found.count == "n = 4"


def test_intervals_end_where_the_quantity_does() -> None:
    rows = pd.DataFrame({"run": list("abc"), "round": 1, "value": [0.1, 0.2, 0.9]})
    assert (
        mean_over_runs(rows, "round", KNOWN["unknown"].limits).low[0] < 0
        and mean_over_runs(rows, "round", KNOWN["unknown"].limits).high[0] > 1
    )
    found = mean_over_runs(rows, "round", KNOWN["update_norm"].limits)
    assert found.low[0] == 0 and found.high[0] > 1
    found = mean_over_runs(rows, "round", KNOWN["accuracy"].limits)
    assert (found.low[0], found.high[0]) == (0, 1)


def test_clients_are_averaged_before_runs() -> None:
    rows = pd.DataFrame({"run": ["a", "a", "a", "b"], "round": 1, "value": [1.0, 2.0, 3.0, 6.0]})
    found = mean_over_runs(rows, "round", KNOWN["unknown"].limits)
    assert found.mean.tolist() == [4.0]
    rows = pd.concat([rows, rows.assign(round=2)[:3]])
    found = mean_over_runs(rows, "round", KNOWN["unknown"].limits)
    assert found.mean.tolist() == [4.0, 2.0]
    assert np.isnan([found.low[1], found.high[1]]).all()
    assert found.count == "n = 1 to 2"
