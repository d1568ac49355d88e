"""Per-example gradients against one backward pass an example, for every kind of layer and use."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from fedlayers.core.layers import layers_of
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from metrics.example_gradients import layer_gradients
from metrics.example_gradients.layer_gradients import outer_products
from metrics.example_gradients.patches import padded, patch_columns, patch_grams, patches
from metrics.example_gradients.per_example import ExamplePass
from tests.support.metric_views import where


def build(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = make().eval()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                assert part.running_mean is not None and part.running_var is not None
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
        for parameter in module.parameters():  # norms start at 1 and 0, where mistakes hide
            parameter.data += 0.1 * torch.randn_like(parameter)
        return module.to(where[0])


def naive(module: nn.Module, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return every example's gradient, parameter name -> (n, *shape)."""
    leaves = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
    rows = []
    for i in range(len(labels)):
        outputs = functional_call(module, leaves, (features[i : i + 1],))
        loss = CROSS_ENTROPY(outputs, labels[i : i + 1]).sum()
        rows.append(torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True))
    return {name: torch.stack(column) for name, column in zip(leaves, zip(*rows, strict=True), strict=True)}


def assert_exact(module: nn.Module, features: Tensor, replayed: set[str]) -> None:
    module, features = module.to(where[0]), features.to(where[0])
    with torch.no_grad():
        classes = module(features).shape[1]
    labels = torch.arange(len(features), device=where[0]) % classes
    layers = layers_of(module)
    run = ExamplePass(module, layers, features, labels)
    expected = naive(module, features, labels)
    directions = {name: gradients.mean(0) + 0.1 for name, gradients in expected.items()}
    found = run(features, labels, directions)
    assert not run(features, labels).products
    assert {layer.name for layer in run.replayed} == replayed
    for layer in layers:
        squares = sum(expected[name].double().reshape(len(labels), -1).square().sum(1) for name in layer.names)
        torch.testing.assert_close(found.squares[layer.name], squares, rtol=2e-5, atol=1e-10)
        parts = [(expected[name] * directions[name]).double().reshape(len(labels), -1).sum(1) for name in layer.names]
        torch.testing.assert_close(found.products[layer.name], sum(parts), rtol=2e-4, atol=2e-5)
    for name, total in run.sums(features, labels).items():
        torch.testing.assert_close(total, expected[name].sum(0), rtol=2e-4, atol=1e-5)
    for name, gradients in expected.items():
        torch.testing.assert_close(found.sums[name], gradients.sum(0), rtol=2e-4, atol=1e-5)


def conv(size: int, *arguments: Any, **options: Any) -> Callable[[], nn.Module]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[size]
    return lambda: nn.Sequential(kind(*arguments, **options), nn.Tanh(), nn.Flatten(), nn.LazyLinear(3))


CONVOLUTIONS: dict[str, tuple[int, tuple[Any, ...], dict[str, Any]]] = {
    "plain": (2, (2, 4, 3), {}),
    "no_bias": (2, (2, 4, 3), {"bias": False}),
    "stride": (2, (2, 4, 3), {"stride": (2, 3)}),
    "padding": (2, (2, 4, 3), {"padding": (1, 2)}),
    "same": (2, (2, 4, (4, 3)), {"padding": "same", "dilation": (2, 1)}),
    "valid": (2, (2, 4, 3), {"padding": "valid"}),
    "dilation": (2, (2, 4, 3), {"dilation": 2, "stride": 2, "padding": 3}),
    "groups": (2, (4, 6, 3), {"groups": 2}),
    "depthwise": (2, (4, 8, 3), {"groups": 4, "padding": 1}),
    "circular": (2, (2, 4, 3), {"padding": (1, 2), "padding_mode": "circular"}),
    "reflect": (2, (2, 4, 3), {"padding": 1, "padding_mode": "reflect"}),
    "one_by_one": (2, (2, 40, 1), {"stride": 4}),
    "wide_few_positions": (2, (4, 64, 7), {}),
    "many_channels": (2, (64, 64, 3), {}),
    "many_channels_padding_bias_groups": (2, (256, 128, 3), {"padding": (0, 1), "groups": 2}),
    "one_axis": (1, (3, 5, 3), {"stride": 2, "padding": 1}),
    "three_axes": (3, (2, 3, 2), {"padding": 1}),
}


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    axes, arguments, options = CONVOLUTIONS[name]
    features = torch.randn(5, arguments[0], *[8, 9, 4][:axes], generator=torch.Generator().manual_seed(1))
    make = conv(axes, *arguments, **options)

    def ready() -> nn.Module:
        module = make()
        module(features)
        return module

    assert_exact(build(ready), features, replayed=set())


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_inner_products_of_patches_are_those_of_pixels(name: str) -> None:
    axes, arguments, options = CONVOLUTIONS[name]
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, arguments[0], *[8, 9, 4][:axes], generator=generator, dtype=torch.float64).to(where[0])
    layer = conv(axes, *arguments, **options)()[0]  # type: ignore[index]
    seen = patches(layer, padded(layer, images))
    torch.testing.assert_close(patch_grams(layer, images), seen.mT @ seen, rtol=1e-12, atol=1e-12)
    side_by_side = seen.permute(1, 2, 0, 3).flatten(2)
    assert torch.equal(patch_columns(layer, padded(layer, images)), side_by_side)


