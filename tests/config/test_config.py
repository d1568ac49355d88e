"""The typed configuration: ranges, and an identity that depends on what decides the numbers and on nothing else."""

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.examples import Plant, ServerTest
from fedlayers.config.schema.settings import (
    NOT_IDENTITY,
    Config,
    Engine,
    Plan,
    Probe,
    Snapshots,
    Split,
    canonical,
    identity,
)
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError


def config(**changes: Any) -> Config:
    groups: dict[str, Any] = {
        "dataset": {"name": "digits", "_target_": "x.Digits"},
        "partition": {"name": "dirichlet", "_target_": "x.Dirichlet", "alpha": 0.5},
        "model": {"name": "mlp", "_target_": "x.MLP"},
        "algorithm": {"name": "fedavg", "strategy": {"_target_": "x.S"}, "client": {"_target_": "x.C"}},
        "metrics": {"on_error": "record", "payload_mb": 64, "weights": {"_target_": "x.W"}},
    }
    return Config(**{**groups, **changes})


BAD = [
    (Training, "optimizer", "lion", "training.optimizer must be one of sgd, adam, adamw, got 'lion'"),
    (Training, "lr", 0.0, "training.lr must be a positive number"),
    (Training, "lr", math.nan, "training.lr must be a positive number, got nan"),
    (Training, "momentum", 1.0, r"training.momentum must be in \[0, 1\)"),
    (Training, "momentum", math.nan, "training.momentum"),
    (Training, "weight_decay", -1.0, "training.weight_decay must be 0 or more"),
    (Training, "weight_decay", math.inf, "training.weight_decay"),
    (Training, "clip_norm", 0.0, "training.clip_norm must be positive, or null"),
    (Training, "batch_size", 0, "training.batch_size must be 1 or more"),
    (Training, "epochs", 0.0, "training.epochs must be positive"),
    (Training, "steps", 0, "training.steps must be 1 or more"),
    (Training, "schedule", "linear", "training.schedule must be one of"),
    (Training, "schedule_rounds", 0, "training.schedule_rounds must be 1 or more"),
    (Training, "schedule", "step", "training.schedule_rounds must be 1 or more with training.schedule=step, got None"),
    (Training, "schedule_factor", 0.0, "training.schedule_factor must be in"),
    (Training, "augment", ["blur"], "training.augment must be one of crop, flip, rotation, got 'blur'"),
    (Training, "buffers", "none", "training.buffers must be one of average, local"),
    (Split, "train", 0.0, "split.train must be positive"),
    (Split, "val", -0.1, "split.val must be in"),
    (Split, "val", 0.3, "split.train .* must be 1, got 1.2; change one"),
    (Split, "server_test", 1.0, "split.server_test must be in"),
    (Engine, "name", "gpu", "engine.name must be one of auto, local, ray, flower"),
    (Engine, "workers", 0, "engine.workers must be 1 or more"),
    (Engine, "client_cpus", 0.0, "engine.client_cpus must be positive"),
    (Engine, "client_gpus", -0.5, "engine.client_gpus must be 0 or more"),
    (ServerTest, "examples", 0, "server_test.examples must be 1 or more, or null for all, got 0"),
    (ServerTest, "rounds", ["every 0"], "server_test.rounds must be .* got 'every 0'"),
    (ServerTest, "rounds", [1.5], "server_test.rounds must be .* got 1.5"),
    (ServerTest, "rounds", "all", r"server_test.rounds must be a list, got 'all'; write \[all\]"),
    (Snapshots, "rounds", [0], "snapshots.rounds must be .* got 0"),
    (Snapshots, "rounds", ["every 0"], "snapshots.rounds must be .* got 'every 0'"),
    (Snapshots, "rounds", [1.5], "snapshots.rounds must be .* got 1.5"),
    (Snapshots, "rounds", [True], "snapshots.rounds must be .* got True"),
    (Training, "cohort", 0, "training.cohort must be auto or a whole number of clients, 1 or more, .* got 0"),
    (Training, "cohort", "many", "training.cohort must be auto or a whole number .* got 'many'"),
    (Training, "cohort", True, "training.cohort must be auto or a whole number .* got True"),
    (Training, "cohort", 2**31, "training.cohort must be auto or a whole number .* got 2147483648"),
    (config, "rounds", 0, "rounds must be from 1 to"),
    (config, "rounds", 2**31, "rounds must be from 1 to"),
    (config, "seed", -1, "seed must be from 0 to"),
    (config, "seed", 2**63, "seed must be from 0 to"),
    (config, "clients", 0, "clients must be 1 or more, or null"),
    (config, "examples_per_client", 0, "examples_per_client must be 1 or more, or null"),
    (config, "fraction", 0.0, r"fraction must be in \(0, 1\]"),
    (config, "fraction", math.nan, "fraction must be in"),
    (config, "weighting", "size", "weighting must be one of examples, uniform"),
    (config, "client_threads", 0, "client_threads must be 1 or more"),
    (config, "server_threads", 0, "server_threads must be 1 or more"),
    (config, "device", "gpu", "device must be one of auto, cpu, cuda"),
    (config, "on_client_error", "retry", "on_client_error must be one of stop, drop"),
    (config, "progress", "bar", "progress must be one of auto, live, plain, none"),
    (config, "study", "", "study must be a folder name"),
    (config, "study", "a/b", "study must be a folder name"),
    (config, "study", "..", "study must be a folder name"),
    (config, "study", "a" * 101, "study must be a folder name .* 100 characters"),
    (config, "results_dir", "", "results_dir must be a path, got"),
    (config, "results_dir", "~/results", "results_dir must be a path written out, .* only the shell"),
    (config, "data_dir", "$HOME/data", "data_dir must be a path written out"),
    (config, "init", "~/weights", "init must be a path written out"),
    (config, "dataset", {}, "dataset.name must be a short text"),
    (config, "algorithm", {"name": "a/b"}, "algorithm.name must be a short text .* got 'a/b'"),
    (config, "metrics", {"on_error": "ignore"}, "metrics.on_error must be one of record, raise, got 'ignore'"),
    (config, "metrics", {"payload_mb": 0}, "metrics.payload_mb must be a positive number of megabytes, got 0"),
    (config, "metrics", {"payload_mb": True}, "metrics.payload_mb must be a positive number"),
    (config, "metrics", {"weights": 3}, "metrics.weights must be its settings, or null, got 3; choose with"),
]


