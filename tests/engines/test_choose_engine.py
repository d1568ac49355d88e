"""The engine that ``auto`` takes, and the cost estimate behind it."""

import pytest
import torch
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.core.cost import multiply_adds
from fedlayers.execution.assembly import assembled
from fedlayers.execution.engine_choice import choose
from fedlayers.execution.measuring_cost import cheaper, client_seconds, measuring_seconds, times_due
from fedlayers.flower.session import Workspace
from metrics.base import Metric
from metrics.evaluation import Evaluation
from metrics.readout import Readout

tried: list[str] = []


def quick(metric: Metric, _workspace: Workspace) -> float:
    """Say that each metric takes 1 ms."""
    tried.append(type(metric).__name__)
    return 0.001


def slow(metric: Metric, _workspace: Workspace) -> float:
    """Say that each metric takes a second."""
    tried.append(type(metric).__name__)
    return 1.0


def workspace(*overrides: str) -> Workspace:
    tried.clear()
    return assembled(compose_config(overrides))


def chosen(*overrides: str) -> tuple[str, str]:
    made = workspace(*overrides)
    return choose(made.config, made, quick)


def test_a_tiny_job_runs_here_and_says_why() -> None:
    name, why = chosen("rounds=2")
    assert name == "local"
    assert "a tiny job: about " in why and "s of training and measuring" in why


@pytest.mark.parametrize(
    "overrides", [["rounds=20000"], ["model.hidden=[4000,4000]", "rounds=100"], ["training.steps=9999"]]
)
def test_a_real_job_runs_on_ray(overrides: list[str]) -> None:
    name, why = chosen(*overrides)
    assert name == "ray"
    assert "s of training" in why


def test_what_will_be_measured_counts() -> None:
    measured = ("clients=100", "rounds=2", "partition=iid")
    assert chosen(*measured, "metrics=[]")[0] == "local" and not tried
    assert chosen(*measured)[0] == "local" and len(tried) == 6  # those that pass over data, each once
    made = workspace(*measured)
    name, why = choose(made.config, made, slow)
    assert (name, len(tried)) == ("ray", 1) and " s of training and 600 s or more of measuring on one core" in why


def test_few_small_jobs_are_not_tried() -> None:
    made = workspace("clients=3", "rounds=1", "metrics=[evaluation]")
    assert choose(made.config, made, slow)[0] == "local" and not tried


def test_a_large_model_is_not_tried_either_where_its_class_says_enough() -> None:
    made = workspace("clients=10", "rounds=1", "metrics=[curvature]")
    assert sum(measuring_seconds(made.config, made, 0.01, 20.0, slow).values()) > 20 and not tried


def test_how_often_a_metric_is_due() -> None:
    made = workspace("clients=10", "rounds=4", "fraction=0.5", "surveyed_clients=3")
    assert times_due(made.config, made, Evaluation()) == 3 + 3 + 4 * 2 * 5
    assert times_due(made.config, made, Evaluation(rounds=["first", "last"], moments=["after_local"])) == 2 * 5
    # The global model of a round is one.
    assert times_due(made.config, made, Readout()) == 2 * 5 + 2


def test_measuring_that_takes_more_than_a_quarter_of_the_training_is_told_and_how_it_could_take_less() -> None:
    made = workspace("clients=20", "rounds=4", "metrics=[evaluation,readout]")

    def by_class(metric: Metric, _workspace: Workspace) -> float:
        return 1.0 if isinstance(metric, Readout) else 0.01

    _, why = choose(made.config, made, by_class)
    assert (
        "s or more of measuring on one core; readout most, less with metrics.readout.moments=[after_aggregate], " in why
    )
    assert why.endswith("the global model alone or metrics.readout.rounds=[last]")
    assert cheaper("readout", Readout(rounds=["last"], moments=["after_aggregate"]), 4) == ""
    assert cheaper("readout", Readout(rounds=["last"], moments=["after_local"]), 4) == ""
    assert cheaper("evaluation", Evaluation(), 4) == "metrics.evaluation.rounds=[last]"


def test_a_metric_is_timed_as_a_client_measures_it_and_one_that_fails_takes_no_time() -> None:
    made = workspace("clients=4", "metrics=[evaluation]")
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    assert 0 < client_seconds(made.metrics["evaluation"], made) < 60
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.module.state_dict().items())

    class Fails(Evaluation):
        def client(self, view: object) -> None:  # type: ignore[override]
            raise RuntimeError

    assert client_seconds(Fails(), made) == 0


def test_what_is_asked_for_is_taken() -> None:
    assert chosen("engine=flower") == ("flower", "as asked")
    assert chosen("engine.address=auto") == ("ray", "engine.address is given")


def test_multiply_adds_of_linear_layers_and_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 6 * 7, 10))
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert multiply_adds(network, torch.zeros(1, 3, 6, 7)) == 3 * 8 * 25 * 6 * 7 + 8 * 6 * 7 * 10
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert multiply_adds(nn.Linear(4, 2), torch.zeros(1, 9, 4)) == 9 * 8
