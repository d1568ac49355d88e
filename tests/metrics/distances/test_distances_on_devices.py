"""Every distance between models on a GPU is what it is between the same models on the CPU.

Weights and outputs come to the server as arrays, on which the functions that the other files of this folder look at
compute, without a device.
"""

import pytest

from metrics.client_distances import Distances
from metrics.distances.built_in import built_in_metrics
from tests.support.on_devices import assert_as_on_the_cpu

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("name", [metric.name for metric in built_in_metrics()])
def test_distances_of_models(name: str) -> None:
    rows = assert_as_on_the_cpu(Distances([name]))
    assert {row.subject for row in rows} >= {"clients"}
