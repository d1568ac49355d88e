"""What a strategy tells its clients is obeyed, as our own options would have it, or refused before the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import mod
from safetensors.torch import load, load_file

from clients.obedience import clip_update
from fedlayers import read
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.execution.build import build, build_strategy
from fedlayers.flower.adapter import set_identity
from fedlayers.flower.orders import orders
from fedlayers.runs.folder import RunFolder

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
TARGET = "algorithm.strategy._target_="
STOCK = f"{TARGET}flwr.serverapp.strategy."
TINY = ["clients=3", "examples_per_client=60", "partition=iid", "model.hidden=[16]", "metrics=[]", "device=cpu"]
FLOWER = ["engine=local", "algorithm=flower", "metrics=[evaluation,weights]"]
WRAPPED = "+algorithm.strategy.strategy={_target_: flwr.serverapp.strategy.FedAvg}"


def telling(told: str, **arguments: Any) -> list[str]:
    more = [f"+algorithm.strategy.{name}={value}" for name, value in arguments.items()]
    return [f"{TARGET}tests.support.odd_strategies.Telling", f"+algorithm.strategy.told={{{told}}}", *more]


def built_with(*words: str) -> None:
    build(compose_config([*TINY, "algorithm=flower", *words]))


# --- obeyed


def test_flowers_fedprox_is_ours_bit_for_bit(quick_run: Run, tables: Tables) -> None:
    told = quick_run(*FLOWER, f"{STOCK}FedProx", "+algorithm.strategy.proximal_mu=3.0")
    client = ["algorithm.client._target_=clients.fedprox.FedProxClient", "+algorithm.client.mu=3.0"]
    ours, plain = quick_run(*FLOWER, f"{STOCK}FedAvg", *client), quick_run(*FLOWER, f"{STOCK}FedAvg")
    assert tables(told) == tables(ours) != tables(plain)
    # With our own server the sums are others in the last bits, so that only the first round's clients are equal.
    whole = quick_run("engine=local", "metrics=[evaluation,weights]", "algorithm=fedprox", "algorithm.mu=3.0")
    clients = "round == 1 and moment == 'after_local' and owner == 'client'"
    first = [read(run).records.query(clients) for run in (told, whole)]
    norms = [rows[rows.metric.isin(["norm", "update_norm", "training_loss"])].value.tolist() for rows in first]
    assert norms[0] == norms[1]


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        (
            "lr: 0.2, local_epochs: 2, batch-size: 8, Momentum: 0.5, weight_decay: 0.01",
            ["training.lr=0.2", "training.epochs=2", "training.batch_size=8", "training.momentum=0.5",
             "training.weight_decay=0.01"],
        ),
        ("learning-rate: 0.3, steps: 3", ["training.lr=0.3", "training.steps=3"]),
    ],
)  # fmt: skip
def test_settings_told_are_settings_made(quick_run: Run, tables: Tables, told: str, ours: list[str]) -> None:
    scheduled = ["training.schedule=exponential", "training.schedule_by=step", "training.warmup=2"]
    obeyed = quick_run("engine=local", "algorithm=flower", *telling(told), *scheduled)
    assert tables(obeyed) == tables(quick_run("engine=local", *ours))


def test_a_client_gets_all_that_it_says_it_reads(quick_run: Run) -> None:
    words = [
        *telling("scale: 0.5", record="offset"),
        "algorithm.client._target_=tests.support.odd_clients.ListeningClient",
    ]
    kept = ["snapshots.clients=true", "snapshots.rounds=[1]", "rounds=1"]
    found, plain = quick_run("engine=local", "algorithm=flower", *words, *kept), quick_run("engine=local", *kept)
    for client in range(4):
        name = f"snapshots/client{client}@1.safetensors"
        for key, tensor in load_file(plain / name).items():
            assert torch.equal(load_file(found / name)[key], tensor * 0.5 + 3.0)


@pytest.mark.parametrize("kind", ["Fixed", "Adaptive"])
def test_clipping_at_the_client_is_clipping_at_the_server(quick_run: Run, kind: str) -> None:
    norm = ["+algorithm.strategy.clipping_norm=0.1"] if kind == "Fixed" else []
    words = [*FLOWER, WRAPPED, "+algorithm.strategy.noise_multiplier=0.0", "+algorithm.strategy.num_sampled_clients=4"]
    wrappers = [f"{STOCK}DifferentialPrivacy{side}Side{kind}Clipping" for side in ("Client", "Server")]
    runs = [quick_run(*words, *norm, wrapper) for wrapper in wrappers]
    here, there = (load(RunFolder(run).checkpoint(2)[0]) for run in runs)
    for name, tensor in here.items():
        torch.testing.assert_close(tensor, there[name], rtol=0, atol=1e-6)
    moved = [read(run).records.query("metric == 'update_norm' and round == 1 and layer.isna()").value for run in runs]
    assert moved[0].tolist() == pytest.approx([0.1] * 4, rel=1e-6) and min(moved[1]) > 0.11


@pytest.mark.parametrize("norm", [0.5, 100.0])
def test_a_clipped_update_is_that_of_flowers_mod(norm: float) -> None:
    set_identity()
    generator = np.random.default_rng(0)
    received, trained = (
        {name: generator.standard_normal(shape).astype(np.float32) for name, shape in (("w", (30, 20)), ("b", (30,)))}
        for _ in range(2)
    )

    def record(weights: dict[str, np.ndarray]) -> ArrayRecord:
        return ArrayRecord({name: Array(array) for name, array in weights.items()})

    def train(message: Message, _context: Context) -> Message:
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": record(trained), "metrics": metrics}), reply_to=message)

    content = RecordDict({"arrays": record(received), "config": ConfigRecord({"clipping_norm": norm})})
    reply = mod.adaptiveclipping_mod(Message(content, 1, "train"), Context(1, 1, {}, RecordDict(), {}), train)
    weights = {name: torch.from_numpy(array.copy()) for name, array in trained.items()}
    clipped = clip_update(weights, {name: torch.from_numpy(array) for name, array in received.items()}, norm)
    assert clipped == reply.content.metric_records["metrics"]["norm_bit"] == (norm < 1)
    for name, array in reply.content.array_records["arrays"].items():
        np.testing.assert_allclose(weights[name].numpy(), array.numpy(), rtol=0, atol=1e-6)


def test_flowers_q_fedavg_gets_the_training_loss(quick_run: Run) -> None:
    words = [*FLOWER, f"{STOCK}QFedAvg", "+algorithm.strategy.q=2.0", "rounds=1", "training.lr=0.1"]
    run = quick_run(*words, "snapshots.clients=true", "snapshots.rounds=[1]")
    losses = read(run).records.query("metric == 'training_loss'").sort_values("client").value.tolist()
    start = build(compose_config([*TINY[1:], "clients=4"])).module.state_dict()
    total, weights = {name: torch.zeros_like(tensor).double() for name, tensor in start.items()}, 0.0
    for client, loss in enumerate(losses):
        own = load_file(run / "snapshots" / f"client{client}@1.safetensors")
        gradient = {name: (start[name] - own[name]).double() / 0.1 for name in start}
        square = sum(float(g.square().sum()) for g in gradient.values())
        weights += 2 * loss * square + loss**2 / 0.1
        total = {name: total[name] + loss**2 * gradient[name] for name in total}
    found = load(RunFolder(run).checkpoint(1)[0])
    for name, tensor in start.items():
        torch.testing.assert_close(found[f"weights/{name}"].double(), tensor - total[name] / weights, rtol=0, atol=1e-5)


# --- refused


PROX = [f"{STOCK}FedProx", "+algorithm.strategy.proximal_mu=1.0", "+algorithm.client.mu=1.0"]
PROX += ["algorithm.client._target_=clients.fedprox.FedProxClient"]
TOLD = "which algorithm.strategy tells its clients, must be"
UNREAD = "which clients.fedavg.FedAvgClient does not read"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (telling("temperature: 2.0"), f"sends its clients 'temperature' in the configuration, {UNREAD}; name a cl"),
        (telling("optimizer: adam"), f"'optimizer' in the configuration, {UNREAD}; set training.optimizer instead"),
        (telling("", record="control"), f"sends its clients a record 'control', {UNREAD}; name a client"),
        (telling("lr: fast"), f"lr, {TOLD} a number, got 'fast'"),
        (telling("steps: 1.5"), f"steps, {TOLD} a whole number, got 1.5"),
        (
            telling("lr: -1.0"),
            "what algorithm.strategy tells its clients: training.lr must be a positive number, got",
        ),
        (telling("lr: 0.1, learning_rate: 0.2"), "must be what it says of lr by another key, 0.1, got 0.2"),
        (telling("proximal_mu: -1.0"), rf"proximal-mu, {TOLD} 0 or more \(0 is FedAvg\), got -1.0"),
        (telling("clipping_norm: 0.0"), f"clipping-norm, {TOLD} positive, got 0"),
        (
            [f"{TARGET}tests.support.odd_strategies.Forgetting"],
            "must pass on the configuration that it is given, and lost",
        ),
        ([f"{STOCK}FedAvg", "+algorithm.strategy.arrayrecord_key=w"], "must be named 'arrays', got .'w'.; leave out"),
        ([f"{STOCK}FedAvg", "+algorithm.strategy.configrecord_key=w"], "must be named 'config', got .'w'.; leave out"),
        (PROX, "'proximal-mu' in .* because it has an option of its own; see algorithm.client"),
        ([f"{STOCK}FedAdam", "+algorithm.strategy.eta_l=0.3"], "strategy.eta_l must be training.lr, 0.05, got 0.3"),
        (
            [f"{STOCK}QFedAvg", "+algorithm.strategy.client_learning_rate=0.3"],
            "learning_rate must be training.lr",
        ),
        (
            [f"{STOCK}QFedAvg", "+algorithm.strategy.train_loss_key=cost"],
            "QFedAvg can do nothing with the replies of 3 clients: AggregationError: Missing or invalid training loss",
        ),
        (
            [f"{STOCK}Bulyan", "+algorithm.strategy.num_malicious_nodes=1"],
            "algorithm.strategy.num_malicious_nodes must be at most 0 where 3 clients train in a round, got 1",
        ),
    ],
)
def test_what_nobody_reads_is_refused_before_the_run(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        built_with(*words)


CLIPPING = [f"{STOCK}DifferentialPrivacyServerSideFixedClipping", "+algorithm.strategy.noise_multiplier=0.1"]
CLIPPING += ["+algorithm.strategy.clipping_norm=0.1"]


def test_wrappers_must_fit_what_they_wrap_and_how_many_train() -> None:
    many, inner = "+algorithm.strategy.num_sampled_clients=", "+algorithm.strategy.strategy={_target_: "
    with pytest.raises(UserError, match="num_sampled_clients must be 3, the clients that train in a round, got 2"):
        built_with(*CLIPPING, WRAPPED, f"{many}2")
    for name in ("strategies.local.Local", "strategies.clustered.Clustered"):
        sentence = f"_target_ must be one that sends everybody one model, got '{name.split('.')[-1]}'; what wraps it"
        with pytest.raises(UserError, match=sentence):
            built_with(*CLIPPING, f"{inner}{name}}}", f"{many}3")
    with pytest.raises(UserError, match=r"strategy\.strategy\.fraction_train is filled in by the run; set fraction"):
        built_with(*CLIPPING, f"{inner}flwr.serverapp.strategy.FedAvg, fraction_train: 0.5}}", f"{many}3")


def test_a_wrapped_strategy_samples_and_weighs_as_the_run_says() -> None:
    words = ["algorithm=flower", *CLIPPING, WRAPPED, "+algorithm.strategy.num_sampled_clients=1", "fraction=0.5"]
    inner: Any = vars(build_strategy(compose_config([*TINY, *words, "weighting=uniform"])))["strategy"]
    assert (inner.fraction_train, inner.weighted_by_key, inner.min_available_nodes) == (0.5, "one", 1)


def test_what_a_strategy_tells_later_is_refused_then(quick_run: Run) -> None:
    with pytest.raises(UserError, match="sends its clients 'temperature' in the configuration"):
        quick_run("engine=local", "algorithm=flower", *telling("temperature: 1.0", server_round=2))


def test_orders_leave_alone_what_is_not_told() -> None:
    training = Training(epochs=3, lr=0.5)
    found = orders({"server-round": 4, "moment": "after_local"}, training)
    assert (found.training, found.lr, found.mu, found.clipping_norm) == (training, None, 0.0, None)
    assert orders({"epochs": 2}, Training(steps=7)).training == Training(epochs=2)
