"""Strategies: ours against hand-computed steps and Flower's, Flower's end to end in our round loop."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from flwr.serverapp.strategy import FedAvgM, Strategy

from fedlayers import read
from fedlayers.core.errors import UserError
from fedlayers.flower.adapter import Grid, set_identity
from fedlayers.flower.replies import Replies
from fedlayers.runs.folder import RunFolder
from strategies.centralized import Centralized
from strategies.fedavg import FedAvg
from strategies.local import Local
from tests.support.runs_there import RunsThere

Run = Callable[..., Path]
NODES = [3, 1, 2]
BATCH_NORM = ["model._target_=tests.support.odd_models.TinyBatchNorm", "metrics=[evaluation]"]


class Nodes(Grid):
    """A Grid that only knows which nodes there are."""

    def get_node_ids(self) -> list[int]:
        return NODES

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    set_run = create_message = push_messages = pull_messages = send_and_receive = _unused
    run = property(_unused)


@pytest.fixture(autouse=True)
def identity() -> None:
    set_identity()


def record(values: Iterable[float], dtype: Any = np.float64) -> ArrayRecord:
    """Return three weights in two arrays."""
    first, *rest = values
    return ArrayRecord({"b": Array(np.array(first, dtype=dtype)), "a": Array(np.array(rest, dtype=dtype))})


def values_of(arrays: ArrayRecord | None) -> list[float]:
    assert arrays is not None
    assert list(arrays) == ["b", "a"]
    return [float(arrays["b"].numpy()), *map(float, arrays["a"].numpy())]


def reply(client: int, arrays: ArrayRecord, examples: int) -> Message:
    sent = Message(RecordDict({}), client + 1, MessageType.TRAIN)
    metrics = MetricRecord({"num-examples": examples, "one": 1.0, "loss": float(client)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=sent)


def train(strategy: Strategy, server_round: int, start: ArrayRecord, replies: list[Message]) -> ArrayRecord | None:
    list(strategy.configure_train(server_round, start, ConfigRecord({}), Nodes()))
    return strategy.aggregate_train(server_round, replies)[0]


START = [1.0, 2.0, 3.0]
# The weighted mean of (2, 4, 0) with 3 examples and (6, 0, 8) with 1: (3, 3, 2).
TWO = [([2.0, 4.0, 0.0], 3), ([6.0, 0.0, 8.0], 1)]


def two_replies(dtype: Any = np.float64) -> list[Message]:
    return [reply(client, record(values, dtype), examples) for client, (values, examples) in enumerate(TWO)]


def test_fedavg_is_the_weighted_mean_by_hand() -> None:
    assert values_of(train(FedAvg(), 1, record(START), two_replies())) == [3.0, 3.0, 2.0]


def test_uniform_weighting_is_the_plain_mean() -> None:
    assert values_of(train(FedAvg(weighted_by_key="one"), 1, record(START), two_replies())) == [4.0, 2.0, 4.0]


def test_training_metrics_are_averaged_with_the_same_weights() -> None:
    _, metrics = FedAvg().aggregate_train(1, two_replies())
    assert metrics is not None
    assert metrics["loss"] == 0.25


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fedavg_equals_flowers(dtype: Any) -> None:
    generator = np.random.default_rng(0)
    messages = [
        reply(client, record(generator.standard_normal(1001), dtype), int(generator.integers(1, 500)))
        for client in range(20)
    ]
    ours, flowers = (values_of(strategy.aggregate_train(1, messages)[0]) for strategy in (FedAvg(), FlowerFedAvg()))
    np.testing.assert_allclose(ours, flowers, rtol=0, atol=20 * np.finfo(dtype).eps)


def test_the_mean_of_equal_weights_is_those_weights() -> None:
    generator = np.random.default_rng(1)
    values = generator.standard_normal(100).astype(np.float32)
    messages = [reply(client, record(values, np.float32), 1 + 7 * client) for client in range(13)]
    assert values_of(FedAvg().aggregate_train(1, messages)[0]) == values.tolist()


@pytest.mark.parametrize("server_lr", [1.0, 0.7])
def test_sums_are_rounded_once(server_lr: float) -> None:
    generator = np.random.default_rng(2)
    clients, start = generator.standard_normal((50, 300)).astype(np.float32), generator.standard_normal(300)
    start = start.astype(np.float32)
    messages = [reply(client, record(values, np.float32), 1) for client, values in enumerate(clients)]
    found = values_of(train(FedAvg(server_lr=server_lr), 1, record(start, np.float32), messages))
    exact = start.astype(np.longdouble)
    exact = exact + server_lr * (clients.astype(np.longdouble).mean(0) - exact)
    assert found == exact.astype(np.float32).tolist()


def test_two_steps_with_learning_rate_and_momentum_by_hand() -> None:
    strategy = FedAvg(server_lr=0.5, server_momentum=0.9)
    first = values_of(train(strategy, 1, record(START), two_replies()))
    # Δ = (3, 3, 2) − (1, 2, 3) = (2, 1, −1); w + Δ/2
    assert first == [2.0, 2.5, 2.5]
    second = values_of(train(strategy, 2, record(first), two_replies()))
    # Δ = (1, 0.5, −0.5); v = 0.9 (2, 1, −1) + Δ = (2.8, 1.4, −1.4); w + v/2
    assert second == pytest.approx([3.4, 3.2, 1.8], abs=1e-15)


@pytest.mark.parametrize(("server_lr", "momentum"), [(1.0, 0.9), (0.3, 0.0), (0.5, 0.5)])
def test_five_steps_equal_flowers_momentum(server_lr: float, momentum: float) -> None:
    ours = FedAvg(server_lr=server_lr, server_momentum=momentum)
    flowers = FedAvgM(server_learning_rate=server_lr, server_momentum=momentum)
    generator = np.random.default_rng(3)
    here = there = record(START)
    for server_round in range(1, 6):
        messages = [reply(client, record(generator.standard_normal(3)), 1 + client) for client in range(4)]
        found, expected = (
            train(ours, server_round, here, messages),
            train(flowers, server_round, there, messages),
        )
        assert found is not None
        assert expected is not None
        here, there = found, expected
        assert values_of(here) == pytest.approx(values_of(there), rel=1e-12, abs=1e-12)


def test_the_order_of_arrival_does_not_matter_once_sorted() -> None:
    generator = np.random.default_rng(4)
    messages = [reply(client, record(generator.standard_normal(500), np.float32), 3 + client) for client in range(9)]
    expected = values_of(FedAvg().aggregate_train(1, messages)[0])
    shuffled = [messages[place] for place in generator.permutation(9)]
    again = sorted(shuffled, key=lambda message: message.metadata.src_node_id)
    assert values_of(FedAvg().aggregate_train(1, again)[0]) == expected


@pytest.mark.parametrize("strategy", [FedAvg(), Local(), Centralized()], ids=lambda s: type(s).__name__)
def test_no_reply_gives_no_weights(strategy: Strategy) -> None:
    assert strategy.aggregate_train(1, []) == (None, None)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_server_lr_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=rf"algorithm.server_lr must be a positive number, got {value}"):
        FedAvg(server_lr=value)


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_a_server_momentum_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=rf"algorithm.server_momentum must be in \[0, 1\), got {value}"):
        FedAvg(server_momentum=value)


def test_local_changes_no_weights() -> None:
    strategy = Local()
    messages = list(strategy.configure_train(1, record(START), ConfigRecord({}), Nodes()))
    assert sorted(message.metadata.dst_node_id for message in messages) == [1, 2, 3]
    arrays, metrics = strategy.aggregate_train(1, two_replies())
    assert arrays is None
    assert metrics is not None
    assert metrics["loss"] == 0.25
    assert not strategy.has_global_model


def test_centralized_trains_on_one_node_and_evaluates_on_all() -> None:
    strategy, config = Centralized(), ConfigRecord({"moment": "x"})
    (message,) = strategy.configure_train(4, record(START), config, Nodes())
    assert (message.metadata.dst_node_id, message.metadata.message_type) == (1, MessageType.TRAIN)
    assert values_of(message.content.array_records["arrays"]) == START
    assert dict(message.content["config"]) == {"moment": "x", "server-round": 4}
    evaluated = strategy.configure_evaluate(4, record(START), config, Nodes())
    assert sorted(message.metadata.dst_node_id for message in evaluated) == [1, 2, 3]
    assert values_of(strategy.aggregate_train(4, [two_replies()[0]])[0]) == TWO[0][0]


# --- end to end


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    folder = RunFolder(run)
    last = folder.last_round()
    assert last is not None
    return load(folder.checkpoint(last)[0])


def client_weights(run: Path, server_round: int, clients: int = 4) -> list[dict[str, torch.Tensor]]:
    from safetensors.torch import load_file

    return [load_file(run / "snapshots" / f"client{client}@{server_round}.safetensors") for client in range(clients)]


STOCK = {
    "FedMedian": ["algorithm=fedmedian"],
    "Krum": ["algorithm=krum"],
    "FedAdam": ["algorithm=fedadam"],
    "FedTrimmedAvg": ["algorithm=fedtrimmedavg", "algorithm.beta=0.25"],
    "FedYogi": ["algorithm=flower", "algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi"],
    "FedAvgM": [
        "algorithm=flower",
        "algorithm.strategy._target_=flwr.serverapp.strategy.FedAvgM",
        "+algorithm.strategy.server_momentum=0.9",
    ],
}


@pytest.fixture(scope="module")
def stock(quick_run: Run) -> RunsThere:
    kept = ["engine=local", "metrics=[evaluation,weights]", "snapshots.clients=true", "snapshots.rounds=[all]"]
    return RunsThere(STOCK, lambda name: quick_run(*kept, *STOCK[name]))


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", STOCK)
def test_a_stock_strategy_finishes_and_keeps_precision(stock: RunsThere, name: str) -> None:
    run = stock[name]
    assert (run / "done.json").exists()
    weights = {key: tensor for key, tensor in checkpoint(run).items() if key.startswith("weights/")}
    assert len(weights) == 4
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights.values())
    loss = read(run).records.query("metric == 'loss' and scope == 'server_test'")
    assert sorted(loss["round"].unique()) == [0, 1, 2]
    assert loss.value.notna().all()


@pytest.mark.usefixtures("device")
def test_the_weights_are_what_the_stock_rules_say(stock: RunsThere) -> None:
    names = [key.removeprefix("weights/") for key in checkpoint(stock["Krum"]) if key.startswith("weights/")]
    for name in names:
        median = torch.stack([w[name] for w in client_weights(stock["FedMedian"], 2)])
        expected = torch.from_numpy(np.median(median.numpy(), axis=0))
        assert torch.equal(checkpoint(stock["FedMedian"])[f"weights/{name}"], expected)
        trimmed = torch.stack([w[name] for w in client_weights(stock["FedTrimmedAvg"], 2)]).sort(0).values
        torch.testing.assert_close(checkpoint(stock["FedTrimmedAvg"])[f"weights/{name}"], trimmed[1:3].mean(0))
        krum = checkpoint(stock["Krum"])[f"weights/{name}"]
        assert sum(torch.equal(krum, weights[name]) for weights in client_weights(stock["Krum"], 2)) == 1


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", STOCK)
def test_clients_are_compared_whatever_the_strategy_does_with_their_weights(stock: RunsThere, name: str) -> None:
    # FedMedian and FedTrimmedAvg take the arrays out of the replies while they aggregate them.
    records = read(stock[name]).records.query("metric == 'drift'")
    assert len(records) == 2 * 4 * 3
    assert set(records.status) == {"ok"}
    assert all(len(weights) == 4 for weights in client_weights(stock[name], 1))


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", ["FedAdam", "FedYogi", "FedAvgM"])
def test_a_stateful_strategy_moves_differently_from_fedavg(stock: RunsThere, name: str) -> None:
    means = [
        torch.stack([weights[key] for weights in client_weights(stock[name], 2)]).mean(0)
        for key in client_weights(stock[name], 2)[0]
    ]
    found = [checkpoint(stock[name])[f"weights/{key}"] for key in client_weights(stock[name], 2)[0]]
    assert not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, means, strict=True))


@pytest.mark.usefixtures("device")
def test_half_of_the_clients_are_drawn_afresh_and_evaluated_too(quick_run: Run) -> None:
    runs = [
        quick_run(
            "fraction=0.5", "rounds=4", "metrics=[evaluation]", "engine=local", f"algorithm={name}", f"seed={seed}"
        )
        for name, seed in (("fedavg", 0), ("fedmedian", 0), ("fedavg", 1))
    ]
    drawn = []
    for run in runs:
        records = read(run).records
        moments = {
            moment: records[(records.moment == moment) & (records.owner == "client")].groupby("round").client.unique()
            for moment in ("after_local", "after_aggregate")
        }
        trained, evaluated = ([sorted(clients) for clients in moment] for moment in moments.values())
        assert trained == evaluated
        assert [len(clients) for clients in trained] == [2] * 4
        drawn.append(trained)
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len({tuple(clients) for clients in drawn[0]}) > 1


# --- batch-norm buffers


@pytest.fixture
def averaged(quick_run: Run) -> Path:
    return quick_run(
        *BATCH_NORM,
        "engine=local",
        "algorithm=fedadam",
        "rounds=3",
        "snapshots.clients=true",
        "partition=quantity",
        "examples_per_client=null",
    )


@pytest.mark.usefixtures("device")
def test_running_variances_stay_positive_and_are_the_weighted_mean(averaged: Path) -> None:
    found = checkpoint(averaged)
    sizes = read(averaged).partition.query("scope == 'client_train'").groupby("client").examples.sum()
    shares = (sizes / sizes.sum()).tolist()
    assert len(set(shares)) > 1
    clients = client_weights(averaged, 3)
    for name in ("norm.running_mean", "norm.running_var"):
        expected = sum(share * weights[name].double() for share, weights in zip(shares, clients, strict=True))
        assert torch.equal(found[f"buffers/{name}"], torch.as_tensor(expected).float())
    assert (found["buffers/norm.running_var"] > 0).all()
    steps = sum(s * float(w["norm.num_batches_tracked"]) for s, w in zip(shares, clients, strict=True))
    assert found["buffers/norm.num_batches_tracked"].item() == round(steps)
    assert found["buffers/norm.num_batches_tracked"].shape == ()
    assert not any("running" in name for name in found if name.startswith("weights/"))


def test_mean_buffers_by_hand() -> None:
    buffers = [
        {"mean": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)},
        {"mean": torch.tensor([5.0, -2.0]), "count": torch.tensor(8)},
    ]
    phase = Replies(messages=two_replies(), buffers=dict(enumerate(buffers)))
    for key, mean, count in (("num-examples", [2.0, 1.0], 4), ("one", [3.0, 0.0], 6)):
        found = phase.mean_buffers(key)
        assert found["mean"].tolist() == mean
        assert (found["count"].dtype, found["count"].shape, found["count"].item()) == (torch.int64, (), count)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("algorithm", ["fedavg", "local"])
def test_local_buffers_stay_with_their_client(quick_run: Run, algorithm: str) -> None:
    run = quick_run(
        *BATCH_NORM, "engine=local", f"algorithm={algorithm}", "training.buffers=local", "snapshots.clients=true"
    )
    store = RunFolder(run).states
    states = [store.load(client, 3, proposed=False).array_records["buffers"] for client in range(4)]
    for state, snapshot in zip(states, client_weights(run, 2), strict=True):
        for name, array in state.items():
            assert array.numpy().shape == snapshot[name].shape
            assert np.array_equal(array.numpy(), snapshot[name].numpy())
        # 60 examples of a client, 80 % to train on, 16 a batch, 2 rounds: its own count goes on.
        assert snapshot["norm.num_batches_tracked"].item() == 6
    assert not np.array_equal(states[0]["norm.running_mean"].numpy(), states[1]["norm.running_mean"].numpy())
