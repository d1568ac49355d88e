"""What a strategy remembers goes to arrays and JSON and comes back; what cannot is named."""

import json
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideAdaptiveClipping as ServerSideClipping
from flwr.serverapp.strategy import FedAdam, FedAvgM, Strategy
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from fedlayers.core.errors import UserError
from fedlayers.runs import strategy_state
from fedlayers.runs.checkpoint import Best, Checkpoint, check_resumable, restore
from strategies.fedavg import FedAvg

CONTENT: dict[str, Any] = {
    "number": 0.1,
    "whole": 3,
    "flag": True,
    "nothing": None,
    "text": "array",
    "matrix": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(2.5, dtype=np.float32),
    "list": [1, [np.array([1, 2]), None], "x"],
    "tuple": (1, (np.array([3.0]),)),
    "dict": {"array": np.array([4.0]), "record": {"list": [1]}, "0.weight": np.array([5.0])},
    "by node": {1: {"a": 0.5}, 12: np.array([4.0])},
    "empty": {},
}


def through_files(strategy: Strategy) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays, scalars = strategy_state.dump(strategy)
    return load_arrays(save_arrays(arrays)), json.loads(json.dumps(scalars))


def same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and np.array_equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and all(map(same, first, second)) and len(first) == len(second)
    return type(first) is type(second) and bool(first == second)


@pytest.mark.parametrize("key", CONTENT)
def test_attributes_come_back(key: str) -> None:
    strategy, fresh = FedAvg(), FedAvg()
    strategy.attribute = CONTENT[key]  # type: ignore[attr-defined]
    strategy_state.load(fresh, *through_files(strategy))
    assert same(fresh.attribute, CONTENT[key])  # type: ignore[attr-defined]


def test_a_numpy_number_comes_back_as_its_value() -> None:
    strategy, fresh = FedAvg(), FedAvg()
    strategy.step = np.float32(0.1)  # type: ignore[attr-defined]
    strategy_state.load(fresh, *through_files(strategy))
    assert fresh.step.dtype == np.float32  # type: ignore[attr-defined]
    assert fresh.step == np.float32(0.1)  # type: ignore[attr-defined]


def test_a_record_comes_back_in_its_order() -> None:
    strategy, fresh = FedAvgM(), FedAvgM()
    strategy.current_arrays = ArrayRecord({"z": Array(np.array([1.0])), "a": Array(np.array(2.0, np.float32))})
    strategy.momentum_vector = [np.array([3.0])]
    strategy_state.load(fresh, *through_files(strategy))
    assert fresh.current_arrays is not None
    assert {key: array.numpy().tolist() for key, array in fresh.current_arrays.items()} == {"z": [1.0], "a": 2.0}
    assert list(fresh.current_arrays) == ["z", "a"]
    assert same(fresh.momentum_vector, [np.array([3.0])])


def test_what_a_wrapper_wraps_comes_back_too() -> None:
    def wrapper() -> ServerSideClipping:
        return ServerSideClipping(FedAvgM(server_momentum=0.9), 0.1, 2, initial_clipping_norm=1.0)

    strategy, fresh = wrapper(), wrapper()
    strategy.clipping_norm = 0.25
    strategy.strategy.momentum_vector = [np.array([3.0])]  # type: ignore[attr-defined]
    kept = fresh.strategy
    strategy_state.load(fresh, *through_files(strategy))
    assert check_resumable(strategy) is None and fresh.strategy is kept and fresh.clipping_norm == 0.25
    assert same(kept.momentum_vector, [np.array([3.0])])  # type: ignore[attr-defined]


def test_functions_are_made_again_by_the_configuration() -> None:
    fresh = FedAvg()
    kept = fresh.train_metrics_aggr_fn
    _, scalars = strategy_state.dump(fresh)
    assert "train_metrics_aggr_fn" not in scalars
    strategy_state.load(fresh, {}, scalars)
    assert fresh.train_metrics_aggr_fn is kept


@pytest.mark.parametrize(
    ("value", "named"),
    [({1, 2}, "memory is a set"), ({1: 2, "1": 3}, "memory is a dict"), ([{"a": b""}], "memory.0.a is a bytes")],
    ids=["set", "keys of two kinds", "nested"],
)
def test_what_cannot_be_saved_is_named(value: Any, named: str) -> None:
    strategy = FedAvg()
    strategy.memory = value  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=f"strategy.{named}"):
        strategy_state.dump(strategy)
    assert check_resumable(strategy) == f"strategy.{named}"
    data, scalars = Checkpoint({"w": np.zeros(1)}, {}, strategy, None).packed()
    with pytest.raises(UserError, match=f"this run cannot be continued: .*strategy.{named}.*force=true"):
        restore(data, scalars, FedAvg())


@pytest.mark.parametrize("best", [None, Best(3, "client_val loss", 0.25)], ids=["none", "best"])
def test_a_checkpoint_comes_back(best: Best | None) -> None:
    import torch

    weights = {"b.weight": np.arange(3, dtype=np.float32), "a": np.array(1.5, dtype=np.float32)}
    buffers = {"mean": torch.tensor([0.5]), "count": torch.tensor(7)}
    strategy, fresh = FedAdam(eta=0.3), FedAdam()
    strategy.m_t = {"a": np.array(0.125)}
    data, scalars = Checkpoint(weights, buffers, strategy, best).packed()
    found_weights, found_buffers, found_best = restore(data, json.loads(json.dumps(scalars)), fresh)
    assert {name: (a.shape, a.dtype, a.tolist()) for name, a in found_weights.items()} == {
        name: (a.shape, a.dtype, a.tolist()) for name, a in weights.items()
    }
    assert {name: (a.shape, a.tolist()) for name, a in found_buffers.items()} == {
        "mean": ((1,), [0.5]),
        "count": ((), 7),
    }
    assert found_best == best
    assert fresh.eta == 0.3
    assert same(fresh.m_t, {"a": np.array(0.125)})
    assert check_resumable(strategy) is None
