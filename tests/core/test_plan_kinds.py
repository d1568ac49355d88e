"""Plans by the place or nature of layers."""

from dataclasses import replace

import pytest
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.settings import identity
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.plan_kinds import plan_of

LAYERS = layers_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 4), nn.Linear(4, 3)))


@pytest.mark.parametrize(
    ("kind", "head_layers", "personal"),
    [("head", 1, ["4"]), ("head", 2, ["3", "4"]), ("body", 1, ["0", "1", "3"]), ("norms", 1, ["1"])],
)
def test_kinds_name_layers(kind: str, head_layers: int, personal: list[str]) -> None:
    assert [layer.name for layer in plan_of(kind, head_layers, LAYERS).personal] == personal


@pytest.mark.parametrize("kind", ["head", "body"])
def test_a_head_of_all_layers_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match=r"plan.head_layers must be at most 3, got 4; the model has no more and some"):
        plan_of(kind, 4, LAYERS)


def test_a_model_without_norms_is_refused() -> None:
    with pytest.raises(UserError, match=r"plan=norms needs a model with layers that normalise, got 0, 1; choose"):
        plan_of("norms", 1, layers_of(nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan=head", "plan.head_layers=0"], "plan.head_layers must be 1 or more, got 0"),
        (["plan=norms", "plan.head_layers=2"], "plan.head_layers must be left out because plan=norms does not look"),
        (["plan=head", "plan.personal=[fc2]"], r"plan.personal must be left out with plan=head, got \['fc2'\]"),
        (["plan=body", "init=there"], "init must be left out because plan=body starts personal layers on clients"),
    ],
)
def test_a_plan_says_what_it_means(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config(words)


def test_a_head_of_which_nobody_speaks_names_no_run() -> None:
    plans = [Plan("all", head_layers=2), Plan("all"), Plan("head", head_layers=2), Plan("head")]
    names = [identity(replace(compose_config([]), plan=plan)) for plan in plans]
    assert names[0] == names[1] and len(set(names)) == 3


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["algorithm=fedper"], "head"),
        (["algorithm=lgfedavg"], "body"),
        (["algorithm=fedper", "plan=all"], "all"),
        (["algorithm=fedavg"], "all"),
    ],
)
def test_an_algorithm_brings_its_plan_and_the_command_line_wins(words: list[str], name: str) -> None:
    assert compose_config(words).plan.name == name