def test_only_convolutions_with_many_channels_and_few_positions_take_those_of_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []

    def counted(layer: nn.Conv2d, images: Tensor) -> Tensor:
        taken.append(layer)
        return patch_grams(layer, images)

    monkeypatch.setattr(layer_gradients, "patch_grams", counted)
    chosen = []
    for name, (axes, arguments, options) in CONVOLUTIONS.items():
        layer, images = conv(axes, *arguments, **options)()[0], torch.randn(5, arguments[0], *[8, 9, 4][:axes])  # type: ignore[index]
        layer_gradients.conv_gradients(layer, images, torch.randn_like(layer(images)))
        chosen += [name] if taken and taken[-1] is layer else []
    assert chosen == ["many_channels", "many_channels_padding_bias_groups"]


class Pooled(nn.Module):
    """Applies layers to (n, positions, features) and averages over positions."""

    def __init__(self, *parts: nn.Module, classes: int = 3) -> None:
        super().__init__()
        self.parts, self.head = nn.Sequential(*parts), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.parts(x).mean(1))
        return out


class Sequence(nn.Module):
    """A transformer layer on tokens, its output layer tied to the embedding; batch first or second."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.tokens = nn.Embedding(9, 8, padding_idx=0)
        self.block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=batch_first)
        self.out = nn.Linear(8, 9)
        self.out.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.tokens(x)
        hidden = self.block(hidden if self.batch_first else hidden.transpose(0, 1))
        out: Tensor = self.out(hidden.mean(1 if self.batch_first else 0))
        return out


class Odd(nn.Module):
    """Calls one layer twice, uses another's weight by hand, never uses a third, owns a parameter itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(2, 2)
        self.head, self.scale = nn.Linear(6, 3), nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.twice(torch.relu_(self.twice(torch.tanh(self.first(x)))))
        out: Tensor = self.head(F.linear(hidden, self.first.weight.t()) * self.scale)
        return out


