"""What models predict is the same whoever they are measured with."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedlayers.objectives.objective import Objective
from metrics.base import ClientView
from metrics.predictions import predicting as home
from metrics.predictions.predicting import Predictions, predictions_of
from tests.support.cohort_views import both_ways, cnn, mlp, views_of

pytestmark = pytest.mark.usefixtures("device")


def predicted(view: ClientView) -> Predictions:
    found = predictions_of(view, "client_train")
    assert found is not None
    return found


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_as_one_they_predict_what_each_predicts_alone(
    make: Callable[[], nn.Module], dtype: torch.dtype, tolerance: float
) -> None:
    for alone, found in both_ways(views_of(make, dtype=dtype), predicted, home._Predicting):
        assert torch.equal(alone.labels, found.labels) and torch.equal(alone.confusion, found.confusion)
        assert found.logits.dtype == dtype and alone.unusable == found.unusable == 0
        torch.testing.assert_close(found.logits, alone.logits, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(found.losses, alone.losses, rtol=tolerance, atol=tolerance)


class Paired(Objective):
    """Sees more of a batch than an example: it may not be asked for all clients at once."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs.square().sum(1) * len(outputs)


def test_an_objective_of_ones_own_is_asked_for_each_client() -> None:
    views = views_of(mlp)
    for view in views:
        view.objective = Paired()
    for alone, found in both_ways(views, predicted, home._Predicting):
        torch.testing.assert_close(found.losses, alone.losses, rtol=1e-12, atol=0)


def test_a_model_that_diverged_is_alone_in_that() -> None:
    views = views_of(cnn)
    next(iter(views[2].module.parameters())).data.fill_(torch.nan)
    found = both_ways(views, predicted, home._Predicting)
    assert [one.unusable for _, one in found] == [one.unusable for one, _ in found] == [0, 0, 12, 0]
