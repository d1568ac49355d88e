"""A run's folder opened again gives what the run had: configuration, data, models, tables."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.runs.partition_table import with_zeros
from metrics.evaluation import Evaluation
from tests.conftest import QUICK, composed
from tests.support.fake_run import write_run

WORDS = (
    "snapshots.rounds=[all]",
    "snapshots.clients=true",
    "engine=local",
    "algorithm=fedprox",
    "metrics=[evaluation]",
)


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run(*WORDS)


def test_the_configuration_is_that_of_the_run(run: Path) -> None:
    chosen = {word.split("=")[0] for word in WORDS}
    words = [*(word for word in QUICK if word.split("=")[0] not in chosen), *WORDS]
    opened = fedlayers.open(run).config
    expected = replace(composed(*words), results_dir=opened.results_dir)
    assert replace(opened, engine=expected.engine, device=expected.device) == expected


def test_the_data_are_those_of_the_run(run: Path) -> None:
    opened = fedlayers.open(run)
    # A run writes no labels that a client lacks; who reads it finds them as zeros.
    counts = with_zeros(opened.data.label_counts())
    assert counts["examples"].tolist() == opened.partition["examples"].tolist()
    assert opened.data.shape == tuple(opened.facts["shape"])


def test_a_model_has_the_weights_and_the_scores_of_its_round(run: Path) -> None:
    opened = fedlayers.open(run)
    assert opened.models["round"].tolist() == [1] * 5 + [2] * 5
    assert opened.models["owner"].tolist() == ["0", "1", "2", "3", "server"] * 2
    examples = opened.data.splits["client_test"][1]
    features, labels = examples.batch(torch.arange(len(examples)))
    for owner, moment in ((1, "after_local"), ("server", "after_aggregate")):
        with torch.no_grad():
            right = (opened.model(2, owner)(features).argmax(1) == labels).double().mean()
        told = opened.records(metric="accuracy", rounds=2, client=1, moment=moment, scope="client_test")
        assert told["value"].tolist() == pytest.approx([float(right)])
    best = int(opened.facts["best"]["round"])
    for name, tensor in opened.weights().items():
        assert torch.equal(tensor, opened.weights(best, "server")[name])
    assert opened.model().training is False


def test_its_models_need_no_data(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    content = yaml.safe_load((copy / "config.yaml").read_text(encoding="utf-8"))
    content["dataset"] = {"name": "gone", "_target_": "nowhere.Gone"}
    # A word of before, as in runs of before.
    content["records_per_client"] = content.pop("examples_per_client")
    content["weighting"] = "records"
    (copy / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    opened = fedlayers.open(copy)
    assert isinstance(opened.model(1), torch.nn.Module)
    assert (opened.config.examples_per_client, opened.config.weighting) == (60, "examples")


def test_its_tables_are_read_by_column_and_predicate(run: Path) -> None:
    opened = fedlayers.open(run)
    found = opened.records(metric="loss", rounds=[1], moment="after_local", columns=["client", "value"])
    whole = opened.tables.records.query("metric == 'loss' and round == 1 and moment == 'after_local'")
    assert list(found.columns) == ["client", "value"] and found["value"].tolist() == whole["value"].tolist()
    assert set(opened.spectra(metric="confusion", rounds=1)["round"]) == {1}
    assert opened.pairs().empty and set(opened.resources(metric="train_s")["metric"]) == {"train_s"}
    assert opened.quantities["loss"] == next(facts for facts in Evaluation.facts if facts.name == "loss")
    assert opened.tables.plot("learning_curves") is not None
    with pytest.raises(UserError, match=r"seed must be some of 0, got 3"):
        opened.records(seed=3)


def test_a_model_that_was_not_kept_is_told_with_those_that_were(run: Path, tmp_path: Path) -> None:
    opened = fedlayers.open(run)
    told = r"has no model of owner server at round 9: there are models of clients at rounds 1 to 2 and of server at rou"
    with pytest.raises(UserError, match=told):
        opened.model(9)
    with pytest.raises(UserError, match=r"has no model of owner 7 at round 1: .* snapshots.clients=true let a run"):
        opened.model(1, 7)
    with pytest.raises(UserError, match=r"round must be a whole number or 'best', got 'last'"):
        opened.model("last")
    other = write_run(tmp_path / "s")
    with pytest.raises(UserError, match=r"has no model of owner server at round best: it has kept none; snapshots.rou"):
        fedlayers.open(other).model()
    snapshots = other / "snapshots"
    snapshots.mkdir()
    (snapshots / "server@1.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"server@1.safetensors cannot be read .* or read another round"):
        fedlayers.open(other).weights(1)


def test_what_cannot_be_opened_is_told(run: Path, tmp_path: Path) -> None:
    for place in (run.parent, tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"is not a run folder: give results/<study>/<run>; fedlayers.read takes"):
            fedlayers.open(place)
    other = write_run(tmp_path / "s")
    (other / "config.yaml").write_text(json.dumps({"colour": "red"}))
    with pytest.raises(UserError, match=r"config.yaml is not of this version of fedlayers \(.*colour.*\): open it"):
        _ = fedlayers.open(other).config
    (other / "config.yaml").write_text("[]")
    with pytest.raises(UserError, match=r"config.yaml holds no configuration: restore it"):
        _ = fedlayers.open(other).config
    (other / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"has no config.yaml, as a training loop of one's own has none: its tables"):
        _ = fedlayers.open(other).data