@pytest.mark.parametrize(("kind", "key", "value", "text"), BAD, ids=[f"{row[1]}={row[2]!r:.20}" for row in BAD])
def test_range(kind: Any, key: str, value: Any, text: str) -> None:
    with pytest.raises(UserError, match=text) as caught:
        kind(**{key: value})
    assert "\n" not in str(caught.value)


def test_limits_that_are_allowed() -> None:
    Training(epochs=0.5, momentum=0.0, clip_norm=1e-3, schedule_factor=1.0, augment=["crop", "flip"])
    Split(train=1.0, val=0.0, test=0.0, server_test=0.0)
    Snapshots(rounds=["first", "last", "all", "every 5", 3])
    config(rounds=2**31 - 1, seed=2**63 - 1, fraction=1.0, study="0.1 mine", results_dir="/somewhere/else")


def test_defaults_are_not_part_of_the_identity() -> None:
    assert canonical(config()) == {
        "dataset": {"name": "digits", "_target_": "x.Digits"},
        "partition": {"name": "dirichlet", "_target_": "x.Dirichlet", "alpha": 0.5},
        "model": {"name": "mlp", "_target_": "x.MLP"},
        "algorithm": {"name": "fedavg", "strategy": {"_target_": "x.S"}, "client": {"_target_": "x.C"}},
        "metrics": {"payload_mb": 64, "weights": {"_target_": "x.W"}},
    }
    assert canonical(config(training=Training(lr=0.05, momentum=0.5)))["training"] == {"momentum": 0.5}


def test_identity_is_ten_hexadecimal_digits_of_the_canonical_json() -> None:
    assert len(identity(config())) == 10
    int(identity(config()), 16)
    json.dumps(canonical(config(seed=3)), allow_nan=False)


