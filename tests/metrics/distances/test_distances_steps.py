"""Preprocessing steps against layouts made by hand, in torch's and in Keras' order, and what makes two steps equal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fedlayers.core.layers import layers_of
from metrics.distances.steps.elementary import Flatten2DStep, NoBiasStep, NormaliseStep, WeightBiasFusion2DStep
from metrics.distances.steps.preprocessing import ModelStep, PreprocessingStep, preprocess_clients
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray, model_of, vector_of

STEPS = (NoBiasStep(), WeightBiasFusion2DStep(), Flatten2DStep(), NormaliseStep(), NormaliseStep("model"))


def torch_model(module: nn.Module) -> Model:
    return model_of(layers_of(module), {name: tensor.detach() for name, tensor in module.named_parameters()})


def mixed() -> nn.Module:
    """Convolution, transposed convolution, normalisations, embedding and linear layers, none of them square."""
    torch.manual_seed(0)
    module = nn.ModuleList(
        [
            nn.Conv2d(3, 5, 2),
            nn.BatchNorm2d(5),
            nn.ConvTranspose2d(5, 4, 3),
            nn.Conv1d(4, 6, 3, bias=False),
            nn.Linear(6, 2),
            nn.Embedding(7, 3),
        ]
    )
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter)
    return module


def keras_model() -> tuple[Model, np.ndarray, np.ndarray, np.ndarray]:
    """Return conv + batch norm with its statistics + dense as Keras orders them, kernel (3, 3, 4, 8)."""
    draw = np.random.default_rng(0)
    kernel, bias, dense = draw.normal(size=(3, 3, 4, 8)), draw.normal(size=8), draw.normal(size=(8, 4))
    roles = ("norm_weight", "norm_bias", "buffer", "buffer")
    norm = LayerWeights("bn", "norm", tuple(RoleArray(role, draw.normal(size=8)) for role in roles))
    conv = LayerWeights("conv", "conv", (RoleArray("weight", kernel, -1), RoleArray("bias", bias)))
    last = LayerWeights("dense", "linear", (RoleArray("weight", dense, -1), RoleArray("bias", draw.normal(size=4))))
    return (conv, norm, last), kernel, bias, dense


def roles(model: Model) -> list[tuple[str, ...]]:
    return [tuple(array.role for array in layer.arrays) for layer in model]


def test_no_bias_drops_biases_of_layers_and_of_normalisations_and_nothing_else() -> None:
    module = mixed()
    found = NoBiasStep().apply(torch_model(module))
    assert roles(found) == [("weight",), ("norm_weight",), ("weight",), ("weight",), ("weight",), ("weight",)]
    kept = [tensor for name, tensor in module.named_parameters() if not name.endswith("bias")]
    assert all(
        np.array_equal(layer.arrays[0].values, tensor.detach()) for layer, tensor in zip(found, kept, strict=True)
    )


def test_no_bias_keeps_a_square_layers_weight_and_statistics_of_batch_norm() -> None:
    # Guessing biases by the length of what stands before them keeps two of four vectors of batch norm as weights.
    model, *_ = keras_model()
    assert roles(NoBiasStep().apply(model)) == [("weight",), ("norm_weight", "buffer", "buffer"), ("weight",)]


def test_layers_with_nothing_left_are_dropped() -> None:
    shift = LayerWeights("shift", "shift", (RoleArray("bias", np.ones(3)),))
    weight = LayerWeights("fc", "linear", (RoleArray("weight", np.ones((2, 3))),))
    assert [layer.name for layer in NoBiasStep().apply((shift, weight))] == ["fc"]
    assert [layer.name for layer in Flatten2DStep().apply(torch_model(mixed()))] == ["0", "2", "3", "4", "5"]


def test_fusion_puts_the_bias_before_its_units_weights() -> None:
    module = mixed()
    found = WeightBiasFusion2DStep().apply(torch_model(module))
    assert [layer.shapes() for layer in found] == [
        ((5, 1 + 3 * 4),),
        ((5, 2),),
        ((4, 1 + 5 * 9),),
        ((6, 4 * 3),),
        ((2, 1 + 6),),
        ((3, 7),),
    ]
    assert all(array.unit_axis == 0 for layer in found for array in layer.arrays)
    conv, norm, up, _, linear, embedding = (layer.arrays[0].values for layer in found)
    own = {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}
    for unit in range(4):
        assert up[unit, 0] == own["2.bias"][unit]
        assert np.array_equal(up[unit, 1:], own["2.weight"][:, unit].ravel())
    assert np.array_equal(conv[:, 1:].reshape(5, 3, 2, 2), own["0.weight"])
    assert np.array_equal(norm, np.stack([own["1.bias"], own["1.weight"]], 1))
    assert np.array_equal(linear, np.column_stack([own["4.bias"], own["4.weight"]]))
    assert np.array_equal(embedding, own["5.weight"].T)


def test_fusion_of_keras_order_is_the_documented_matrix_transposed() -> None:
    model, kernel, bias, dense = keras_model()
    conv, norm, last = WeightBiasFusion2DStep().apply(model)
    # Documented: kernel as (product of leading axes, units), the bias inserted as first row.
    assert np.array_equal(conv.arrays[0].values, np.vstack([bias, kernel.reshape(-1, 8)]).T)
    assert np.array_equal(last.arrays[0].values[:, 1:], dense.T)
    assert roles((norm,)) == [("norm_weight", "buffer", "buffer")]
    assert norm.arrays[0].values.shape == (8, 2)


def test_a_linear_layer_is_fused_to_the_same_in_both_orders() -> None:
    weight, bias = np.random.default_rng(1).normal(size=(4, 4)), np.arange(4.0)
    torch_order = LayerWeights("fc", "linear", (RoleArray("weight", weight), RoleArray("bias", bias)))
    keras_order = LayerWeights("fc", "linear", (RoleArray("weight", weight.T, -1), RoleArray("bias", bias)))
    a, b = (WeightBiasFusion2DStep().apply((layer,))[0].arrays[0].values for layer in (torch_order, keras_order))
    assert np.array_equal(a, b)


def test_recurrent_weights_go_with_their_own_biases_and_attention_keeps_its_one_bias() -> None:
    lstm = nn.LSTM(3, 5)
    (found,) = WeightBiasFusion2DStep().apply(torch_model(lstm))
    own = {name: tensor.detach().numpy() for name, tensor in lstm.named_parameters()}
    for array, side in zip(found.arrays, ("ih", "hh"), strict=True):
        assert np.array_equal(array.values, np.column_stack([own[f"bias_{side}_l0"], own[f"weight_{side}_l0"]]))
    attention = WeightBiasFusion2DStep().apply(torch_model(nn.MultiheadAttention(4, 2, kdim=3, vdim=5)))[0]
    assert roles((attention,)) == [("weight", "weight", "weight", "bias")]
    assert attention.shapes() == ((4, 4), (4, 3), (4, 5), (12,))


def test_a_bias_that_does_not_fit_its_weight_is_refused() -> None:
    layer = LayerWeights("fc", "linear", (RoleArray("weight", np.ones((6, 4))), RoleArray("bias", np.ones(4))))
    with pytest.raises(ValueError, match=r"got 4 for 6 units in layer 'fc'; is axis 0 of its weight that of the units"):
        WeightBiasFusion2DStep().apply((layer,))


def test_flatten_gives_one_row_a_unit_and_drops_vectors() -> None:
    module = mixed()
    found = Flatten2DStep().apply(torch_model(module))
    assert [layer.shapes() for layer in found] == [((5, 12),), ((4, 45),), ((6, 12),), ((2, 6),), ((3, 7),)]
    up = module[2].weight.detach().numpy()  # type: ignore[index]
    assert np.array_equal(found[1].arrays[0].values[2], up[:, 2].ravel())
    # What fusion made is a matrix and stays.
    fused = WeightBiasFusion2DStep().apply(torch_model(module))
    assert [layer.shapes() for layer in Flatten2DStep().apply(fused)] == [layer.shapes() for layer in fused]


@pytest.mark.parametrize("part", ["layer", "model", "parameter"])
def test_every_part_has_norm_one_after_normalising(part: str) -> None:
    model = torch_model(mixed())
    found = NormaliseStep(part).apply(model)
    norms = {
        "layer": [np.linalg.norm(layer.vector()) for layer in found],
        "model": [np.linalg.norm(vector_of(found))],
        "parameter": [np.linalg.norm(array.values) for layer in found for array in layer.arrays],
    }[part]
    assert norms == pytest.approx([1.0] * len(norms), rel=1e-6)
    cosines = [a.vector() @ b.vector() for a, b in zip(model, found, strict=True)]
    if part != "parameter":
        assert cosines == pytest.approx(
            [np.linalg.norm(a.vector()) * np.linalg.norm(b.vector()) for a, b in zip(model, found, strict=True)]
        )


def test_normalising_does_not_depend_on_scale_and_leaves_zero_alone() -> None:
    values = np.array([[3.0, 4.0]])
    for scale in (1e-200, 1.0, 1e200):
        layer = LayerWeights("fc", "linear", (RoleArray("weight", values * scale),))
        assert NormaliseStep().apply((layer,))[0].vector() == pytest.approx([0.6, 0.8], rel=1e-12)
    zero = LayerWeights("fc", "linear", (RoleArray("weight", np.zeros((2, 2))),))
    assert np.array_equal(NormaliseStep().apply((zero,))[0].vector(), np.zeros(4))
    assert NormaliseStep("model").apply(()) == ()
    whole = LayerWeights("fc", "linear", (RoleArray("weight", np.array([[3, 4]])),))
    assert NormaliseStep().apply((whole,))[0].vector() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_part_that_is_not_finite_has_no_normalised_numbers(bad: float) -> None:
    zeros = RoleArray("bias", np.zeros(2))
    layer = LayerWeights("fc", "linear", (zeros, RoleArray("weight", np.array([[1.0, bad]]))))
    sound = LayerWeights("out", "linear", (RoleArray("weight", np.array([[2.0]])),))
    found = NormaliseStep().apply((layer, sound))
    assert np.isnan(found[0].vector()).all()
    assert found[1].vector() == pytest.approx([1.0])


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="part must be one of layer, model, parameter, got 'unit'"):
        NormaliseStep("unit")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("step", STEPS)
def test_steps_keep_dtypes_and_leave_their_input_alone(step: ModelStep, dtype: np.dtype[np.floating]) -> None:
    model, *_ = keras_model()
    model = tuple(
        LayerWeights(
            layer.name,
            layer.kind,
            tuple(RoleArray(array.role, array.values.astype(dtype), array.unit_axis) for array in layer.arrays),
        )
        for layer in model
    )
    before = [array.values.copy() for layer in model for array in layer.arrays]
    for layer in model:
        for array in layer.arrays:
            array.values.flags.writeable = False
    (found,) = step([Client(model)])
    assert {array.values.dtype for layer in found.model for array in layer.arrays} == {np.dtype(dtype)}
    after = [array.values for layer in model for array in layer.arrays]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert found.gradient is None


def test_model_steps_treat_gradients_as_models_and_chains_run_in_order() -> None:
    model, *_ = keras_model()
    clients = [Client(model, gradient=model), Client(model)]
    found = preprocess_clients(clients, [WeightBiasFusion2DStep(), NoBiasStep()])
    assert found[0].gradient is not None and found[1].gradient is None
    # Fused biases are part of their weights, so that nothing is left to drop.
    for a, b in zip(found[0].model, found[0].gradient, strict=True):
        assert a.shapes() == b.shapes() and np.array_equal(a.vector(), b.vector())
    assert found[0].model[0].shapes() == ((8, 1 + 36),)
    assert preprocess_clients(clients, []) == clients


class Shift(PreprocessingStep):
    """A user's step without a dataclass."""

    cost = 2.0

    def __init__(self, by: object) -> None:
        self.by = by

    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        return list(clients)


