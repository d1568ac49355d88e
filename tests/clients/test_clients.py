"""Local methods: degenerate settings equal FedAvg, one step by hand, baselines agree where they must."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import fedlayers
from clients.fedprox import FedProxClient
from clients.learners.base import Hooks
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers import read
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples

Run = Callable[..., Path]
# Five quick rounds of one client would say nothing more than three.
LOCAL = ["engine=local", "rounds=3"]


@pytest.fixture(scope="module")
def fedavg(quick_run: Run) -> Path:
    return quick_run(*LOCAL)


@pytest.fixture(scope="module")
def alone(quick_run: Run) -> dict[str, Path]:
    """Return runs with one client: there is nothing to average, so the algorithms are the same."""
    return {name: quick_run(*LOCAL, "clients=1", f"algorithm={name}") for name in ("fedavg", "centralized", "local")}


def rows(run: Path, table: str = "records") -> pd.DataFrame:
    frame: pd.DataFrame = getattr(read(run), table)
    return frame.drop(columns="run").reset_index(drop=True)


def values(run: Path, query: str) -> list[float]:
    found = rows(run).query(query).sort_values(["round", "moment"]).value.tolist()
    assert found
    return [float(value) for value in found]


def test_fedprox_without_pull_is_fedavg_to_the_last_bit(fedavg: Path, quick_run: Run) -> None:
    run = quick_run(*LOCAL, "algorithm=fedprox", "algorithm.mu=0")
    for table in ("records", "pairs", "spectra"):
        pd.testing.assert_frame_equal(rows(run, table), rows(fedavg, table), check_exact=True)


def test_fedprox_holds_clients_near_the_global_model(fedavg: Path, quick_run: Run) -> None:
    held = quick_run(*LOCAL, "algorithm=fedprox", "algorithm.mu=3")
    query = "metric == 'update_norm' and round == 1 and client >= 0"
    assert all(np.array(values(held, query)) < np.array(values(fedavg, query)))


def three_weights() -> tuple[nn.Module, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    module = nn.Linear(1, 3, bias=False).double()
    start = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)
    reference = torch.tensor([[0.0], [1.0], [1.5]], dtype=torch.float64)
    return module, {"weight": start}, {"weight": reference}


def test_the_pull_of_fedprox_by_hand() -> None:
    _, parameters, reference = three_weights()
    weight = parameters["weight"].requires_grad_()
    session: Any = SimpleNamespace(received=["weight"])
    loss = FedProxClient(session, mu=0.4).extra_loss(parameters, reference)
    assert loss is not None
    # (0.4/2) (0.5² + 2² + 0.5²)
    assert loss.item() == pytest.approx(0.9)
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.flatten().tolist() == pytest.approx([0.2, -0.8, 0.2])


def test_one_step_of_fedprox_by_hand() -> None:
    module, parameters, reference = three_weights()
    examples = Examples(
        torch.tensor([[3.0]]), torch.tensor([1]), torch.tensor([0]), torch.tensor([1.0]), torch.tensor([0.0])
    )
    x, w, w0 = 3.0, np.array([0.5, -1.0, 2.0]), np.array([0.0, 1.0, 1.5])
    softmax = np.exp(w * x) / np.exp(w * x).sum()
    expected = w - 0.1 * ((softmax - np.array([0, 1, 0])) * x + 0.4 * (w - w0))
    # Examples are float32 and so is the pass through the network.
    parameters = {name: tensor.float() for name, tensor in parameters.items()}
    session: Any = SimpleNamespace(received=["weight"])
    hooks = Hooks(
        {name: tensor.float() for name, tensor in reference.items()}, FedProxClient(session, mu=0.4).extra_loss
    )
    training = Training(momentum=0.0)
    learner = EndToEnd(Network(module.float(), parameters, {}), training, 0.1, hooks=hooks)
    train_locally(learner, examples, training, generator=torch.Generator())
    assert parameters["weight"].flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("value", ["-1", "nan"])
def test_a_negative_pull_is_refused_before_anything_starts(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"algorithm.mu must be (0 or more \(0 is FedAvg\), got -1|a number, got nan)"):
        fedlayers.run(["algorithm=fedprox", f"algorithm.mu={value}", f"results_dir={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_one_client_finishes_and_learns(alone: dict[str, Path]) -> None:
    losses = values(alone["fedavg"], "metric == 'loss' and scope == 'server_test' and moment != 'final'")
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)


def test_centralized_with_one_client_is_fedavg(alone: dict[str, Path]) -> None:
    query = "metric == 'loss' and scope == 'server_test'"
    assert values(alone["centralized"], query) == values(alone["fedavg"], query)


def test_local_with_one_client_is_fedavg(alone: dict[str, Path]) -> None:
    for moment in ("after_local", "after_aggregate", "final"):
        query = f"metric == 'loss' and scope == 'client_test' and moment == '{moment}'"
        assert values(alone["local"], query) == values(alone["fedavg"], query)


def test_local_has_no_global_model_to_test(alone: dict[str, Path]) -> None:
    tested = rows(alone["local"]).query("scope == 'server_test'")
    assert set(tested.moment) == {"start"}
    assert set(rows(alone["local"]).query("moment == 'after_aggregate' and client == 0").model) == {"personal"}


def test_a_full_batch_step_of_all_clients_is_one_centralized_step(quick_run: Run) -> None:
    # Σ (n_k/n) (w − η ∇F_k(w)) = w − η ∇F(w); quantity makes the n_k differ.
    step = ["training.batch_size=100000", "training.momentum=0", "training.lr=0.3", "partition=quantity"]
    step += ["metrics=[evaluation]", "examples_per_client=null", *LOCAL]
    runs = [quick_run(*step, f"algorithm={name}") for name in ("fedavg", "centralized")]
    together, centrally = (values(run, "metric == 'loss' and scope == 'server_test'") for run in runs)
    assert together == pytest.approx(centrally, rel=1e-4)
    assert together[0] > together[-1] + 0.1


def test_centralized_training_belongs_to_the_server(quick_run: Run) -> None:
    run = quick_run("engine=local", "algorithm=centralized")
    trained = rows(run).query("metric == 'training_loss'")
    assert trained["round"].tolist() == [1, 2]
    assert set(trained.owner) == {"server"}
    assert trained.client.isna().all()
    # 4 clients with 60 examples, 80 % of them to train on
    assert trained.n.tolist() == [192, 192]


def test_dropout_follows_the_seed_and_nothing_else(quick_run: Run) -> None:
    found = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        run = quick_run("engine=local", "model.dropout=0.5", "metrics=[evaluation]", f"seed={seed}")
        found.append(rows(run))
    pd.testing.assert_frame_equal(found[0], found[1], check_exact=True)
    assert not found[0].equals(found[2])


def test_dropout_differs_between_clients_and_rounds() -> None:
    from fedlayers.core.seeding import global_state

    masks: list[Any] = []
    for server_round, client in ((1, 0), (1, 1), (2, 0)):
        with global_state(0, "client/after_local", server_round, client):
            masks.append(tuple(nn.functional.dropout(torch.ones(64)).tolist()))
    assert len(set(masks)) == 3
