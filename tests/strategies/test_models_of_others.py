"""Servers that keep every client's model: who is sent whose by FedFomo's, and that they go on where they stopped."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedlayers.core.seeding import global_state
from fedlayers.flower.adapter import set_identity
from fedlayers.flower.contents import array_record
from fedlayers.flower.strategy_contract import arrays_named
from strategies.fedfomo import FedFomo
from tests.execution.test_resume import Crash, crash_at
from tests.support.cluster_messages import reply, send

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
MODELS = {node: [float(node), 10.0 * node] for node in (1, 2, 3, 4)}


@pytest.fixture(autouse=True)
def identity() -> None:
    set_identity()


def offered(strategy: FedFomo, server_round: int) -> dict[int, list[float]]:
    """Begin a round and return the first number of each model that each node is sent."""
    sent = send(strategy, [0.0, 0.0], 4, server_round)
    found = {node: arrays_named({node: content}, "others") for node, content in sent.items()}
    return {node: arrays[node]["b"].tolist() if arrays else [] for node, arrays in found.items()}


def received(weights: Mapping[int, Sequence[float]]) -> dict[int, RecordDict]:
    return {node: RecordDict({"weights": array_record({"weights": np.array(own)})}) for node, own in weights.items()}


def test_whoever_was_of_use_before_is_sent_again() -> None:
    strategy: Any = FedFomo(models=2, epsilon=0.0)
    assert offered(strategy, 1) == {1: [], 2: [], 3: [], 4: []}
    strategy.aggregate_train(1, [reply(node, own) for node, own in MODELS.items()])
    assert offered(strategy, 2) == {1: [2, 3], 2: [1, 3], 3: [1, 2], 4: [1, 2]}, "of equal ones the first"
    strategy.receive(2, "after_local", received({1: [-0.5, 0.2], 3: [0.1, -0.1]}))
    assert offered(strategy, 3) == {1: [3, 4], 2: [1, 3], 3: [1, 4], 4: [1, 2]}
    strategy.receive(3, "after_local", received({1: [-0.3, -1.0]}))
    assert strategy.worth[1] == pytest.approx({2: -0.5, 3: -0.1, 4: -1.0})
    assert offered(strategy, 4)[1] == [2, 3]


def test_with_epsilon_others_are_drawn() -> None:
    strategy: Any = FedFomo(models=1, epsilon=1.0)
    strategy.aggregate_train(1, [reply(node, own) for node, own in MODELS.items()])
    drawn = []
    for server_round in range(2, 30):
        with global_state(0, "sample", server_round):
            drawn += offered(strategy, server_round)[1]
    assert set(drawn) == {2.0, 3.0, 4.0}


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("algorithm", ["fedfomo", "pfedla"])
def test_killed_it_continues_bit_for_bit(quick_run: Run, tables: Tables, tmp_path: Path, algorithm: str) -> None:
    words = [f"algorithm={algorithm}", "rounds=3", "engine=local", "partition=dirichlet", "fraction=0.75"]
    with crash_at("_train", 3), pytest.raises(Crash):
        quick_run(*words, folder=tmp_path)
    assert tables(quick_run(*words, folder=tmp_path)) == tables(quick_run(*words))
