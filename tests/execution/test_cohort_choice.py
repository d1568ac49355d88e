"""How many clients train as one where nobody says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlayers.config.compose import compose_config
from fedlayers.execution import cohort_choice
from fedlayers.execution.build import Built, build
from fedlayers.execution.cohort_choice import chosen, settled_cohort, tried

Run = Callable[..., Path]
WORDS = ["clients=6", "examples_per_client=30", "partition=iid", "model.hidden=[8]", "metrics=[evaluation]"]


@pytest.mark.parametrize(
    ("seconds", "size"),
    [({1: 1.0, 4: 0.5, 16: 0.2}, 16), ({1: 1.0, 4: 0.21, 16: 0.2}, 4), ({1: 1.0, 4: 0.99}, 1), ({1: 1.0}, 1), ({}, 1)],
)
def test_the_smallest_of_those_that_cost_little_more_than_the_best(seconds: dict[int, float], size: int) -> None:
    assert chosen(seconds) == size


@pytest.fixture(scope="module")
def built() -> Built:
    return build(compose_config(WORDS))


def test_cohorts_are_tried_as_far_as_there_are_clients(built: Built) -> None:
    before = {name: tensor.clone() for name, tensor in built.module.state_dict().items()}
    seconds = tried(compose_config(WORDS), built)
    assert list(seconds) == [1, 4] and min(seconds.values()) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.module.state_dict().items())


def test_what_cannot_be_stacked_is_tried_no_further() -> None:
    config = compose_config([*WORDS, "model.dropout=0.5"])
    assert list(tried(config, build(config))) == [1]


def test_on_a_gpu_the_trial_decides_unless_something_was_found_or_asked(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort_choice, "tried", lambda *_: {1: 0.01, 4: 0.002})
    card = replace(built, workspace=replace(built.workspace, device=torch.device("cuda")))
    config = compose_config(WORDS)
    said = "training.cohort=auto: 4 clients train as one (a client took 10.0 ms as 1, 2.0 ms as 4)"
    assert settled_cohort(config, card, "ray", {}) == (4, said)
    assert settled_cohort(config, card, "ray", {"cohort": 16}) == (16, "")
    assert settled_cohort(config, card, "flower", {}) == (1, "")
    assert settled_cohort(config, built, "ray", {}) == (1, "")
    assert settled_cohort(compose_config([*WORDS, "training.cohort=3"]), card, "ray", {"cohort": 16}) == (3, "")
    pooled = compose_config([*WORDS, "algorithm=centralized"])
    other = build(pooled)
    assert settled_cohort(pooled, replace(card, strategy=other.strategy), "ray", {}) == (1, "")


def test_what_was_found_is_written_down_and_kept(quick_run: Run, tmp_path: Path) -> None:
    assert json.loads((quick_run("engine=local", "rounds=1") / "run.json").read_text())["cohort"] == 1
    run = quick_run("engine=local", "rounds=1", folder=tmp_path)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "cohort": 2}))
    assert quick_run("engine=local", "rounds=2", folder=tmp_path) == run
    assert json.loads((run / "run.json").read_text())["cohort"] == 2
