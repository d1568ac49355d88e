"""pFedLA's hypernetworks: their gradient, one update by hand, and that they find out who is alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlayers import read
from fedlayers.flower.adapter import set_identity
from strategies.pfedla import PFedLA, fresh, logits_of, slopes_of
from tests.support.cluster_messages import models_of, reply, weights

Run = Callable[..., Path]
COUNTS = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)


def network(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: own + random.standard_normal(own.shape) / 3 for name, own in fresh(random, ["a", "b"], 3).items()}


def test_the_gradient_is_that_of_autograd() -> None:
    gains = {"a": np.array([0.3, -1.0, 0.5]), "b": np.array([0.0, 2.0, 0.1])}
    tensors = {name: torch.tensor(own, requires_grad=True) for name, own in network().items()}
    hidden = torch.relu(tensors["W"] @ tensors["v"] + tensors["b"])
    shares = {
        layer: torch.softmax(COUNTS.log() + tensors[f"weight/{layer}"] @ hidden + tensors[f"bias/{layer}"], 0)
        for layer in gains
    }
    gained = torch.stack([(shares[layer] * torch.tensor(own)).sum() for layer, own in gains.items()]).sum()
    expected = torch.autograd.grad(gained, [*tensors.values()])
    found = slopes_of(network(), {layer: own.detach().numpy() for layer, own in shares.items()}, gains)
    for name, slope in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(found[name], slope.numpy(), atol=1e-12)


def test_one_update_moves_the_mean_to_whom_training_moved_towards() -> None:
    set_identity()
    strategy: Any = PFedLA(hypernetwork_lr=0.2)
    strategy.names, strategy.nodes, strategy.seed = {"layer": ["b", "a"]}, [1, 2], 7
    first, second = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    strategy.current = weights([0.0, 0.0])
    strategy.assign(1, [reply(1, list(first), 3), reply(2, list(second), 1)])
    sent = {node: np.array(own) for node, own in models_of(strategy).items()}
    assert sent[1] == pytest.approx(0.75 * first + 0.25 * second) and sent[2] == pytest.approx(sent[1])
    hidden = np.maximum(strategy.networks[1]["W"] @ strategy.networks[1]["v"], 0)
    # Client 1 moves along the first model; of equal shares p, c moves by η p (s − p·s), and U by that times h.
    moved = np.array([0.5, 0.0])
    strategy.assign(2, [reply(1, list(sent[1] + moved), 3)])
    gains, shares = np.array([first @ moved, second @ moved]), np.array([0.75, 0.25])
    by_logits = shares * (gains - shares @ gains)
    np.testing.assert_allclose(strategy.networks[1]["bias/layer"], 0.2 * by_logits, atol=1e-7)
    np.testing.assert_allclose(strategy.networks[1]["weight/layer"], 0.2 * np.outer(by_logits, hidden), atol=1e-7)
    logits = 0.2 * by_logits * (1 + hidden @ hidden)
    taken = np.array([3, 1]) * np.exp(logits)
    newest = [sent[1] + moved, second]
    np.testing.assert_allclose(logits_of(strategy.networks[1])["layer"], logits, atol=1e-6)
    np.testing.assert_allclose(models_of(strategy)[1], taken / taken.sum() @ newest, atol=1e-6)
    np.testing.assert_allclose(strategy.networks[2]["bias/layer"], 0), "who did not train learns nothing"


@pytest.mark.usefixtures("device")
def test_on_planted_groups_clients_come_to_average_with_their_own_and_lose_less(quick_run: Run) -> None:
    words = [
        "algorithm=pfedla",
        "clients=6",
        "plant.kind=permuted_labels",
        "plant.groups=2",
        "rounds=5",
        "engine=local",
    ]
    more = ["metrics=[evaluation]", "training.epochs=2"]
    learning, still = (
        read(quick_run(*words, *more, f"algorithm.hypernetwork_lr={lr}", "examples_per_client=120")) for lr in (0.2, 0)
    )
    groups = learning.partition.drop_duplicates("client").set_index("client")["planted_group"]

    def within(tables: Any) -> np.ndarray:
        """Return what clients take of their own group, by round and layer, mean over clients."""
        rows = tables.pairs.query("metric == 'aggregation_weight'")
        same = rows["client"].map(groups).to_numpy() == rows["other"].map(groups).to_numpy()
        return np.asarray(rows[same].groupby(["layer", "round"], observed=True)["value"].sum().unstack() / 6)

    def end(tables: Any) -> float:
        rows = tables.records.query("metric == 'loss' and moment == 'final' and scope == 'client_val'")
        return float(rows["value"].mean())

    shares = within(learning)
    assert (np.diff(shares) > 0).all() and (shares[:, -1] > 0.8).all()
    assert within(still) == pytest.approx(0.5, abs=0.02)
    assert end(learning) < 0.8 * end(still)
