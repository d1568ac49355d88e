"""Algorithms of a shared model with what they add switched off: FedAvg, byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.runs.folder import RunFolder

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]

OFF = {
    "fedlc": ["algorithm.tau=0"],
    "moon": ["algorithm.mu=0"],
    "fedsam": ["algorithm.rho=0"],
    "perfedavg": ["algorithm.alpha=0"],
    "fedper": ["plan=all"],
    "fedrep": ["plan=all"],
    "fedbabu": ["algorithm.head_layers=0", "algorithm.tuning_epochs=0"],
    "fedala": ["algorithm.layers=0"],
    "knnper": ["algorithm.share=0"],
    "localadaptation": ["algorithm.tuning_epochs=0"],
}
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]


@pytest.fixture(scope="module")
def plain(quick_run: Run) -> Path:
    return quick_run(*WORDS)


@pytest.mark.parametrize("name", OFF)
def test_switched_off_it_is_fedavg(plain: Path, quick_run: Run, tables: Tables, name: str) -> None:
    assert tables(quick_run(*WORDS, f"algorithm={name}", *OFF[name])) == tables(plain)


def test_before_there_is_a_last_model_moon_is_fedavg(plain: Path, quick_run: Run, tables: Tables) -> None:
    run = quick_run(*WORDS, "algorithm=moon", "algorithm.mu=5")
    assert tables(run)["records/round=000001.parquet"] == tables(plain)["records/round=000001.parquet"]
    assert RunFolder(run).checkpoint(2)[0] != RunFolder(plain).checkpoint(2)[0]


def test_without_the_balanced_loss_fedrod_shares_fedavgs_model(plain: Path, quick_run: Run) -> None:
    run = quick_run(*WORDS, "algorithm=fedrod", "algorithm.balanced=false")
    assert RunFolder(run).checkpoint(2)[0] == RunFolder(plain).checkpoint(2)[0]
