"""Layers in the order in which a forward pass uses them, whatever the order of definition."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fedlayers
from fedlayers.core.forward_order import forward_layers
from fedlayers.core.layers import layers_of
from tests.support.odd_models import OwnParameters

ROWS = torch.zeros(2, 6)


def order(model: nn.Module, features: Tensor = ROWS) -> list[str]:
    layers = forward_layers(model.eval(), features)
    assert [layer.index for layer in layers] == list(range(len(layers)))
    assert sorted(layer.names for layer in layers) == sorted(layer.names for layer in layers_of(model))
    return [layer.name for layer in layers]


class Backwards(nn.Module):
    """Defines its blocks from the last to the first, and a layer that it never calls after the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 2), nn.Linear(6, 6), nn.Linear(6, 6)])
        self.blocks[1].unused = nn.Linear(1, 1)

    def forward(self, features: Tensor) -> Tensor:
        for block in reversed(self.blocks):
            features = block(features)
        return features


class WithoutCalls(nn.Module):
    """Uses weights of modules that it never calls: a list of parameters, and a child's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.first = nn.Linear(6, 2), nn.Linear(6, 6)
        self.middle = nn.ParameterList([torch.zeros(6)])

    def forward(self, features: Tensor) -> Tensor:
        assert self.head.weight.dtype == features.dtype and self.head.weight.size(0) == 2
        hidden = F.linear(features, self.first.weight, self.first.bias) + self.middle[0]
        return F.linear(hidden, self.head.weight, self.head.bias)


class Counting(nn.Module):
    """Changes a buffer in place and replaces another in every forward pass, and draws random numbers."""

    calls: Tensor
    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2, 2))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(F.dropout(features))
        self.calls += 1
        self.last = output.detach()
        return output


def test_blocks_run_backwards_come_in_the_order_of_the_pass() -> None:
    assert order(Backwards()) == ["blocks.2", "blocks.1", "blocks.1.unused", "blocks.0"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_block_comes_in_the_order_of_the_pass(norm_first: bool) -> None:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    attention = ["self_attn", "self_attn.out_proj"]
    expected = [*attention, "norm1", "linear1", "linear2", "norm2"]
    if norm_first:
        expected = ["norm1", *attention, "norm2", "linear1", "linear2"]
    assert order(block, torch.zeros(2, 5, 8)) == expected


def test_parameters_of_the_model_itself_come_where_they_are_used() -> None:
    assert order(OwnParameters((6,), 2)) == ["first", "(model)", "last"]


def test_what_is_never_called_comes_where_its_parameters_are_used() -> None:
    assert order(WithoutCalls()) == ["first", "middle", "head"]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.ReLU(), nn.Linear(5, 4)), nn.Linear(4, 2)),
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)), nn.LayerNorm(4), nn.Linear(4, 2)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.PReLU(), nn.Linear(4, 2)),
    ],
)
def test_a_model_defined_in_order_keeps_it(model: nn.Module) -> None:
    assert forward_layers(model.eval(), ROWS) == layers_of(model)


def test_the_model_and_the_generators_are_left_as_found() -> None:
    model = Counting()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = model.get_buffer("last")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    order(model)
    assert torch.rand(1) == expected
    assert model.get_buffer("last") is kept
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in model.modules())


def test_a_run_measures_every_part_as_what_it_is(quick_run: Callable[..., Path]) -> None:
    folder = quick_run(
        "model._target_=tests.support.odd_models.OwnParameters",
        "rounds=1",
        "clients=2",
        "metrics=[weights,gradients,representation,similarity]",
        "metrics.similarity.permutations=0",
        "probe.size=32",
    )
    rows: Any = fedlayers.read(folder).records
    layers = rows.dropna(subset="layer").drop_duplicates("layer").sort_values("layer_index")["layer"]
    assert list(layers) == ["first", "(model)", "last"]
    of_own = rows[rows.layer == "(model)"].set_index("metric")
    assert (of_own.loc[["norm", "gradient_norm", "update_norm"], "status"] == "ok").all()
    lost = of_own.loc["participation_ratio"]
    assert set(lost.status) == {"missing"} and set(lost.reason) == {
        "its parameters have no output of their own: further layers lie inside of its module"
    }
    pairs: Any = fedlayers.read(folder).pairs
    assert not set(pairs.layer.dropna()) & {"(model)"} and len(pairs)
