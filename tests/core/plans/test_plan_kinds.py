"""Plans by the place or nature of layers."""

from dataclasses import replace

import pytest
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.settings import identity
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.plans.kinds import plan_of

LAYERS = layers_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 4), nn.Linear(4, 3)))


@pytest.mark.parametrize(
    ("kind", "setting", "personal"),
    [
        ("all", None, []),
        ("head", 1, ["4"]),
        ("head", 2, ["3", "4"]),
        ("body", 1, ["0", "1", "3"]),
        ("prefix", 1, ["1", "3", "4"]),
        ("prefix", 3, ["4"]),
        ("suffix", 2, ["0", "1"]),
        ("norms", None, ["1"]),
        ("personal", ["4", "0"], ["0", "4"]),
        ("shared", ["4", "0"], ["1", "3"]),
        ("groups", ["[01]"], ["3", "4"]),
    ],
)
def test_kinds_name_layers(kind: str, setting: int | list[str] | None, personal: list[str]) -> None:
    plan = plan_of(kind, setting, LAYERS)
    assert [layer.name for layer in plan.personal] == personal and plan.how.startswith(f"plan={kind}")


def test_groups_are_the_first_part_of_a_name_or_a_pattern() -> None:
    stages = nn.Sequential()
    for name in ("conv", "stage1", "stage2", "fc"):
        stages.add_module(name, nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)) if "stage" in name else nn.Linear(1, 1))
    layers = layers_of(stages)
    shared = {
        tuple(names): [layer.name for layer in plan_of("groups", names, layers).shared(layers)]
        for names in (["stage1", "conv"], ["stage*"], ["*.1", "fc"])
    }
    assert list(shared.values()) == [
        ["conv", "stage1.0", "stage1.1"],
        ["stage1.0", "stage1.1", "stage2.0", "stage2.1"],
        ["stage1.1", "stage2.1", "fc"],
    ]
    with pytest.raises(UserError, match=r"plan.groups must fit layer groups or layers of the model \(conv, stage1, s"):
        plan_of("groups", ["stage3"], layers)


def test_a_random_prefix_is_drawn_once_from_the_seed() -> None:
    sizes = [len(plan_of("random_prefix", None, LAYERS, seed).shared(LAYERS)) for seed in range(300)]
    plan = plan_of("random_prefix", None, LAYERS, 5)
    assert plan == plan_of("random_prefix", None, LAYERS, 5) and plan.shared(LAYERS) == LAYERS[: sizes[5]]
    assert plan.how == f"plan=random_prefix, which drew the first {sizes[5]} of 4 layers"
    assert all(70 < sizes.count(size) < 130 for size in (1, 2, 3)) and set(sizes) == {1, 2, 3}


@pytest.mark.parametrize(
    ("kind", "setting", "sentence"),
    [
        ("shared", ["0", "1", "3", "4"], "plan.shared must be some of the model's layers, so that one stays with the"),
        ("groups", ["*"], r"plan.groups must be some of the model's layers, so that one stays .*, got '\[\*\], which"),
        ("personal", ["0", "1", "3", "4"], "plan.personal must be some of the model's layers, so that one is shared"),
        ("shared", ["5"], r"plan.shared must name layers of the model \(0, 1, 3, 4\), got '5'; "),
        ("prefix", 4, "plan.layers must be less than 4, the number of the model's layers, got 4; plan=all shares all"),
        ("suffix", 9, "plan.layers must be less than 4, the number of the model's layers, got 9"),
    ],
)
def test_a_plan_of_no_layer_or_of_all_is_refused(kind: str, setting: int | list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan_of(kind, setting, LAYERS)


@pytest.mark.parametrize("kind", ["prefix", "random_prefix", "head"])
def test_of_one_layer_nothing_can_be_left(kind: str) -> None:
    with pytest.raises(UserError, match=f"plan={kind} needs a model of two layers or more, to share one and leave one"):
        plan_of(kind, 1 if kind != "random_prefix" else None, LAYERS[:1])


@pytest.mark.parametrize("kind", ["head", "body"])
def test_a_head_of_all_layers_is_refused(kind: str) -> None:
    with pytest.raises(
        UserError, match=r"plan.head_layers must be less than 4, .*, got 4; plan=all shares all layers, alg"
    ):
        plan_of(kind, 4, LAYERS)


def test_a_model_without_norms_is_refused() -> None:
    with pytest.raises(UserError, match=r"plan=norms needs a model with layers that normalise, got 0, 1; choose"):
        plan_of("norms", None, layers_of(nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["plan=head", "plan.head_layers=0"],
            r"plan.head_layers must be 1 or more \(plan=all leaves clients none\), got 0",
        ),
        (["plan=norms", "plan.head_layers=2"], "plan.head_layers must be left out because plan=norms does not look"),
        (["plan=norms", "plan.layers=2"], "plan.layers must be left out because plan=norms does not count layers"),
        (["plan=shared"], r"plan.shared must be one layer or more with plan=shared, got \[\]; name them, such as"),
        (["plan=prefix", "plan.layers=0"], r"plan.layers must be 1 or more \(algorithm=local shares none\), got 0"),
        (["plan=head", "plan.groups=[fc2]"], r"plan.groups must be left out with plan=head, got \['fc2'\]; choose"),
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
        (["algorithm=fedlp"], "drawn"),
        (["algorithm=fedlama"], "intervals"),
        (["algorithm=fedavg"], "all"),
    ],
)
def test_an_algorithm_brings_its_plan_and_the_command_line_wins(words: list[str], name: str) -> None:
    assert compose_config(words).plan.name == name
