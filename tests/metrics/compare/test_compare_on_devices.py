"""Every measure of similarity compares what models put out on a GPU as it does what they put out on the CPU.

Measures themselves compute on the CPU, wherever the models are: outputs come there from the client. What they compute
is looked at in the other files of this folder.
"""

from pathlib import Path

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.measuring.build import build_metrics
from tests.support.on_devices import assert_as_on_the_cpu

pytestmark = pytest.mark.usefixtures("device")

# netrep is asked for by its own tests, where it is installed.
NAMES = sorted({path.stem for path in (Path(__file__).parents[3] / "conf/similarity").glob("*.yaml")} - {"netrep"})


@pytest.mark.parametrize("name", NAMES)
def test_similarity_of_models(name: str) -> None:
    config = compose_config([f"similarity=[{name}]", "metrics=[similarity]", "metrics.similarity.permutations=0"])
    metric = build_metrics(config.metrics)["similarity"]
    rows = assert_as_on_the_cpu(metric)
    assert {row.metric for row in rows} == {facts.name for facts in metric.facts}
