"""Layers: each parameter once, in order, with kind and role from types alone."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from fedlayers.core.layers import Layer, layers_of, total


def by_name(model: nn.Module) -> dict[str, Layer]:
    return {layer.name: layer for layer in layers_of(model)}


def roles(layer: Layer) -> dict[str, str]:
    return {parameter.name: parameter.role for parameter in layer.parameters}


class Own(nn.Module):
    """A model that owns a parameter and a buffer itself, beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("steps", torch.zeros(()))
        self.head = nn.Linear(3, 2, bias=False)


MODELS = {
    "mlp": nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)),
    "conv": nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ConvTranspose1d(2, 2, 3), nn.GroupNorm(1, 2)),
    "encoder": nn.TransformerEncoderLayer(8, 2, 16),
    "lstm": nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2),
    "own": Own(),
    "weight norm": nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2)),
    "spectral norm": nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(1, 2, 3))),
    "parametrized root": parametrizations.weight_norm(nn.Linear(4, 3)),
    "none": nn.Sequential(nn.Flatten(), nn.ReLU()),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_every_parameter_once_and_in_order(model: nn.Module) -> None:
    layers = layers_of(model)
    names = [name for layer in layers for name in layer.names]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert [layer.index for layer in layers] == list(range(len(layers)))
    assert total(layers) == sum(p.numel() for p in model.parameters())
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert all(shapes[p.name] == p.shape for layer in layers for p in layer.parameters)
    known = {"weight", "bias", "norm_weight", "norm_bias", "other"}
    assert {role for layer in layers for role in roles(layer).values()} <= known


def test_a_model_without_parameters_has_no_layers() -> None:
    assert layers_of(nn.Sequential(nn.ReLU())) == ()
    assert total(()) == 0


def test_kinds_roles_and_buffers() -> None:
    layers = by_name(
        nn.ModuleDict({"c": nn.Conv2d(1, 2, 3), "n": nn.BatchNorm2d(2), "e": nn.Embedding(5, 2), "p": nn.PReLU()})
    )
    assert {name: layer.kind for name, layer in layers.items()} == {
        "c": "conv",
        "n": "norm",
        "e": "embedding",
        "p": "prelu",
    }
    assert roles(layers["n"]) == {"n.weight": "norm_weight", "n.bias": "norm_bias"}
    assert roles(layers["c"]) == {"c.weight": "weight", "c.bias": "bias"}
    assert layers["n"].buffers == ("n.running_mean", "n.running_var", "n.num_batches_tracked")
    assert layers["c"].buffers == ()


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm(4), nn.InstanceNorm2d(4, affine=True)]
)
def test_every_norm_class_has_norm_roles(norm: nn.Module) -> None:
    (layer,) = layers_of(norm)
    assert layer.kind == "norm"
    assert all(role.startswith("norm_") for role in roles(layer).values())


def test_names_do_not_decide_roles() -> None:
    layers = by_name(nn.ModuleDict({"norm_bias": nn.Linear(2, 2), "weight": nn.LayerNorm(2)}))
    assert roles(layers["norm_bias"]) == {"norm_bias.weight": "weight", "norm_bias.bias": "bias"}
    assert roles(layers["weight"]) == {"weight.weight": "norm_weight", "weight.bias": "norm_bias"}


def test_transformer_encoder_layer() -> None:
    layers = by_name(nn.TransformerEncoderLayer(8, 2, 16))
    assert list(layers) == ["self_attn", "self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"]
    assert layers["self_attn"].kind == "attention"
    assert roles(layers["self_attn"]) == {
        "self_attn.in_proj_weight": "weight",
        "self_attn.in_proj_bias": "bias",
    }
    assert layers["self_attn.out_proj"].kind == "linear"
    assert layers["self_attn.out_proj"].group == "self_attn"


def test_attention_with_extra_key_and_value() -> None:
    (attention, _) = layers_of(nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=3, vdim=3))
    assert roles(attention)["q_proj_weight"] == "weight"
    assert roles(attention)["bias_k"] == "other"


def test_tied_weights_belong_to_the_first() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5)})
    model["head"].weight = model["embed"].weight
    layers = by_name(model)
    assert layers["embed"].names == ("embed.weight",)
    assert layers["head"].names == ("head.bias",)


def test_a_layer_whose_only_parameter_is_tied_is_left_out() -> None:
    first = nn.Linear(3, 3, bias=False)
    second = nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    assert [layer.name for layer in layers_of(nn.Sequential(first, second, first))] == ["0"]


def test_parameters_of_the_model_itself() -> None:
    layers = by_name(Own())
    assert list(layers) == ["(model)", "head"]
    assert layers["(model)"].kind == "own"
    assert layers["(model)"].group == "(model)"
    assert roles(layers["(model)"]) == {"scale": "other"}
    assert layers["(model)"].buffers == ("steps",)


def test_groups_are_the_first_part_of_the_path() -> None:
    model = nn.ModuleDict({"stage1": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "fc": nn.Linear(2, 2)})
    assert [layer.group for layer in layers_of(model)] == ["stage1", "stage1", "fc"]


def test_parametrized_modules_stay_one_layer() -> None:
    layers = by_name(
        nn.ModuleDict(
            {
                "a": parametrizations.weight_norm(nn.Linear(4, 3)),
                "b": parametrizations.spectral_norm(nn.Linear(3, 3)),
            }
        )
    )
    assert list(layers) == ["a", "b"]
    assert layers["a"].kind == layers["b"].kind == "linear"
    assert roles(layers["a"]) == {
        "a.bias": "bias",
        "a.parametrizations.weight.original0": "other",
        "a.parametrizations.weight.original1": "other",
    }
    assert roles(layers["b"])["b.parametrizations.weight.original"] == "weight"
    assert layers["b"].buffers == ("b.parametrizations.weight.0._u", "b.parametrizations.weight.0._v")


def test_recurrent_roles() -> None:
    (layer,) = layers_of(nn.GRU(3, 4))
    assert layer.kind == "gru"
    assert set(roles(layer).values()) == {"weight", "bias"}


def test_the_axis_of_the_output_units() -> None:
    model = nn.Sequential(
        nn.Linear(2, 3), nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 5, 1), nn.Embedding(6, 7), nn.BatchNorm1d(8)
    )
    axes = {p.name: (p.unit_axis, p.shape[p.unit_axis]) for layer in layers_of(model) for p in layer.parameters}
    assert axes["0.weight"] == (0, 3) and axes["0.bias"] == (0, 3)
    assert axes["1.weight"] == (0, 4)
    assert axes["2.weight"] == (1, 5) and axes["2.bias"] == (0, 5)
    assert axes["3.weight"] == (1, 7)
    assert axes["4.weight"] == (0, 8)
