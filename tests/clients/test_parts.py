"""Body and head apart, fine-tuning, and FedRoD's two heads: steps by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from safetensors.torch import load
from torch import nn

from clients.fedavg import FedAvgClient
from clients.parts.fedbabu import FedBABUClient
from clients.parts.fedrep import FedRepClient
from clients.parts.fine_tuning import FineTunedClient
from clients.second_models.fedrod import FedRoDClient
from fedlayers import read
from fedlayers.core.errors import UserError
from fedlayers.flower.contents import array_record
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.one_example import session_on

Run = Callable[..., Path]
BODY, HEAD = np.array([[0.3], [-0.5]]), np.array([[0.5, 0.1], [-1.0, 0.2], [0.4, 0.7]])
OWN = np.array([[0.1, -0.2], [0.3, 0.0], [-0.1, 0.2]])
COUNTS = np.array([1, 4, 2])
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]


def client_of(kind: Any, plan: str = "all", state: dict[str, Any] | None = None, **arguments: Any) -> FedAvgClient:
    module = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 3, bias=False))
    arrays = {"0.weight": BODY, "1.weight": HEAD} if plan == "all" else {"0.weight": BODY}
    record = array_record({name: array.astype(np.float32) for name, array in arrays.items()})
    content = RecordDict({"config": ConfigRecord({}), "arrays": record})
    found = RecordDict({name: array_record(own) for name, own in (state or {}).items()})
    client: FedAvgClient = kind(session_on(module, content, found, f"plan={plan}"), **arguments)
    return client


def trained(client: FedAvgClient) -> list[np.ndarray]:
    arrays = {"0.weight": BODY, "1.weight": HEAD}
    return client.fit([arrays[name].astype(np.float32) for name in client.session.received], {})[0]


def slopes(body: np.ndarray, head: np.ndarray, prior: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the loss −log softmax(B A x + prior)_1 by A and B at x = 3."""
    features = body * 3
    odds = np.exp((head @ features).ravel() + prior)
    error = (odds / odds.sum() - [0, 1, 0])[:, None]
    return head.T @ error * 3, error @ features.T


def test_fedrep_trains_the_head_and_then_the_body() -> None:
    state = {"model": {"1.weight": HEAD.astype(np.float32)}}
    client = client_of(FedRepClient, "head", state, head_epochs=3)
    (sent,) = trained(client)
    body, head = BODY, HEAD
    for _ in range(3):
        head = head - 0.1 * slopes(body, head)[1]
    for _ in range(2):
        body = body - 0.1 * slopes(body, head)[0]
    assert sent == pytest.approx(body, abs=1e-6)
    assert client.session.stored("model")["1.weight"].numpy() == pytest.approx(head, abs=1e-6)


def test_fedbabu_trains_the_body_alone_and_tunes_everything() -> None:
    client = client_of(FedBABUClient, head_layers=1, tuning_epochs=2, tuned="all")
    body = BODY
    for _ in range(2):
        body = body - 0.1 * slopes(body, HEAD)[0]
    found, head = trained(client)
    assert found == pytest.approx(body, abs=1e-6) and head.tolist() == HEAD.astype(np.float32).tolist()


@pytest.mark.parametrize("part", ["all", "body", "head"])
def test_fine_tuning_is_local_training_of_what_came(part: str) -> None:
    client = client_of(FedBABUClient, head_layers=1, tuning_epochs=2, tuned=part)
    received = client.session.tensors([BODY.astype(np.float32), HEAD.astype(np.float32)])
    models = client.evaluated_models(received)
    body, head = BODY, HEAD
    for _ in range(2):
        by_body, by_head = slopes(body, head)
        body = body - 0.1 * by_body * (part != "head")
        head = head - 0.1 * by_head * (part != "body")
    assert list(models) == ["global", "personal"] and models["global"].weights is received
    found = models["personal"].weights
    assert found["0.weight"].numpy() == pytest.approx(body, abs=1e-6)
    assert found["1.weight"].numpy() == pytest.approx(head, abs=1e-6)