OTHERWISE: dict[str, Any] = {
    "rounds": 20, "study": "b", "results_dir": "b", "data_dir": "b", "engine": Engine(name="ray", workers=3),
    "progress": "none", "figures": False, "force": True, "on_client_error": "drop",
    "snapshots": Snapshots(rounds=["all"], clients=True), "device": "cpu", "similarity": {"rsa": {"_target_": "x.Y"}},
    "export": {"chain": {"_target_": "x.E", "folder": "b"}}, "tracking": {"wandb": {"_target_": "x.W"}},
}  # fmt: skip


@pytest.mark.parametrize("key", sorted(NOT_IDENTITY))
def test_what_changes_no_number_changes_no_identity(key: str) -> None:
    assert identity(config(**{key: OTHERWISE[key]})) == identity(config())


def test_neither_what_a_failing_metric_does_nor_one_left_out_changes_the_identity() -> None:
    other = {**config().metrics, "on_error": "raise", "gradients": None}
    assert identity(config(metrics=other)) == identity(config())


NUMBERS: dict[str, Any] = {
    "dataset": {"name": "digits", "_target_": "x.Other"}, "partition": {"name": "dirichlet", "alpha": 0.1},
    "model": {"name": "mlp", "hidden": [5]}, "algorithm": {"name": "fedavg", "mu": 1}, "metrics": {},
    "training": Training(lr=0.1), "split": Split(server_test=0.2), "seed": 1, "clients": 3, "fraction": 0.5,
    "examples_per_client": 9, "weighting": "uniform", "deterministic": True, "client_threads": 2, "server_threads": 2,
    "init": "weights.safetensors", "probe": Probe("pooled", 50), "surveyed_clients": 2,
    "plant": Plant("rotation"), "plan": Plan("personal", ["fc2"]),
    "server_test": ServerTest(9), "objective": {"name": "mse", "_target_": "x.M"},
    "learner": {"name": "greedy", "_target_": "x.G"},
}  # fmt: skip


def test_every_other_field_changes_the_identity() -> None:
    names = {item.name for item in dataclasses.fields(Config)}
    assert set(NUMBERS) == names - NOT_IDENTITY
    ids = [identity(config())] + [identity(config(**{key: value})) for key, value in NUMBERS.items()]
    assert len(set(ids)) == len(ids)


def test_rounds_count_where_the_learning_rate_depends_on_them() -> None:
    cosine = Training(schedule="cosine")
    assert identity(config(training=cosine, rounds=10)) != identity(config(training=cosine, rounds=20))
    fixed = Training(schedule="cosine", schedule_rounds=10)
    assert identity(config(training=fixed, rounds=20)) == identity(config(training=cosine, rounds=10))
    steps = Training(schedule="cosine", schedule_by="step")
    assert identity(config(training=steps, rounds=10)) != identity(config(training=steps, rounds=20))
    counted = Training(schedule="cosine", schedule_by="step", schedule_steps=10)
    assert identity(config(training=counted, rounds=10)) == identity(config(training=counted, rounds=20))


PROX = ["metrics=[weights]", "algorithm=fedprox"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([*PROX, "algorithm.mu=1"], [*PROX, "algorithm.mu=1.0"]),
        (["metrics=[weights,evaluation]"], ["metrics=[evaluation,weights]"]),
        (["metrics=[weights]"], ["metrics=[weights]", "training.lr=0.05", "seed=0", "clients=null"]),
        (["metrics=[weights]", "+dataset=FMNIST"], ["metrics=[weights]", "dataset=FMNIST", "model=cnn"]),
        (["metrics=[weights]", "engine=local"], ["metrics=[weights]", "engine=ray", "rounds=3"]),
    ],
    ids=["whole float", "order of metrics", "defaults spelt out", "what the data set brings", "engine and rounds"],
)
def test_same_run_said_differently(one: list[str], other: list[str]) -> None:
    assert identity(compose_config(one)) == identity(compose_config(other))


def test_the_order_of_arguments_changes_nothing() -> None:
    words = ["metrics=[weights]", "algorithm=fedprox", "algorithm.mu=0.5"]
    assert len({identity(compose_config(order)) for order in itertools.permutations(words)}) == 1
