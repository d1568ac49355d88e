"""Servers whose step is not the mean, each by hand: FedExP and FedNova, and Flower's as our YAML has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.execution.build import build_strategy
from fedlayers.flower.adapter import set_identity
from strategies.fedavg import FedAvg
from strategies.feddyn import FedDyn
from strategies.fedexp import FedExP
from strategies.fednova import FedNova
from tests.support.cluster_messages import reply, step

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
START = np.array([1.0, 2.0, 3.0])
CLIENTS = np.array([[2.0, 4.0, 0.0], [6.0, 0.0, 8.0]])
COUNTS = np.array([3, 1])


@pytest.fixture(autouse=True)
def identity() -> None:
    set_identity()


def replies(clients: np.ndarray = CLIENTS, **metrics: Any) -> list[Message]:
    told: list[dict[str, Any]] = [{name: own[k] for name, own in metrics.items()} for k in range(len(clients))]
    return [reply(k + 1, list(own), int(COUNTS[k]), **told[k]) for k, own in enumerate(clients)]


def test_fedexp_extrapolates_where_clients_pull_apart() -> None:
    shares, updates = COUNTS / 4, CLIENTS - START
    mean = shares @ updates
    longer = (shares @ (updates**2).sum(1)) / (2 * (mean @ mean + 0.5))
    assert longer > 1.5
    found = step(FedExP(epsilon=0.5), list(START), replies(), 2)
    assert found == pytest.approx((START + longer * mean).tolist(), rel=1e-6)


@pytest.mark.parametrize("clients", [CLIENTS[:1], CLIENTS[[0, 0]]], ids=["one client", "clients that agree"])
def test_fedexp_is_fedavg_where_nobody_pulls_apart(clients: np.ndarray) -> None:
    one, other = (step(strategy, list(START), replies(clients), 2) for strategy in (FedExP(), FedAvg()))
    assert one == other


def test_fedexp_needs_a_positive_epsilon() -> None:
    with pytest.raises(UserError, match=r"algorithm.epsilon must be a positive number, got 0"):
        FedExP(epsilon=0)


def test_fednova_averages_normalised_updates() -> None:
    shares, lengths = COUNTS / 4, np.array([2.0, 7.0])
    direction = shares @ ((CLIENTS - START) / lengths[:, None])
    found = step(FedNova(), list(START), replies(length=lengths), 2)
    assert found == pytest.approx((START + (shares @ lengths) * direction).tolist(), rel=1e-6)
    assert step(FedNova(), list(START), replies(length=[3.0, 3.0]), 2) == step(FedAvg(), list(START), replies(), 2)


def test_two_rounds_of_feddyns_server_by_hand() -> None:
    strategy, alpha, h, w = FedDyn(weighted_by_key="one"), 0.3, np.zeros(3), START
    for server_round in (1, 2):
        found = step(strategy, list(w), replies(), 4, server_round)
        # Two of two clients that were asked answer; Nodes says that there are four, of whom two would be asked.
        h = h - alpha / 4 * 4 * (CLIENTS.mean(0) - w)
        w = CLIENTS.mean(0) - h / alpha
        assert found == pytest.approx(w.tolist(), rel=1e-6)


def twin(name: str, rounds: int = 2) -> np.ndarray:
    """Return what Reddi et al. 2021, algorithm 2, makes of two equal rounds, with the defaults of our YAML."""
    w, m, v = START, np.zeros(3), np.zeros(3)
    eta, beta_1, beta_2, tau = {"fedyogi": (0.01, 0.9, 0.99, 0.001), "fedadagrad": (0.1, 0.0, 0.0, 0.001)}[name]
    for _ in range(rounds):
        update = COUNTS / 4 @ CLIENTS - w
        m = beta_1 * m + (1 - beta_1) * update
        v = v + update**2 if name == "fedadagrad" else v - (1 - beta_2) * update**2 * np.sign(v - update**2)
        w = w + eta * m / (np.sqrt(v) + tau)
    return w


@pytest.mark.parametrize("name", ["fedyogi", "fedadagrad"])
def test_adaptive_servers_follow_their_paper(name: str) -> None:
    strategy, found = build_strategy(compose_config([f"algorithm={name}"])), list(START)
    for server_round in (1, 2):
        found = step(strategy, found, replies(), 2, server_round)
    assert found == pytest.approx(twin(name).tolist(), rel=1e-5)


def test_qfedavg_weighs_by_powers_of_the_loss() -> None:
    strategy = build_strategy(compose_config(["algorithm=qfedavg", "algorithm.q=2", "training.lr=0.1"]))
    losses, smooth = np.array([1.0, 3.0]), 10.0
    gradients = smooth * (START - CLIENTS)
    h = 2 * losses * (gradients**2).sum(1) + smooth * losses**2
    found = step(strategy, list(START), replies(train_loss=losses.tolist()), 2)
    assert found == pytest.approx((START - (losses**2) @ gradients / h.sum()).tolist(), rel=1e-4)


@pytest.mark.parametrize("words", [["algorithm=qfedavg", "algorithm.q=0"], ["algorithm=bulyan"]])
def test_switched_off_they_are_the_plain_mean(words: list[str]) -> None:
    strategy, clients = build_strategy(compose_config(words)), np.array([[2.0, 4, 0], [6, 0, 8], [1, 5, 4]])
    answers = [reply(k + 1, list(own), 2, train_loss=1 + k) for k, own in enumerate(clients)]
    assert step(strategy, list(START), answers, 3) == pytest.approx(clients.mean(0).tolist(), rel=1e-6)


@pytest.mark.usefixtures("device")
def test_momentum_switched_off_is_fedavg(quick_run: Run, tables: Tables) -> None:
    words = ["engine=local", "metrics=[evaluation]"]
    assert tables(quick_run(*words, "algorithm=fedavgm", "algorithm.server_momentum=0")) == tables(quick_run(*words))
