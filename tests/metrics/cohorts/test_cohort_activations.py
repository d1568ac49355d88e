"""What layers put out on the probe is the same whoever they are measured with."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metrics.probe import activations as home
from metrics.probe.activations import probe_activations
from metrics.probe.positions import POSITIONS
from tests.support.cohort_views import CLASSES, both_ways, cnn, mlp, views_of

pytestmark = pytest.mark.usefixtures("device")


class Odd(nn.Module):
    """Has a layer that runs twice, one that never runs, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.never = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(3, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.twice(self.twice(self.first(x[:, 0])).tanh())
        heard: Tensor = self.attention(steps, steps, steps)[0]
        found: Tensor = self.last(heard.mean(1))
        return found


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("make", [mlp, cnn, Odd])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_as_one_their_layers_put_out_what_each_one_does_alone(
    make: Callable[[], nn.Module], positions: str, dtype: torch.dtype, tolerance: float
) -> None:
    views = views_of(make, dtype=dtype)
    for alone, found in both_ways(views, lambda view: probe_activations(view, positions), home._Activating):
        assert found.reasons == alone.reasons and list(found.outputs) == list(alone.outputs) != []
        for name, output in alone.outputs.items():
            assert found.outputs[name].dtype == torch.float32
            torch.testing.assert_close(found.outputs[name], output, rtol=tolerance, atol=tolerance)


def test_a_model_that_diverged_is_alone_in_that() -> None:
    views = views_of(mlp)
    next(iter(views[1].module.parameters())).data.fill_(torch.inf)
    for client, (alone, found) in enumerate(
        both_ways(views, lambda view: probe_activations(view, "pooled"), home._Activating)
    ):
        assert found.reasons == alone.reasons and bool(found.reasons) == (client == 1)
