"""Words that were left: whoever writes them is told the new one, and runs that were written with them are read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import fedlayers
from clients.fedavg import FedAvgClient
from fedlayers.config.arguments import read_arguments
from fedlayers.config.compose import compose_config
from fedlayers.config.plugins import check_plugins
from fedlayers.config.schema.old_names import in_new_words
from fedlayers.core.errors import UserError
from fedlayers.execution.build import check_parts
from fedlayers.execution.summary import summarise
from fedlayers.figures.draw import draw_main
from fedlayers.measuring.build import build_metrics
from fedlayers.report.page import write_report
from fedlayers.runs.reading.run_columns import config_of
from fedlayers.studies.aggregate import aggregate
from fedlayers.studies.status import study_status
from metrics.base import Metric

PER_CLIENT = "no such key 'records_per_client'; it is called examples_per_client now$"
BATCH = r"no such key 'metrics.(\w+).batch_records'; it is called metrics.\1.batch_examples now$"
DEGREE = (
    "no such key 'metrics.representation.records_per_degree'; it is called metrics.representation.examples_per_degr"
)
EPOCHS = "no such key 'metrics.distances.epochs'; it is called metrics.distances.steps now$"
WEIGHTING = "weighting must be one of examples, uniform, got 'records'; it is called examples now$"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("records_per_client=200", PER_CLIENT),
        ("+records_per_client=200", PER_CLIENT),
        ("weighting=records", WEIGHTING),
        ("metrics.gradients.batch_records=64", BATCH),
        ("metrics.curvature.batch_records=64", BATCH),
        ("metrics.representation.records_per_degree=2", DEGREE),
        ("metrics.distances.epochs=true", EPOCHS),
    ],
)
def test_old_words_are_told_on_the_command_line(word: str, text: str) -> None:
    with pytest.raises(UserError, match=text):
        compose_config([word])


@pytest.mark.parametrize("group", ["metrics.gradients.batch", "metrics.sensitivity.batch", "metrics.originals.batch"])
def test_an_old_argument_is_told_by_who_takes_it(group: str) -> None:
    option = group.split(".")[1]
    config = compose_config([f"metrics=[{option}]", f"+{group}_records=8"])
    with pytest.raises(UserError, match=rf"has no argument 'batch_records'; did you mean {group}_examples\?$"):
        check_plugins(config)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"records_per_client": 200}, PER_CLIENT),
        ({"records_per_client": [100, 200]}, PER_CLIENT),
        ({"weighting": "records"}, WEIGHTING),
        ({"metrics": {"gradients": {"batch_records": 64}}}, BATCH),
    ],
)
def test_old_words_are_told_in_python(settings: Mapping[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        fedlayers.run(results_dir=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("records_per_client: 200", f"^conf/experiment/mine.yaml: {PER_CLIENT}"),
        ("weighting: records", WEIGHTING),
        ("metrics:\n  gradients:\n    batch_records: 64", r"did you mean metrics.gradients.batch_examples\?$"),
    ],
)
def test_old_words_are_told_in_a_yaml_of_ones_own(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{content}\n")
    with pytest.raises(UserError, match=text):
        check_plugins(compose_config(read_arguments(["+experiment=mine", f"--config-dir={tmp_path}"]).overrides))


class OldClient(FedAvgClient):
    """Overrides a hook under the name it had."""

    def training_records(self) -> None:
        """Never called."""


class OlderClient(FedAvgClient):
    """Says which model is evaluated as was done before there could be several."""

    evaluated_model = "personal"


class WatchingClient(FedAvgClient):
    """Looks at every step as was done before there were observers."""

    def after_step(self, *_: object) -> None:
        """Never called."""


@pytest.mark.parametrize(
    ("client", "old", "new"),
    [
        ("WatchingClient", "after_step", "observers"),
        ("OldClient", "training_records", "training_examples"),
        ("OlderClient", "evaluated_model", "evaluated_models"),
    ],
)
def test_a_hook_that_is_called_otherwise_now_is_told(client: str, old: str, new: str) -> None:
    config = compose_config([f"algorithm.client._target_=tests.config.test_old_names.{client}"])
    with pytest.raises(UserError, match=f"got {old} in tests.* it is called {new} now$"):
        check_parts(config)


class OldMetric(Metric):
    """Measures after every epoch, by the name that the step half had."""

    def epoch(self) -> None:
        """Never called."""


def test_a_half_of_a_metric_that_is_called_otherwise_now_is_told() -> None:
    with pytest.raises(UserError, match=r"^metrics.mine._target_ must have .* got epoch in .* it is called step now$"):
        build_metrics({"mine": {"_target_": f"{__name__}.OldMetric"}})


@pytest.mark.parametrize(("before", "now"), [(False, "[]"), (True, '["every epoch"]')])
def test_runs_from_before_steps_stand_beside_others(before: bool, now: str) -> None:
    old = {"metrics.distances._target_": "d", "metrics.distances.epochs": before, "metrics.weights._target_": "w"}
    new = {"metrics.distances._target_": "d", "metrics.distances.steps": now, "metrics.weights._target_": "w"}
    assert in_new_words(old) == in_new_words(new | {"metrics.weights.steps": "[]"})
    assert in_new_words(new | {"metrics.weights.steps": '["last"]'})["metrics.weights.steps"] == '["last"]'
    assert in_new_words({"seed": 0}) == {"seed": 0}


def test_old_names_of_distances_in_a_configuration_are_those_of_now() -> None:
    old = {"metrics.distances.names": '["mean-cka_dst", "l2_dst"]', "metrics.clusters.distance": "shape_0_dst"}
    new = {
        "metrics.distances.names": '["mean-cka_distance", "l2_dst"]',
        "metrics.clusters.distance": "shape_0_distance",
    }
    assert in_new_words(old) == in_new_words(new) == new


@pytest.fixture(scope="module")
def study(quick_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a run as it was written before, and one with the same settings and another seed."""
    folder = tmp_path_factory.mktemp("results")
    old, _ = (quick_run("rounds=1", "clients=2", f"seed={seed}", folder=folder) for seed in (0, 1))
    table = pq.read_table(old / "partition.parquet")
    names = ["records" if name == "examples" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), old / "partition.parquet")
    config = yaml.safe_load((old / "config.yaml").read_text())
    config["records_per_client"] = config.pop("examples_per_client")
    config["weighting"] = "records"
    del config["metrics"]["weights"]["steps"]
    (old / "config.yaml").write_text(yaml.safe_dump(config))
    return old.parent


def test_runs_with_old_words_are_read_like_others(study: Path) -> None:
    old, new = sorted(path for path in study.iterdir() if path.is_dir())
    tables = fedlayers.read(study)
    assert "records" not in tables.partition
    assert tables.partition.groupby("run", observed=True)["examples"].sum().nunique() == 1
    assert config_of(old) == {**config_of(new), "seed": 0}
    assert "records_per_client" not in pd.concat([fedlayers.read(run).facts for run in (old, new)])


@pytest.mark.slow
def test_runs_with_old_words_are_drawn_told_and_aggregated_with_others(study: Path, tmp_path: Path) -> None:
    old = min(path for path in study.iterdir() if path.is_dir())
    assert {path.stem for path in draw_main(old)} >= {"partition", "learning_curves"}
    assert "complete" in summarise(old)
    assert write_report(study, tmp_path / "report.html").is_file()
    assert len(aggregate(study).complete) == 2
    assert {run.state for run in study_status(study)} == {"done"}
