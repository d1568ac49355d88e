"""The experiments on chains of layers: the original's settings, its schedule over all steps, and a few real steps."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from clients.schedules import scheduled
from fedlayers import read
from fedlayers.config.compose import compose_config
from fedlayers.core.schedule import Step
from fedlayers.execution.execute import execute
from tests.support.data_configs import REAL_DATA, needs_real_data

# Width, epochs, training images, and of all images for training, as the original had them.
ORIGINAL = {
    "mnist": ("MNIST", 1024, 60, 55_000, 60_000),
    "fmnist": ("FMNIST", 1024, 60, 55_000, 60_000),
    "cifar10": ("CIFAR10", 4096, 200, 45_000, 50_000),
    "cifar100": ("CIFAR100", 4096, 300, 45_000, 50_000),
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_settings_and_schedule_are_the_originals(name: str) -> None:
    dataset, width, epochs, images, whole = ORIGINAL[name]
    config = compose_config([f"+experiment=chain/{name}"])
    training, model, learner = config.training, config.model, config.learner
    assert (config.dataset["name"], config.algorithm["name"], config.clients) == (dataset, "centralized", 1)
    assert (model["width"], model["layers"], model["similarity"], model["temperature"]) == (width, 4, "cosine", 0.1)
    assert (learner["lambda_ace"], learner["ace_variant"]) == (0.1, "ce_i_next")
    assert (training.optimizer, training.lr, training.weight_decay, training.batch_size) == ("adam", 1e-3, 1e-4, 128)
    assert round(config.split.train * whole) == images and config.split.test == 0
    assert config.rounds == epochs and training.optimizer_state == "carried"
    length = training.length(images)
    total, warmup = epochs * length.steps, round(0.05 * epochs * length.steps)
    for step in (0, 1, warmup - 1, warmup, warmup + 1, total // 2, total - 1):
        expected = (
            (step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        )
        server_round, number = divmod(step, length.steps)
        rate = scheduled(training, server_round + 1, config.rounds)
        assert callable(rate)
        assert rate(Step(number + 1, length.steps, length.per_epoch)) == pytest.approx(1e-3 * expected, rel=1e-9)


@needs_real_data
@pytest.mark.slow
def test_the_chain_on_real_clothing_learns_in_a_few_steps(tmp_path: Path) -> None:
    words = [
        "+experiment=chain/fmnist",
        "rounds=1",
        "training.steps=40",
        "training.warmup=2",
        "training.lr=0.01",
        "model.width=64",
    ]
    words += [
        "examples_per_client=2000",
        "server_test.examples=1000",
        "metrics=[evaluation]",
        "figures=false",
        "progress=none",
        "engine=local",
    ]
    config = compose_config([*words, f"data_dir={REAL_DATA}"])
    records = read(execute(replace(config, results_dir=str(tmp_path)))).records
    last = records[(records.metric == "accuracy") & (records.moment == "final") & (records.owner == "server")]
    assert last.value.item() > 0.4
