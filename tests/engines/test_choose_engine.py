"""The engine that ``auto`` takes, and the cost estimate behind it."""

import pytest
import torch
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.data import load_federation
from fedlayers.execution.engine_choice import choose
from fedlayers.models import build_model
from fedlayers.models.cost import multiply_adds


def chosen(*overrides: str) -> tuple[str, str]:
    config = compose_config(overrides)
    federation = load_federation(config)
    module = build_model(config.model, federation.shape, len(federation.classes), config.seed)
    return choose(config, federation, module)


def test_a_tiny_job_runs_here_and_says_why() -> None:
    name, why = chosen()
    assert name == "local"
    assert "a tiny job: about 1 s of training" in why


@pytest.mark.parametrize(
    "overrides", [["rounds=20000"], ["model.hidden=[4000,4000]", "rounds=100"], ["training.steps=9999"]]
)
def test_a_real_job_runs_on_ray(overrides: list[str]) -> None:
    name, why = chosen(*overrides)
    assert name == "ray"
    assert "s of training on one core" in why


def test_what_is_asked_for_is_taken() -> None:
    assert chosen("engine=flower") == ("flower", "as asked")
    assert chosen("engine.address=auto") == ("ray", "engine.address is given")


def test_multiply_adds_of_linear_layers_and_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 6 * 7, 10))
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert multiply_adds(network, (3, 6, 7)) == 3 * 8 * 25 * 6 * 7 + 8 * 6 * 7 * 10
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert multiply_adds(nn.Linear(4, 2), (9, 4)) == 9 * 8
