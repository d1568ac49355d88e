"""Where points lie whose distances are known, how wide densities are, and what spans decades."""

import numpy as np
import pytest

from fedlayers.statistics.axis_scale import AxisScale, axis_scale
from fedlayers.statistics.classical_scaling import principal_places
from fedlayers.statistics.decades import spans_decades
from fedlayers.statistics.density import half_width
from fedlayers.statistics.merging import average_linkage


def test_principal_places_keep_distances_of_points_in_a_plane() -> None:
    points = np.random.default_rng(0).normal(size=(7, 2))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    places, shares = principal_places(distances)
    assert np.linalg.norm(places[:, None] - places, axis=-1) == pytest.approx(distances)
    assert shares.sum() == pytest.approx(1)
    assert principal_places(np.zeros((3, 3)))[1].tolist() == [0, 0]


def test_half_width_of_a_normal_density() -> None:
    x = np.linspace(-8, 8, 4001)
    assert half_width(x, np.exp(-(x**2) / 2)) == pytest.approx(1.6449, abs=0.01)  # 90 % within ± 1.645


def test_log_scale_needs_positive_values_over_two_decades() -> None:
    assert spans_decades([1e-3, 1.0])
    assert not spans_decades([0.0, 1e-3, 1.0])
    assert not spans_decades([0.1, 1.0, np.nan])
    assert not spans_decades([])


@pytest.mark.parametrize(
    ("values", "both_signs", "scale"),
    [
        ([1e-3, 10.0, np.nan], False, AxisScale("log")),
        ([-1.0, 1e-3, 10.0, 3.0], False, AxisScale("linear")),
        ([-1.0, 1e-3, 10.0, 3.0], True, AxisScale("symlog", threshold=0.3007)),
        ([-1.0, 1e-3, 10.0, -3.0], True, AxisScale("linear")),
        ([1e-9, 1e-9, 1e6, 0.0], True, AxisScale("symlog", threshold=100.0)),
        ([0.5, 0.5001], True, AxisScale("linear", ends=(0.49975, 0.50035))),
        ([np.nan], True, AxisScale("linear")),
    ],
)
def test_the_scale_of_an_axis(values: list[float], both_signs: bool, scale: AxisScale) -> None:
    found = axis_scale(values, both_signs)
    assert found.kind == scale.kind and found.threshold == pytest.approx(scale.threshold)
    assert found.ends == (scale.ends and pytest.approx(scale.ends, rel=1e-6))


def test_groups_merge_at_the_mean_distance_of_their_members() -> None:
    distances = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 6.0], [4.0, 6.0, 0.0]])
    assert average_linkage(distances).tolist() == [[0, 1, 1.0, 2], [2, 3, 5.0, 3]]
