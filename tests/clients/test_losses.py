"""Steps along other losses: FedLC, MOON, FedSAM and Per-FedAvg by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from torch import nn

from clients.batches import Batch
from clients.losses.fedlc import FedLCClient
from clients.losses.fedsam import FedSAMClient
from clients.losses.moon import MoonClient
from clients.losses.perfedavg import PerFedAvgClient, cut
from fedlayers.core.errors import UserError
from fedlayers.flower.contents import array_record
from tests.support.one_example import gradient, session_on, session_on_three_weights

W0 = np.array([0.5, -1.0, 2.0])
COUNTS = np.array([1, 4, 2])


def moved(kind: Any, **arguments: Any) -> np.ndarray:
    """Return the three weights after one step of length 0.1."""
    start = W0.astype(np.float32)[:, None]
    content = RecordDict({"config": ConfigRecord({}), "arrays": array_record({"weight": start})})
    client = kind(session_on_three_weights(content, RecordDict(), "training.steps=1"), **arguments)
    found: np.ndarray = client.fit([start.copy()], {})[0][0].ravel()
    return found


def test_fedlc_subtracts_margins_from_logits() -> None:
    odds = np.exp(3 * W0 - 0.7 * COUNTS**-0.25)
    expected = W0 - 0.1 * 3 * (odds / odds.sum() - [0, 1, 0])
    assert moved(FedLCClient, tau=0.7) == pytest.approx(expected, abs=1e-6)


def test_fedsam_steps_along_the_gradient_nearby() -> None:
    first = gradient(W0)
    expected = W0 - 0.1 * gradient(W0 + 0.4 * first / np.linalg.norm(first))
    assert moved(FedSAMClient, rho=0.4) == pytest.approx(expected, abs=1e-6)


def test_perfedavg_steps_along_the_gradient_after_a_step() -> None:
    outer = gradient(W0 - 0.2 * gradient(W0))
    found = moved(PerFedAvgClient, alpha=0.2, variant="first_order", delta=1.0)
    assert found == pytest.approx(W0 - 0.1 * outer, abs=1e-6)
    hessian = (gradient(W0 + 0.01 * outer) - gradient(W0 - 0.01 * outer)) / 0.02
    found = moved(PerFedAvgClient, alpha=0.2, variant="hessian_free", delta=0.01)
    assert found == pytest.approx(W0 - 0.1 * (outer - 0.2 * hessian), abs=1e-5)


def test_hessian_free_is_the_hessian_where_that_is_small() -> None:
    outer, p = gradient(W0 - 0.2 * gradient(W0)), np.exp(3 * W0) / np.exp(3 * W0).sum()
    exact = 9 * (np.diag(p) - np.outer(p, p)) @ outer
    found = moved(PerFedAvgClient, alpha=0.2, variant="hessian_free", delta=0.01)
    assert (W0 - found) / 0.1 == pytest.approx(outer - 0.2 * exact, abs=2e-3)


def test_a_batch_is_cut_into_parts_of_two_or_more() -> None:
    batch = Batch(torch.arange(7.0)[:, None], torch.arange(7))
    assert [part.labels.tolist() for part in cut(batch, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    few = Batch(torch.arange(3.0)[:, None], torch.arange(3))
    assert [part.labels.tolist() for part in cut(few, 3)] == [[0, 1, 2]] * 3


BODIES = [np.array([[0.3], [-0.5]]), np.array([[-0.4], [0.9]])]
HEAD = np.array([[0.5, 0.1], [-1.0, 0.2], [0.4, 0.7]])


def test_moon_pulls_features_to_the_global_model_and_away_from_the_last_one() -> None:
    """Compare one step with the numerical gradient of the loss; the client starts from the global model."""
    module = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 3, bias=False))
    arrays = [{"0.weight": body.astype(np.float32), "1.weight": HEAD.astype(np.float32)} for body in BODIES]
    content = RecordDict({"config": ConfigRecord({}), "arrays": array_record(arrays[0])})
    state = RecordDict({"previous": array_record(arrays[1])})
    client = MoonClient(session_on(module, content, state, "training.steps=2"), mu=0.8, tau=0.5)
    found = client.fit([array.copy() for array in arrays[0].values()], {})[0][0]

    def loss(body: np.ndarray) -> float:
        features, logits = (body * 3).ravel(), (head @ body * 3).ravel()
        cosines = [features @ o / np.linalg.norm(features) / np.linalg.norm(o) for o in (b.ravel() for b in BODIES)]
        contrast = -2 * cosines[0] + np.logaddexp(2 * cosines[0], 2 * cosines[1])
        return float(-logits[1] + np.log(np.exp(logits).sum()) + 0.8 * contrast)

    body, head = BODIES[0], HEAD
    for _ in range(2):
        steps = [np.eye(2)[:, [i]] * 1e-5 for i in (0, 1)]
        slope = np.array([[(loss(body + step) - loss(body - step)) / 2e-5] for step in steps])
        odds = np.exp((head @ body * 3).ravel())
        by_head = (odds / odds.sum() - [0, 1, 0])[:, None] @ (body * 3).T
        body, head = body - 0.1 * slope, head - 0.1 * by_head
    assert found == pytest.approx(body, abs=1e-5)
    assert client.session.stored("previous")["0.weight"].numpy().tolist() == found.tolist()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FedLCClient(None, -1), r"algorithm.tau must be 0 or more \(0 is FedAvg\), got -1"),  # type: ignore[arg-type]
        (lambda: MoonClient(None, -1, 1), r"algorithm.mu must be 0 or more \(0 is FedAvg\), got -1"),  # type: ignore[arg-type]
        (lambda: MoonClient(None, 1, 0), "algorithm.tau must be a positive number, got 0"),  # type: ignore[arg-type]
        (lambda: FedSAMClient(None, -1), r"algorithm.rho must be 0 or more \(0 is FedAvg\), got -1"),  # type: ignore[arg-type]
        (lambda: PerFedAvgClient(None, -1, "first_order", 1), "algorithm.alpha must be 0 or more"),  # type: ignore[arg-type]
        (lambda: PerFedAvgClient(None, 1, "second", 1), "algorithm.variant must be one of first_order, hessian_free"),  # type: ignore[arg-type]
        (lambda: PerFedAvgClient(None, 1, "first_order", 0), "algorithm.delta must be a positive number, got 0"),  # type: ignore[arg-type]
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()
