"""What the band around a mean is."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedlayers.statistics.bands import bands_of
from fedlayers.statistics.over_runs import mean_over_runs
from fedlayers.statistics.spread import band_name, spread_along
from tests.support.quantities import KNOWN

VALUES = np.array([0.05, 0.3, 0.1, 0.8])
ROWS = pd.DataFrame({"place": 0, "value": VALUES, "stderr": 0.1, "metric": "accuracy"})


@pytest.mark.parametrize(
    ("kind", "low", "high", "name"),
    [
        (None, 0.05, 0.8, "bands: lowest to highest of clients"),
        ("range", 0.05, 0.8, "bands: lowest to highest of clients"),
        ("sd", 0.0, VALUES.mean() + VALUES.std(ddof=1), "bands: mean ± standard deviation over clients"),
        (
            "ci",
            0.0,
            stats.t.interval(0.95, 3, VALUES.mean(), stats.sem(VALUES))[1],
            "bands: 95 % t interval over clients",
        ),
    ],
)
def test_bands_are_what_was_asked_for(kind: str | None, low: float, high: float, name: str) -> None:
    with bands_of(kind):
        found = spread_along(ROWS, "place", KNOWN[str(ROWS["metric"][0])].limits)
        assert (found.low[0], found.high[0]) == pytest.approx((low, high))
        assert band_name(4) == name
    assert band_name(4) == "bands: lowest to highest of clients"


def test_bands_over_runs_too() -> None:
    rows = pd.DataFrame({"run": list("abc"), "round": 1, "value": [0.2, 0.3, 0.7]})
    with bands_of("sd"):
        found = mean_over_runs(rows, "round", KNOWN["accuracy"].limits)
    deviation = np.std([0.2, 0.3, 0.7], ddof=1)
    assert (found.low[0], found.high[0]) == pytest.approx((0.4 - deviation, 0.4 + deviation))
    with bands_of("range"):
        assert mean_over_runs(rows, "round", KNOWN["accuracy"].limits).high[0] == 0.7
        assert np.isnan(mean_over_runs(rows[:1], "round", KNOWN["accuracy"].limits).high[0])
