"""Which runs of a study belong together."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlayers.figures.available import figures_of
from fedlayers.runs.reading.run_facts import run_folders
from fedlayers.views.run_groups import settings_of
from tests.support.fake_run import write_run


def test_runs_are_grouped_by_everything_but_their_seed(tmp_path: Path) -> None:
    changes: dict[str, Any]
    for changes in ({}, {"seed": 1}, {"lr": 0.1}, {"seed": 2, "rounds": 5}, {"algorithm": "fedprox", "lr": 0.1}):
        write_run(tmp_path, **changes)
    (setting,) = settings_of(run_folders(tmp_path))
    assert setting.name == ""
    assert {group.name: len(group.runs) for group in setting.groups} == {
        "fedavg, rounds=4, training.lr=0.05": 2,
        "fedavg, rounds=4, training.lr=0.1": 1,
        "fedavg, rounds=5, training.lr=0.05": 1,
        "fedprox, rounds=4, training.lr=0.1": 1,
    }
    assert setting.facts["dataset"] == "FMNIST" and len(setting.facts["layers"]) == 3


def test_what_only_some_algorithms_have_tells_those_apart(tmp_path: Path) -> None:
    for mu in (0.1, 1.0):
        run = write_run(tmp_path, algorithm="fedprox", lr=mu)
        config = {"seed": 0, "algorithm": {"mu": mu, "client": {"mu": mu}}}
        (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    plain = write_run(tmp_path, algorithm="fedavg")
    (plain / "config.yaml").write_text('{"seed": 0}', encoding="utf-8")
    (setting,) = settings_of(run_folders(tmp_path))
    assert [group.name for group in setting.groups] == [
        "fedavg", "fedprox, algorithm.mu=0.1", "fedprox, algorithm.mu=1.0",
    ]  # fmt: skip


def test_settings_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    facts: Mapping[str, Any]
    for number, facts in enumerate(({}, {"dataset": "digits"}, {"dataset": "digits", "model": "mlp"})):
        write_run(tmp_path, seed=number, overrides=tuple(facts.items()))
    names = [setting.name for setting in settings_of(run_folders(tmp_path))]
    assert sorted(names) == ["FMNIST-cnn", "digits-cnn", "digits-mlp"]
    drawings = [figure.name for figure in figures_of(tmp_path)]
    assert "learning_curves_digits-mlp" in drawings
    assert "layer_profile_norm_FMNIST-cnn" in drawings


def test_one_name_for_two_implementations_tells_them_apart(tmp_path: Path) -> None:
    """Averaged as if they were seeds of one, they were a curve of nothing."""
    for seed, (algorithm, objective, target) in enumerate(
        [("fedavg", "custom", "mine.margin"), ("fedavg", "custom", "mine.double"), ("fedavg", "mse", "ours.Mse")]
    ):
        run = write_run(tmp_path, algorithm=algorithm, seed=seed, overrides=(("objective", objective),))
        config = {"seed": seed, "objective": {"name": objective, "_target_": target, "counts": "client"}}
        (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    (setting,) = settings_of(run_folders(tmp_path))
    assert [group.name for group in setting.groups] == [
        "fedavg, objective=custom, objective._target_=mine.double",
        "fedavg, objective=custom, objective._target_=mine.margin",
        "fedavg, objective=mse, objective._target_=ours.Mse",
    ]


def test_an_implementation_that_its_name_tells_is_no_column(tmp_path: Path) -> None:
    for algorithm in ("fedavg", "fedprox"):
        run = write_run(tmp_path, algorithm=algorithm)
        config = {"seed": 0, "algorithm": {"client": {"_target_": f"clients.{algorithm}"}}}
        (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    (setting,) = settings_of(run_folders(tmp_path))
    assert [group.name for group in setting.groups] == ["fedavg", "fedprox"]


def test_what_something_is_called_tells_before_how_it_is_set(tmp_path: Path) -> None:
    for seed, (objective, settings) in enumerate([("mse", {}), ("cross_entropy", {"label_smoothing": 0.0})]):
        run = write_run(tmp_path, seed=seed, overrides=(("objective", objective),))
        config = {"seed": seed, "objective": {"name": objective, **settings}}
        (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    (setting,) = settings_of(run_folders(tmp_path))
    assert [group.name for group in setting.groups] == ["fedavg, objective=cross_entropy", "fedavg, objective=mse"]
