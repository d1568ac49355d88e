"""Gradients of single examples are the same whoever they are measured with."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from metrics import gradients as home
from metrics.example_gradients import stacked
from metrics.gradients import gradient_sample
from tests.support.cohort_views import both_ways, cnn, mlp, views_of

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("room", [2**28, 0])
def test_as_one_their_gradients_are_those_of_each_alone(
    make: Callable[[], nn.Module], dtype: torch.dtype, tolerance: float, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked, "KEPT_BYTES", room)
    views = views_of(make, dtype=dtype)
    for alone, found in both_ways(views, lambda view: gradient_sample(view, "client_train", 11, 3), home._Sampling):
        assert alone.n == found.n
        for one, other in ((alone.mean, found.mean), (alone.squares, found.squares), (alone.products, found.products)):
            assert one.keys() == other.keys()
            for name, expected in one.items():
                size = float(expected.abs().max())
                torch.testing.assert_close(other[name], expected, rtol=tolerance, atol=tolerance * size)
