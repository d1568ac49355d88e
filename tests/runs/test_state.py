"""Personal state of clients: what is packed comes back, and only a committed round counts."""

import math
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlayers.runs.client_state import StateStore, pack, unpack


def state_of(value: float) -> RecordDict:
    return RecordDict({"model": ArrayRecord({"w": Array(np.array([value]))})})


def value_of(state: RecordDict) -> float | None:
    return float(state.array_records["model"]["w"].numpy()[0]) if "model" in state else None


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")


ARRAYS: dict[str, np.ndarray] = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "counter": np.array(7, dtype=np.int64),
    "scalar": np.array(0.1, dtype=np.float32),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "flags": np.array([True, False]),
    "not finite": np.array([np.nan, np.inf, -np.inf]),
    "layer.0/weight": np.full(3, 1e-45, dtype=np.float32),
}


def test_arrays_come_back_with_shape_type_and_order(tmp_path: Path) -> None:
    state = RecordDict({"b": ArrayRecord({k: Array(v) for k, v in ARRAYS.items()}), "a": ArrayRecord({})})
    (tmp_path / "x").write_bytes(pack(state))
    found = unpack(tmp_path / "x")
    assert list(found) == ["b", "a"]
    assert list(found.array_records["b"]) == list(ARRAYS)
    for name, array in ARRAYS.items():
        back = found.array_records["b"][name].numpy()
        assert (back.shape, back.dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(back, array)


def test_scalars_bytes_and_lists_come_back(tmp_path: Path) -> None:
    config: dict[str, Any] = {"data": b"\x00\xff", "empty": b"", "text": "µ", "yes": True, "whole": 2**62, "tenth": 0.1}
    lists: dict[str, Any] = {
        "many": [b"\x00", b"\xfe"],
        "floats": [0.1, 1e-300],
        "texts": ["a", ""],
        "none": [],
        "flags": [True, False],
    }
    metrics: dict[str, Any] = {"loss": 1 / 3, "steps": 3, "curve": [0.1, 0.2]}
    state = RecordDict({"c": ConfigRecord({**config, **lists}), "m": MetricRecord(metrics)})
    (tmp_path / "x").write_bytes(pack(state))
    found = unpack(tmp_path / "x")
    assert dict(found.config_records["c"]) == {**config, **lists}
    assert dict(found.metric_records["m"]) == metrics
    assert [type(value) for value in found["c"].values()] == [type(v) for v in {**config, **lists}.values()]
    assert [type(record) for record in found.values()] == [ConfigRecord, MetricRecord]


def test_a_loss_that_is_not_a_number_comes_back(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pack(RecordDict({"m": MetricRecord({"loss": math.nan, "bound": math.inf})})))
    found = unpack(tmp_path / "x").metric_records["m"]
    assert math.isnan(float(str(found["loss"])))
    assert found["bound"] == math.inf


def test_files_are_safetensors_without_pickle(store: StateStore) -> None:
    store.propose(3, 1, state_of(1.0))
    (path,) = store.folder.iterdir()
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    assert data[8:9] == b"{"
    assert len(data) == 8 + size + 8
    assert pack(state_of(1.0)) == data


def test_a_client_without_state_has_an_empty_one(store: StateStore) -> None:
    assert len(store.load(0, 1, proposed=True)) == 0
    assert len(store.load(0, 1, proposed=False)) == 0
    store.rewind(0)


def test_a_proposal_counts_only_for_its_own_rounds_evaluation(store: StateStore) -> None:
    store.propose(0, 1, state_of(1.0))
    assert value_of(store.load(0, 1, proposed=True)) == 1.0
    assert value_of(store.load(0, 1, proposed=False)) is None
    assert value_of(store.load(0, 2, proposed=True)) is None
    assert value_of(store.load(1, 1, proposed=True)) is None
    store.commit(1, [0])
    assert value_of(store.load(0, 2, proposed=False)) == 1.0
    store.propose(0, 2, state_of(2.0))
    assert value_of(store.load(0, 2, proposed=False)) == 1.0
    assert value_of(store.load(0, 2, proposed=True)) == 2.0


def test_training_again_after_a_lost_reply_starts_from_the_same_state(store: StateStore) -> None:
    store.propose(0, 1, state_of(1.0))
    store.commit(1, [0])
    for _ in range(2):
        before = value_of(store.load(0, 2, proposed=False))
        assert before == 1.0
        store.propose(0, 2, state_of(before + 1))
    store.commit(2, [0])
    assert value_of(store.load(0, 3, proposed=False)) == 2.0


def test_only_clients_that_replied_are_committed(store: StateStore) -> None:
    store.propose(0, 1, state_of(1.0))
    store.propose(1, 1, state_of(2.0))
    store.commit(1, [1, 2])
    assert value_of(store.load(0, 2, proposed=False)) is None
    assert value_of(store.load(1, 2, proposed=False)) == 2.0


def test_the_last_two_states_are_kept(store: StateStore) -> None:
    # Client 1 was last sampled long ago and clients 1 and 11 must not be mixed up.
    for client, rounds in {0: (1, 2, 9, 10, 11), 1: (2,), 11: (3, 4)}.items():
        for server_round in rounds:
            store.propose(client, server_round, state_of(100 * client + server_round))
            store.commit(server_round, [client])
    store.prune()
    assert sorted(path.name for path in store.folder.iterdir()) == ["0@10", "0@11", "11@3", "11@4", "1@2"]
    assert value_of(store.load(0, 12, proposed=False)) == 11.0
    assert value_of(store.load(1, 12, proposed=False)) == 102.0


def test_rewind_forgets_proposals_and_later_states(store: StateStore) -> None:
    for server_round in (1, 2):
        store.propose(0, server_round, state_of(server_round))
        store.commit(server_round, [0])
    store.propose(0, 3, state_of(3.0))
    (store.folder / ".1@3.4711").write_bytes(b"half")
    store.rewind(1)
    assert [path.name for path in store.folder.iterdir()] == ["0@1"]
    assert value_of(store.load(0, 2, proposed=True)) == 1.0


def test_of_many_clients_only_those_that_trained_are_looked_at(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in range(50):
        store.propose(client, 1, state_of(client))
    store.commit(1, range(50))
    assert len(store.new_seals()) == 50
    store.prune()
    listed = mock.Mock(side_effect=AssertionError("the folder is looked at again"))
    monkeypatch.setattr("fedlayers.runs.client_state.rounds_of", listed)
    for server_round in (2, 3, 4):
        store.propose(7, server_round, state_of(server_round))
        store.commit(server_round, [7, 8])
        assert list(store.new_seals()) == [f"7@{server_round}"]
        store.prune()
    assert (store.last(7), store.last(8), store.last(50)) == (4, 1, None)
    assert {path.name for path in store.folder.glob("7@*")} == {"7@3", "7@4"}


def test_a_store_that_begins_in_a_folder_seals_and_prunes_all_that_is_there(store: StateStore) -> None:
    for server_round in (1, 2, 3):
        store.propose(0, server_round, state_of(server_round))
        store.commit(server_round, [0])
    store.propose(1, 1, state_of(5.0))
    store.commit(1, [1])
    other = StateStore(store.folder)
    other.propose(2, 4, state_of(6.0))
    other.commit(4, [2])
    assert list(other.new_seals()) == ["0@3", "1@1", "2@4"]
    other.prune()
    assert {path.name for path in store.folder.iterdir()} == {"0@2", "0@3", "1@1", "2@4"}


def test_whoever_does_not_commit_is_told_which_state_counts(store: StateStore) -> None:
    store.propose(0, 1, state_of(1.0))
    store.commit(1, [0])
    worker = StateStore(store.folder)
    assert value_of(worker.read(0, 2, False, store.last(0))) == 1.0
    worker.propose(0, 2, state_of(2.0))
    assert value_of(worker.read(0, 2, True, store.last(0))) == 2.0
    assert value_of(worker.read(0, 2, False, None)) is None