@dataclass(frozen=True, eq=False)
class Project(ModelStep):
    """A user's step that holds arrays."""

    onto: np.ndarray

    def apply(self, model: Model) -> Model:
        return model


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (NoBiasStep(), NoBiasStep(), True),
        (NoBiasStep(), Flatten2DStep(), False),
        (NormaliseStep(), NormaliseStep("layer"), True),
        (NormaliseStep(), NormaliseStep("model"), False),
        (Shift(1), Shift(1), True),
        (Shift(1), Shift(2), False),
        (Shift(1), Shift(True), False),
        (Shift({"a": [1.0, 2.0]}), Shift({"a": [1.0, 2.0]}), True),
        (Shift({"a": [1.0, 2.0]}), Shift({"a": [1.0, 2.5]}), False),
        (Project(np.arange(3)), Project(np.arange(3)), True),
        (Project(np.arange(3)), Project(np.arange(1, 4)), False),
        (Project(np.arange(6)), Project(np.arange(6).reshape(2, 3)), False),
        (Project(np.arange(3)), Project(np.arange(3.0)), False),
        (Shift(keras_model()[0]), Shift(keras_model()[0]), True),
        (Shift(keras_model()[0]), Shift(keras_model()[0][:2]), False),
    ],
)
def test_steps_are_equal_by_class_and_parameters(a: PreprocessingStep, b: PreprocessingStep, equal: bool) -> None:
    assert (a == b) is equal
    assert len({a, b}) == (1 if equal else 2)
