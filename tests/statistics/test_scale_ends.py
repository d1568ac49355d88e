"""The ends of a scale: never finer than what the values can tell apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from fedlayers.views.matrices import value_ends
from tests.support.quantities import KNOWN


def rows(values: Sequence[float], stderr: float = np.nan) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "stderr": stderr})


@pytest.mark.parametrize(
    ("metric", "values", "stderr", "limits"),
    [
        # All layers of a metric share a scale, which the value of a thing with itself belongs to.
        ("cka", [0.3, 0.9995], np.nan, (0.3, 1.0)),
        # Nearly equal values look nearly equal: a twentieth of the range is the least, towards the middle.
        ("cka", [0.9995, 0.9999], np.nan, (0.9, 1.0)),
        ("accuracy_gap", [5.0, 5.0], np.nan, (4.9975, 5.0025)),
        # No finer than the values' 95 % interval.
        ("cka", [0.9, 0.95], 0.1, (1 - 0.392, 1.0)),
        ("cka", [0.2, 0.95], 0.01, (0.2, 1.0)),
        # Distances begin at 0 and have no end.
        ("l2_dst", [1e-7, 2e-7], np.nan, (0.0, 2e-7)),
        # Over decades the scale is logarithmic.
        ("l2_dst", [0.01, 5.0], np.nan, (0.01, 5.0)),
        ("cka", [np.nan, 0.4, np.inf], np.nan, (0.4, 1.0)),
        ("cka", [], np.nan, (0.9, 1.0)),
        ("unknown", [], np.nan, (0.0, 1.0)),
    ],
)
def test_colours_are_no_finer_than_the_values(
    metric: str, values: Sequence[float], stderr: float, limits: tuple[float, float]
) -> None:
    assert value_ends(rows(values, stderr), KNOWN[metric]) == pytest.approx(limits)


def test_errors_widen_distances_upwards_only() -> None:
    assert value_ends(rows([1e-7, 2e-7], 1e-3), KNOWN["l2_dst"]) == pytest.approx((0.0, 3.92e-3))
