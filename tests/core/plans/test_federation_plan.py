"""The federation plan as data: which layers, parameters and buffers it lets travel."""

import pytest
from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.plans.plan import FederationPlan, named
from fedlayers.core.plans.rule import Constant
from fedlayers.core.weights import split_state

NETWORK = nn.Sequential()
NETWORK.add_module("conv", nn.Conv2d(1, 2, 3))
NETWORK.add_module("norm", nn.BatchNorm2d(2))
NETWORK.add_module("plain", nn.BatchNorm2d(2, affine=False))
NETWORK.add_module("head", nn.Linear(2, 3))
LAYERS = layers_of(NETWORK)


def keeping(*names: str) -> FederationPlan:
    return FederationPlan(tuple(layer for layer in LAYERS if layer in named(names, LAYERS, "plan.personal")))


def test_all_layers_are_shared_unless_somebody_says_otherwise() -> None:
    plan = FederationPlan.all()
    assert plan == keeping() and plan.is_whole and plan.shared(LAYERS) == LAYERS
    parameters, buffers = split_state(NETWORK)
    assert plan.travelling(parameters) == parameters and plan.staying(buffers) == {}


def test_a_personal_layer_stays_with_its_parameters_and_buffers() -> None:
    plan = keeping("norm")
    parameters, buffers = split_state(NETWORK)
    assert not plan.is_whole and [layer.name for layer in plan.shared(LAYERS)] == ["conv", "head"]
    assert list(plan.travelling(parameters)) == ["conv.weight", "conv.bias", "head.weight", "head.bias"]
    assert set(plan.staying(buffers)) == {f"norm.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")}
    # Buffers that belong to no layer are everybody's.
    assert {name.split(".")[0] for name in plan.travelling(buffers)} == {"plain"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Haed", r"plan.personal must name layers of the model \(conv, norm, head\), got 'Haed'; did you mean head\?"),
        ("fc9", r"plan.personal must name layers of the model .*, got 'fc9'; name some of those"),
    ],
)
def test_a_layer_that_the_model_does_not_have_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        keeping(name)


def test_a_layer_may_come_and_not_be_sent_back() -> None:
    plan = FederationPlan(LAYERS[:1], LAYERS[2:], how="by hand", since=3)
    parameters, _ = split_state(NETWORK)
    assert plan.letters(LAYERS) == "psw" and FederationPlan.spelt("psw", LAYERS) == plan
    assert set(plan.travelling(parameters)) - set(plan.sending(parameters)) == {"head.weight", "head.bias"}
    assert set(plan.sending(parameters)) == {"norm.weight", "norm.bias"} and not plan.is_whole
    assert FederationPlan.sharing(LAYERS[1:], LAYERS).letters(LAYERS) == "pss"


def test_a_constant_rule_has_one_plan_for_all() -> None:
    rule, plan = Constant(keeping("head")), keeping("head")
    rule.begin(LAYERS, 3, 0)
    assert not rule.changes and rule.layers == LAYERS
    assert {rule.holding(r, c) for r in (0, 1, 9) for c in range(3)} == {plan}


def test_reasons_name_the_layers() -> None:
    assert keeping("norm", "conv").why_no_model == (
        "the federation plan leaves conv, norm with the clients: no model is whole on the server"
    )
    many = layers_of(nn.Sequential(*(nn.Linear(1, 1) for _ in range(6))))
    why = FederationPlan(tuple(many)).why_no_model
    assert why.startswith("the federation plan leaves 0, 1, 2 and 3 more layers with the clients")
