"""The contract of conf/: every option composes, names itself, fits its constructor and explains itself."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from flwr.serverapp.strategy import Strategy
from hydra.utils import get_class

from fedlayers.config.compose import compose_config, composed, hydra_ready
from fedlayers.config.options import LISTS, config_dir, options
from fedlayers.config.plugins import check_plugins
from fedlayers.config.schema.settings import Config
from fedlayers.execution.build import build_strategy
from fedlayers.measuring.build import build_metrics
from fedlayers.studies.study import compose_sweep
from metrics.base import Metric
from metrics.similarity import Similarity

GROUPS = (
    "algorithm",
    "dataset",
    "engine",
    "learner",
    "metrics",
    "model",
    "objective",
    "partition",
    "plan",
    "similarity",
)
OPTIONS = [(group, option) for group in GROUPS for option in options()[group]]
# What an option leaves for the user to say.
ASKED = {
    "algorithm=flower": ["algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi"],
    "dataset=hub": ["dataset.path=owner/name"],
    "plan=groups": ["plan.groups=[fc2]"],
    "dataset=hub_text": ["dataset.path=owner/name"],
    "plan=personal": ["plan.personal=[fc2]"],
    "plan=shared": ["plan.shared=[fc2]"],
    "model=custom": ["model._target_=fedlayers.models.mlp.MLP"],
    "objective=custom": ["objective._target_=torch.nn.CrossEntropyLoss", "+objective.reduction=none"],
}


# One whose algorithms are the same for each of its data sets: all of them for one, two for each.
GRIDS = {"player_fl/quick": [["dataset=Heart"], ["algorithm=local,playerfl"]]}


@cache
def chosen(group: str, option: str) -> Config:
    value = f"[{option}]" if group in LISTS else option
    beside = ["metrics=[similarity]"] if group == "similarity" else []
    return compose_config([f"{group}={value}", *beside, *ASKED.get(f"{group}={option}", [])])


def content(group: str, option: str) -> dict[str, Any]:
    text = (Path(config_dir()) / group / f"{option}.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    # One that sets something of another group, too, says for each which it is.
    return loaded[group] if text.startswith("# @package _global_") else loaded


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_option_composes_and_fits_its_constructor(group: str, option: str) -> None:
    check_plugins(chosen(group, option))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_option_names_itself_as_its_file(group: str, option: str) -> None:
    found = content(group, option)
    assert (set(found) == {option}) if group in LISTS else found["name"] == option


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_option_explains_itself_and_every_value(group: str, option: str) -> None:
    lines = (Path(config_dir()) / group / f"{option}.yaml").read_text().splitlines()
    header = " ".join(line for line in lines if line.startswith("#"))
    assert lines[0].startswith("# ")
    values = [re.match(r"\s*(?!name:|_target_:)(\w+): (?!\$\{)([^#]*[^# ])( *#)?", line) for line in lines]
    # What makes the option what it is may be explained above: "norm: group" in resnet18_gn.
    assert [found[0] for found in values if found and not found[3] and found[2] not in header] == []


@pytest.mark.parametrize("option", options()["algorithm"])
def test_algorithm_has_both_halves(option: str) -> None:
    config = chosen("algorithm", option)
    assert isinstance(build_strategy(config), Strategy)
    assert callable(get_class(config.algorithm["client"]["_target_"]))


@pytest.mark.parametrize("option", options()["metrics"])
def test_metric_can_be_built(option: str) -> None:
    built = build_metrics(chosen("metrics", option).metrics)
    assert isinstance(built[option], Metric)
    assert built[option].facts


# netrep is on no package index: tests/metrics/compare/test_compare_netrep.py stands in for it.
@pytest.mark.parametrize("option", sorted({*options()["similarity"]} - {"netrep"}))
def test_similarity_can_be_built_and_stands_in_the_metric(option: str) -> None:
    built = build_metrics(chosen("similarity", option).metrics)["similarity"]
    assert isinstance(built, Similarity)
    assert list(built.measures) == [option] and built.facts


@pytest.mark.parametrize("option", options()["experiment"])
def test_every_run_of_an_experiment_composes_for_two_seeds(option: str) -> None:
    for words in GRIDS.get(option, [[]]):
        sweep = compose_sweep([f"+experiment={option}", "seed=0,1", *words])
        assert len(sweep.configs) > 1
        assert {config.study for config in sweep.configs} == {option.replace("/", "_")}
        (runs,) = sweep.expected().values()
        assert len(runs) == len(sweep.configs)


@pytest.mark.parametrize("launcher", ["basic", "local", "slurm"])
def test_launcher_composes(launcher: str) -> None:
    with hydra_ready():
        found = composed([f"hydra/launcher={launcher}"])
    assert found.hydra.launcher._target_.endswith(
        {"basic": "BasicLauncher"}.get(launcher, f"{launcher.title()}Launcher")
    )
    assert found.hydra.job.name == "fedlayers"


def test_hydra_writes_to_the_study_folder_only() -> None:
    with hydra_ready():
        hydra = composed(["study=mine", "results_dir=elsewhere"]).hydra
    assert (hydra.run.dir, hydra.sweep.dir, hydra.sweep.subdir) == ("elsewhere/mine", "elsewhere/mine", ".")
    assert hydra.output_subdir is None
    assert "file" not in hydra.job_logging.handlers
    assert hydra.job.chdir is False
