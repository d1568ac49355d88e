"""Stages: which parts they are, that they compose to the model, and what is said of a model without."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.stages import applied, has_stages, head, pooled, readouts_of, representations, stages
from fedlayers.models import build_model

FOLDER = Path(__file__).parents[2] / "conf" / "model"
OPTIONS: dict[str, dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
for options in OPTIONS.values():
    options.pop("defaults", None)
# All but the option whose class the user names; the large ones small.
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [9, 8, 7], "dropout": 0.3},
    "playerfl_cifar10": {"channels": [8, 8, 8], "hidden": 12},
    "playerfl_fmnist": {"channels": [4, 6]},
    "greedy_mlp": {"width": 9, "anchors": "learned"},
    "mono_forward": {"width": 9},
    "deep_mlp": {"width": 9, "residual": True, "normalise": 2},
    "forward_forward": {"width": 9},
    "resnet18_gn": {"width": 8, "groups": 4},
    "resnet18_bn": {"width": 4},
}
# What pools words needs to know which are padding: no stage alone does.
BUILT_IN = sorted(
    name
    for name, options in OPTIONS.items()
    if options["_target_"] != "???" and name not in ("token_attention", "playerfl_text")
)
NAMES = {
    "mlp": ["fc1", "fc2", "fc3"],
    "cnn": ["conv1", "conv2", "fc1"],
    "playerfl_cifar10": ["conv1", "conv2", "conv3", "fc1"],
    "playerfl_fmnist": ["conv1", "conv2", "fc1"],
    "playerfl_heart": ["fc1", "fc2", "fc3"],
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    shape = (3, 16, 16) if name != "playerfl_heart" else (10,)
    network = build_model({**OPTIONS[name], **SMALL.get(name, {})}, shape, 5, seed=3)
    return network, torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", BUILT_IN)
def test_stages_and_head_one_after_the_other_are_the_model(name: str) -> None:
    network, features = built(name)
    parts, last = stages(network), head(network)
    with torch.no_grad():
        found = list(representations(parts, features))
        if last is not None:
            assert torch.equal(applied(last, found[-1]), network(features))
    assert len(found) == len(parts)
    assert all(pooled(one).shape == (4, one.shape[1]) for one in found)
    # Named as layers are, in their order, and each holds its own weights.
    layers = [layer.name for layer in layers_of(network)]
    places = [layers.index(part.name) for part in parts]
    assert places == sorted(set(places))
    assert [part.name for part in parts] == NAMES.get(name, [part.name for part in parts])
    held = [id(weight) for part in parts for weight in part.parameters()]
    assert len(held) == len(set(held))


def test_a_residual_network_has_a_stem_and_blocks() -> None:
    network, _ = built("resnet18_bn")
    names = [part.name for part in stages(network)]
    assert names[:4] == ["norm1", "stage1.0.norm2", "stage1.1.norm2", "stage2.0.shortcut.norm"]
    assert len(names) == 9


def test_representations_are_those_behind_nonlinearity_and_pooling() -> None:
    network, images = built("cnn")
    conv1 = network.get_submodule("conv1")
    with torch.no_grad():
        first = next(representations(stages(network), images))
        by_hand = nn.functional.max_pool2d(conv1(images), 2).relu()
    assert torch.equal(first, by_hand)
    assert torch.allclose(pooled(first), by_hand.mean((2, 3)))
    row = torch.ones(2, 3)
    assert pooled(row) is row


def test_blocks_nested_lists_and_normalisation_are_divided_where_a_nonlinearity_ends() -> None:
    block = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.PReLU(), nn.Dropout(0.1))
    network = nn.Sequential(nn.Tanh(), nn.Linear(3, 4), nn.ReLU(), block, nn.Linear(4, 4), nn.Linear(4, 2))
    # The slope of a PReLU is the last layer with weights of its stage.
    assert [part.name for part in stages(network)] == ["1", "3.2"]
    assert [len(part.modules) for part in stages(network)] == [3, 4]
    last = head(network)
    assert last is not None and len(last) == 2
    assert head(nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())) == ()


class Own(nn.Module):
    """A network of one's own, which declares whatever a test gives it."""

    def __init__(self, declared: Any = None) -> None:
        super().__init__()
        self.fc1, self.fc2, self.declared = nn.Linear(4, 3), nn.Linear(3, 2), declared

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc2(self.fc1(x).relu())
        return logits

    def stages_and_head(self) -> Any:
        return self.declared(self)