def test_fedrod_by_hand() -> None:
    client: Any = client_of(FedRoDClient, state={"second": {"1.weight": OWN.astype(np.float32)}}, balanced=True)
    found = trained(client)
    body, head, own = BODY, HEAD, OWN
    for _ in range(2):
        by_body, by_head = slopes(body, head, np.log(COUNTS))
        own = own - 0.1 * slopes(body, head + own)[1]
        body, head = body - 0.1 * by_body, head - 0.1 * by_head
    assert found[0] == pytest.approx(body, abs=1e-6) and found[1] == pytest.approx(head, abs=1e-6)
    assert client.session.stored("second")["1.weight"].numpy() == pytest.approx(own, abs=1e-6)
    model = client.second.parameters
    assert model["1.weight"].detach().numpy() == pytest.approx(head + own, abs=1e-6)
    assert model["0.weight"].detach().numpy() == pytest.approx(body, abs=1e-6)


@pytest.mark.parametrize(("name", "own"), [("fedper", "fc2"), ("lgfedavg", "fc1"), ("fedrep", "fc2")])
def test_layers_stay_as_the_plan_says(quick_run: Run, name: str, own: str) -> None:
    run = quick_run(*WORDS, f"algorithm={name}")
    assert not any(own in array for array in load(RunFolder(run).checkpoint(2)[0]))
    state: Any = unpack(run / "state" / "0@2")
    assert set(state["model"]) == {f"{own}.weight", f"{own}.bias"}


def test_fedbn_keeps_norms_and_their_statistics(quick_run: Run) -> None:
    run = quick_run(*WORDS, "algorithm=fedbn", "model._target_=tests.support.odd_models.TinyBatchNorm")
    state: Any = unpack(run / "state" / "0@2")
    assert set(state["model"]) == {"norm.weight", "norm.bias"} and "norm.running_mean" in state["buffers"]


@pytest.mark.parametrize("name", ["localadaptation", "fedbabu"])
def test_both_models_are_measured_after_rounds(quick_run: Run, name: str) -> None:
    run = quick_run(*WORDS, f"algorithm={name}")
    rows = read(run).records.query("metric == 'loss' and scope == 'client_test' and owner == 'client'")
    models = rows.groupby("moment", observed=True).model.agg(lambda own: sorted(set(own))).to_dict()
    both = ["global", "personal"]
    assert models == {"start": ["global"], "after_local": ["personal"], "after_aggregate": both, "final": both}
    arrays = [load(RunFolder(run).checkpoint(server_round)[0])["weights/fc2.weight"] for server_round in (1, 2)]
    assert arrays[0].equal(arrays[1]) == (name == "fedbabu")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FedRepClient(None, -1), "algorithm.head_epochs must be 0 or more, got -1"),  # type: ignore[arg-type]
        (lambda: FineTunedClient(None, -1), r"algorithm.tuning_epochs must be 0 or more \(0 is no fine-tuning\), got"),  # type: ignore[arg-type]
        (lambda: FedBABUClient(None, -1, 1, "all"), "algorithm.head_layers must be 0 or more, got -1"),  # type: ignore[arg-type]
        (lambda: FedBABUClient(None, 1, 1, "tail"), "algorithm.tuned must be one of all, head, body, got 'tail'"),  # type: ignore[arg-type]
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


def test_a_head_of_all_layers_is_refused(quick_run: Run) -> None:
    with pytest.raises(
        UserError, match=r"algorithm\.head_layers must be less than 2, .*, got 2; one layer must be left"
    ):
        quick_run("engine=local", "rounds=1", "algorithm=fedbabu", "algorithm.head_layers=2")


def test_heads_that_do_not_add_up_are_refused() -> None:
    network = nn.Sequential(nn.Linear(1, 3, bias=False), nn.LayerNorm(3, bias=False))
    session = session_on(network, RecordDict(), RecordDict())
    with pytest.raises(UserError, match="model must be one with a linear last layer with algorithm=fedrod, got 'norm'"):
        FedRoDClient(session, balanced=True)
