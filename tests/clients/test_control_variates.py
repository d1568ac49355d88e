"""Control variates and normalised updates: the clients' half by hand, and what they are where nothing is to correct."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from safetensors.torch import load

from clients.control_variates.base import ControlVariateClient
from clients.control_variates.feddyn import FedDynClient
from clients.control_variates.fednova import FedNovaClient
from clients.control_variates.scaffold import ScaffoldClient
from clients.fedavg import FedAvgClient
from fedlayers.core.errors import UserError
from fedlayers.flower.contents import array_record
from fedlayers.flower.session import Session
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.one_example import gradient, session_on_three_weights

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
W0, SERVER, OWN = (np.array(v, np.float32) for v in ([0.5, -1.0, 2.0], [0.1, 0.2, -0.3], [-0.2, 0.0, 0.1]))


def column(values: np.ndarray) -> Any:
    return array_record({"weight": values[:, None]})


def session(*words: str, server: bool = False) -> Session:
    content, state = RecordDict({"config": ConfigRecord({})}), RecordDict()
    content["arrays"], state["control"] = column(W0), column(OWN)
    if server:
        content["control"] = column(SERVER)
    return session_on_three_weights(content, state, *words)


def trained(client: FedAvgClient) -> np.ndarray:
    return client.fit([W0[:, None].copy()], {})[0][0].ravel()


def control_of(client: ControlVariateClient) -> np.ndarray:
    return client.session.stored("control")["weight"].numpy().ravel()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_two_steps_of_scaffold_by_hand(momentum: float) -> None:
    client = ScaffoldClient(session(f"training.momentum={momentum}", server=True))
    first = gradient(W0) + SERVER - OWN
    w1 = W0 - 0.1 * first
    second = gradient(w1) + SERVER - OWN
    w2 = w1 - 0.1 * (momentum * first + second)
    assert trained(client) == pytest.approx(w2, abs=1e-6)
    # Option II: the mean of the gradients on the way, of which momentum counts the first one 1 + µ times.
    mean = ((1 + momentum) * gradient(W0) + gradient(w1)) / (2 + momentum)
    assert control_of(client) == pytest.approx(mean, abs=1e-5)
    assert client.change["weight"].numpy().ravel() == pytest.approx(mean - OWN, abs=1e-5)


def test_two_steps_of_feddyn_by_hand() -> None:
    client, w = FedDynClient(session(), alpha=0.3), W0.astype(float)
    for _ in range(2):
        w = w - 0.1 * (gradient(w) - OWN + 0.3 * (w - W0))
    assert trained(client) == pytest.approx(w, abs=1e-6)
    assert control_of(client) == pytest.approx(OWN - 0.3 * (w - W0), abs=1e-6)


@pytest.mark.parametrize(("momentum", "expected"), [(0.0, 0.2), (0.5, 0.25)])
def test_fednova_tells_how_far_it_went(momentum: float, expected: float) -> None:
    found = FedNovaClient(session(f"training.momentum={momentum}")).fit([W0[:, None].copy()], {})[2]
    # A constant gradient: 1 and then 1 + µ learning rates.
    assert found["length"] == pytest.approx(expected)


def test_a_step_that_weighs_less_counts_less() -> None:
    words = ["training.schedule=exponential", "training.schedule_by=step", "training.schedule_factor=0.5"]
    words += ["training.schedule_steps=1"]
    found = FedNovaClient(session("training.momentum=0.5", *words)).fit([W0[:, None].copy()], {})[2]
    assert found["length"] == pytest.approx(1 * 0.1 + 1.5 * 0.05)


@pytest.mark.parametrize("kind", [ScaffoldClient, FedNovaClient])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["training.optimizer=adam"], "training.optimizer must be sgd with this algorithm, got 'adam'; the algorithm"),
        (
            ["training.momentum=0.9", "training.optimizer_state=carried"],
            "training.optimizer_state must be fresh with this algorithm, got 'carried'; the algorithm reads gradients",
        ),
    ],
)
def test_updates_of_other_optimizers_are_no_gradients(kind: Any, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        kind(session(*words))


def test_feddyn_needs_a_positive_alpha() -> None:
    with pytest.raises(UserError, match=r"algorithm.alpha must be a positive number, got 0"):
        FedDynClient(None, alpha=0)  # type: ignore[arg-type]


def weights_of(run: Path, server_round: int) -> dict[str, torch.Tensor]:
    arrays = load(RunFolder(run).checkpoint(server_round)[0])
    return {name: array for name, array in arrays.items() if name.startswith("weights/")}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_before_there_is_anything_to_correct_they_are_fedavg(quick_run: Run, tables: Tables) -> None:
    words = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]
    plain, scaffold = quick_run(*words), quick_run(*words, "algorithm=scaffold")
    assert equal(weights_of(scaffold, 1), weights_of(plain, 1))
    assert not equal(weights_of(scaffold, 2), weights_of(plain, 2))
    # Equally many steps a client.
    steps = [*words, "training.steps=3"]
    assert tables(quick_run(*steps, "algorithm=fednova")) == tables(quick_run(*steps))


def test_a_first_round_of_feddyn_is_fedproxs_for_its_clients(quick_run: Run) -> None:
    words = ["engine=local", "rounds=1", "metrics=[]", "snapshots.clients=true"]
    one = quick_run(*words, "algorithm=feddyn", "algorithm.alpha=0.2")
    other = quick_run(*words, "algorithm=fedprox", "algorithm.mu=0.2")
    for client in range(4):
        name = f"snapshots/client{client}@1.safetensors"
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_the_servers_variate_is_the_mean_of_the_clients(quick_run: Run) -> None:
    run = quick_run("engine=local", "algorithm=scaffold", "fraction=0.5", "rounds=3", "metrics=[]")
    server = {k: v for k, v in load(RunFolder(run).checkpoint(3)[0]).items() if k.startswith("strategy.control.")}
    newest = {path.name.split("@")[0]: path for path in sorted((run / "state").glob("[0-9]*@*"))}
    own: list[Any] = [record for record in map(unpack, newest.values()) if "control" in record]
    assert len(own) > 2 and len(server) == 4
    for name, array in server.items():
        key = name.removeprefix("strategy.control.")
        total = np.sum([record["control"][key].numpy() for record in own], 0)
        np.testing.assert_allclose(array, total / 4, atol=1e-6)


def test_a_layer_that_stays_is_not_corrected(quick_run: Run) -> None:
    words = ["engine=local", "plan=personal", "plan.personal=[fc2]", "metrics=[]"]
    for algorithm in ("scaffold", "feddyn"):
        run = quick_run(*words, f"algorithm={algorithm}")
        state: Any = unpack(run / "state" / "0@2")
        assert set(state["control"]) == {"fc1.weight", "fc1.bias"}


def test_a_run_says_what_these_need(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"training\.optimizer must be sgd with this algorithm, got 'adam'"):
        quick_run("engine=local", "algorithm=scaffold", "training.optimizer=adam")