class Untransformable(nn.Module):
    """Reads a number back, which vmap cannot transform, and uses its layer's weight by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        sign = 1.0 if float(x.sum()) < 1e9 else -1.0
        return sign * F.linear(x, self.layer.weight, self.layer.bias)


FLAT = torch.randn(7, 6, generator=torch.Generator().manual_seed(2))
IMAGES = torch.randn(5, 4, 6, 6, generator=torch.Generator().manual_seed(2))
MATRICES = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(2))
TOKENS = torch.randint(9, (7, 7), generator=torch.Generator().manual_seed(2))
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, set[str]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)), FLAT, set()),
    "in_place": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(inplace=True), nn.Linear(9, 3)), FLAT, set()),
    "no_bias": (lambda: nn.Sequential(nn.Linear(6, 3, bias=False)), FLAT, set()),
    "linear_3d": (lambda: Pooled(nn.Linear(8, 5), nn.ReLU(inplace=True), nn.Linear(5, 8)), MATRICES, set()),
    "linear_3d_wide": (lambda: Pooled(nn.Linear(8, 99), nn.Tanh(), nn.Linear(99, 8)), MATRICES, set()),
    "layer_norm": (lambda: Pooled(nn.LayerNorm(8), nn.Tanh(), nn.LayerNorm((4, 8))), MATRICES, set()),
    "layer_norm_no_bias": (lambda: Pooled(nn.LayerNorm(8, bias=False), nn.Linear(8, 8)), MATRICES, set()),
    "rms_norm": (lambda: Pooled(nn.RMSNorm(8), nn.Linear(8, 8)), MATRICES, set()),
    "group_norm": (
        lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)),
        IMAGES,
        set(),
    ),
    "batch_norm": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 3)
        ),
        IMAGES,
        set(),
    ),
    "batch_norm_flat": (lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), FLAT, set()),
    "instance_norm": (
        lambda: nn.Sequential(nn.InstanceNorm2d(4, affine=True), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3)),
        IMAGES,
        {"0"},
    ),
    "attention": (
        lambda: Sequence(batch_first=True),
        TOKENS,
        {"tokens", "out", "block.self_attn", "block.self_attn.out_proj"},
    ),
    # Seven tokens, seven examples: only the rehearsal can tell which axis is the batch.
    "sequence_first": (
        lambda: Sequence(batch_first=False),
        TOKENS,
        {"tokens", "out", "block.self_attn", "block.self_attn.out_proj"}
        | {f"block.{name}" for name in ("linear1", "linear2", "norm1", "norm2")},
    ),
    "odd_uses": (Odd, FLAT, {"(model)", "first", "twice", "unused"}),
    "weight_norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 3)),
        FLAT,
        {"0"},
    ),
    "untransformable": (Untransformable, FLAT, {"layer"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    make, features, replayed = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_exact(build(make), features, replayed)


@pytest.mark.parametrize(("rows", "columns", "positions"), [(3, 4, 50), (40, 30, 3), (1, 1, 1)])
def test_outer_products_by_either_route(rows: int, columns: int, positions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(5, 2, rows, positions, dtype=torch.float64, generator=generator)
    right = torch.randn(5, 2, columns, positions, dtype=torch.float64, generator=generator)
    squares, total = outer_products(left, right)
    matrices = torch.einsum("igrp,igcp->igrc", left, right)
    torch.testing.assert_close(squares, matrices.square().sum((1, 2, 3)))
    torch.testing.assert_close(total, matrices.sum(0))


def test_a_parameter_without_axes_and_the_others_beside_it() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale, self.shift = nn.Linear(6, 3), nn.Parameter(torch.tensor(2.0)), nn.Parameter(FLAT[0])

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x + self.shift)
            return out * self.scale

    assert_exact(build(Scaled), FLAT, replayed={"(model)"})


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(MODELS["batch_norm"][0])
    labels = torch.zeros(5, dtype=torch.int64)
    run = ExamplePass(module, layers_of(module), IMAGES, labels)
    whole = run(IMAGES, labels).squares
    monkeypatch.setattr("metrics.example_gradients.layer_gradients._SLICE_ELEMENTS", 1)
    for name, squares in run(IMAGES, labels).squares.items():
        torch.testing.assert_close(squares, whole[name])


def test_frozen_parameters_are_measured_too() -> None:
    module = build(MODELS["linear"][0])
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    assert_exact(module, FLAT, replayed=set())


def test_the_module_is_left_as_found() -> None:
    module = build(MODELS["batch_norm"][0])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    run = ExamplePass(module, layers_of(module), IMAGES, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(IndexError):  # a label that is no class: the hooks must go even so
        run(IMAGES, torch.full((5,), 99))
    assert all(not part._forward_hooks for part in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_training_mode_is_refused() -> None:
    module = build(MODELS["linear"][0]).train()
    with pytest.raises(ValueError, match="module must be in evaluation mode"):
        ExamplePass(module, layers_of(module), FLAT, torch.zeros(7, dtype=torch.int64))


def test_batch_statistics_are_refused() -> None:
    module = nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3)).eval()
    with pytest.raises(ValueError, match="batch norm '0' without running statistics"):
        ExamplePass(module, layers_of(module), FLAT, torch.zeros(7, dtype=torch.int64))


class Routed(nn.Module):
    """Sends every example to one of two layers, as mixtures of experts do."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 2), nn.ModuleList(nn.Linear(6, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        chosen, out = self.gate(x).argmax(1), x.new_zeros(len(x), 3)
        for number, expert in enumerate(self.experts):
            places = (chosen == number).nonzero()[:, 0]
            if len(places):
                out = out.index_put((places,), expert(x[places]))
        return out


def test_layers_that_see_a_part_of_the_examples_are_exact_too() -> None:
    module, labels = build(Routed), torch.arange(7) % 3
    # All examples of the rehearsal go one way, those of the batch both.
    alike = FLAT[:1].repeat(3, 1)
    run = ExamplePass(module, layers_of(module), alike, labels[:3])
    found, expected = run(FLAT, labels), naive(module, FLAT, labels)
    for layer in layers_of(module):
        squares = sum(expected[name].double().flatten(1).square().sum(1) for name in layer.names)
        torch.testing.assert_close(found.squares[layer.name], squares, rtol=2e-5, atol=1e-10)


class Centred(nn.Module):
    """Subtracts the mean over the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        out: Tensor = self.last((hidden - hidden.mean(0)).relu())
        return out


@pytest.mark.parametrize("features", [FLAT, FLAT[:1], FLAT[:1].repeat(7, 1)])
def test_examples_that_influence_each_other_are_refused(features: Tensor) -> None:
    module = build(Centred)
    with pytest.raises(ValueError, match="examples must not influence each other"):
        ExamplePass(module, layers_of(module), features, torch.zeros(len(features), dtype=torch.int64))


def test_a_layer_that_changes_its_use_is_refused() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            return self.layer(out) if len(x) > 3 else out

    module = build(Fickle)
    run = ExamplePass(module, layers_of(module), FLAT, torch.zeros(7, dtype=torch.int64))
    with pytest.raises(ValueError, match="layer layer must be used alike in all batches"):
        run(FLAT, torch.zeros(7, dtype=torch.int64))