def test_a_model_of_ones_own_declares_them() -> None:
    network = Own(lambda own: ([(own.fc1, nn.ReLU())], (own.fc2,)))
    features = torch.ones(2, 4)
    (stage,), last = stages(network), head(network)
    assert stage.name == "fc1" and last is not None
    assert torch.equal(applied(last, stage(features)), network(features))
    # torch.compile keeps the network so.
    compiled = nn.Module()
    compiled._orig_mod = network
    assert [part.name for part in stages(compiled)] == ["_orig_mod.fc1"]
    # Where the last stage alone does not answer.
    assert head(Own(lambda own: ([(own.fc1, nn.ReLU()), (own.fc2,)], None))) is None


class Parts(nn.Module):
    """A network of which nobody knows what it does with its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.relu, self.fc2 = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(self.relu(self.fc1(x)))
        return found


@pytest.mark.parametrize(
    "network", [nn.Linear(4, 2), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Sequential(), Parts()]
)
def test_a_model_without_stages_is_told_in_a_sentence(network: nn.Module) -> None:
    kind = type(network).__name__
    sentence = rf"model must be a network with stages, .* got none in {kind}; choose another, such as model=mlp"
    for ask in (stages, head):
        with pytest.raises(UserError, match=sentence):
            ask(network)
    assert not has_stages(network)


def test_of_a_model_for_words_another_data_set_s_is_not_advised() -> None:
    network = nn.ModuleDict({"words": nn.Embedding(3, 2), "fc": nn.Linear(2, 2)})
    with pytest.raises(
        UserError, match="got none in ModuleDict; none for words has any: leave out what needs them, or"
    ):
        stages(network)


@pytest.mark.parametrize(
    "declared",
    [lambda own: [own.fc1], lambda own: ([], ()), lambda own: ([own.fc1], ()), lambda own: ([(own.fc1,)], (math.pi,))],
)
def test_what_declares_something_else_is_told_in_a_sentence(declared: Any) -> None:
    with pytest.raises(UserError, match="stages_and_head of Own must return a list of stages, each a tuple"):
        stages(Own(declared))


def test_a_stage_without_weights_and_weights_without_a_stage_are_told() -> None:
    with pytest.raises(UserError, match="got no parameters in stage 2; join it with the one before it"):
        stages(Own(lambda own: ([(own.fc1,), (nn.ReLU(),)], (own.fc2,))))
    with pytest.raises(UserError, match=r"must give all parts with parameters, got none with 'fc2\.weight'; add"):
        stages(Own(lambda own: ([(own.fc1, nn.ReLU())], ())))


def test_what_is_declared_by_a_method_that_fails_is_told_in_a_sentence() -> None:
    def fail(_: Any) -> Any:
        raise ValueError("oh no")

    with pytest.raises(UserError, match=r"model: stages_and_head of Own must return modules, got an error: .*oh no"):
        stages(Own(fail))


@pytest.mark.parametrize("given", [[], [nn.Linear(5, 10)], [3], [nn.Linear(4, 2)] * 3])
def test_readouts_are_modules_of_the_network_one_for_each_stage(given: Any) -> None:
    network: Any = Own(lambda own: ([(own.fc1, nn.ReLU())], (own.fc2,)))
    assert readouts_of(network) is None
    network.readouts = lambda: given
    with pytest.raises(UserError, match="model: readouts of Own must return a list of 1 modules that the model holds"):
        readouts_of(network)
    network.readouts = lambda: [network.fc2]
    assert readouts_of(network) == (network.fc2,)


def test_a_module_that_is_used_again_is_applied_again() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(4, 3), relu, nn.Linear(3, 3), relu, nn.Linear(3, 2))
    assert [stage.modules[-1] for stage in stages(network)] == [relu, relu]
