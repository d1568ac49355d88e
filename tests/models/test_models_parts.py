"""What a network is made of: refused in a sentence, or turned into what a federation can average and measure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.models import build_model
from fedlayers.models.parts import check_parameters, room_for_weights, with_usable_parts
from metrics.example_gradients.per_example import ExamplePass

ROWS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Tied(nn.Module):
    """Two complex layers of one weight, beside a list and a number of complex parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(4, 4, dtype=torch.complex64) for _ in range(2))
        self.second.weight = self.first.weight
        self.phases = nn.ParameterList([torch.randn(4, dtype=torch.complex64)])
        self.frozen = nn.Parameter(torch.tensor(1j), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.first(features.to(torch.complex64)) * self.phases[0]
        output: Tensor = self.second(hidden) * self.frozen
        return output.abs()


def frozen() -> nn.Module:
    return nn.Linear(4, 3).requires_grad_(False)


def with_counts() -> nn.Module:
    module = nn.Linear(4, 3)
    module.register_parameter("counts", nn.Parameter(torch.arange(3), requires_grad=False))
    return module


def scripted_inside() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 3)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.Sequential(nn.Flatten()), r"model must have parameters, got none in Sequential"),
        (frozen, r"model must have parameters that require gradients, got none of 2 in Linear; unfreeze"),
        (lambda: nn.Linear(4, 3).bfloat16(), r"float16, float32 or float64, got torch.bfloat16 in 'weight'; keep"),
        (with_counts, r"float16, float32 or float64, got torch.int64 in 'counts'; register .* a buffer"),
        (scripted_inside, r"model must be made of plain torch modules.*got a RecursiveScriptModule 1; give"),
    ],
)
def test_what_cannot_be_averaged_or_measured_is_refused(make: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_parameters(with_usable_parts(make()))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"hidden": [2 * 10**9]},
            r"model must fit into memory, got 512\.0 GB or more of weights where training has room",
        ),
        (
            {"_target_": "torch.nn.Linear", "in_features": 2**40, "out_features": 2**40},
            r"model must fit into memory, got more than can be counted of weights",
        ),
        ({"hidden": [2**31 - 1, 2**31 - 1]}, r"model must fit into memory"),
        ({"hidden": [10**10]}, r"model\.hidden must be at most 2147483647, got 10000000000"),
    ],
)
def test_sizes_beyond_memory_are_refused_before_they_are_allocated(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_model({"_target_": "fedlayers.models.mlp.MLP", **change}, (64,), 10, 0)
    assert room_for_weights() > 10**6


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"_target_": "fedlayers.models.cnn.CNN", "kernel_size": 17},
            r"model\.kernel_size must be 15 or less .* got 17",
        ),
        (
            {
                "_target_": "torch.nn.Conv2d",
                "in_channels": 1,
                "out_channels": 1,
                "kernel_size": 301,
                "padding": 150,
            },
            r"kernels of at most 8 times their input's size, which is \(8, 8\), got \(301, 301\)",
        ),
    ],
)
def test_kernels_far_larger_than_their_input_are_refused(model: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_model(model, (1, 8, 8), 10, 0)


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    torch.manual_seed(0)
    module = Tied().eval()
    expected = module(ROWS).detach()
    weight = module.first.weight.detach().clone()
    held = with_usable_parts(module)
    assert torch.equal(held(ROWS).detach(), expected)
    names = dict(held.named_parameters())
    assert {tensor.dtype for tensor in names.values()} == {torch.float32}
    assert torch.equal(names["first.parametrizations.weight.original0"], weight.real)
    assert "second.parametrizations.weight.original0" not in names
    assert [name for name, tensor in names.items() if not tensor.requires_grad] == [
        "parametrizations.frozen.original0",
        "parametrizations.frozen.original1",
    ]
    roles = {layer.name: [parameter.role for parameter in layer.parameters] for layer in layers_of(held)}
    assert roles["first"] == ["weight", "weight", "bias", "bias"] and roles["second"] == ["bias", "bias"]


def test_per_example_gradients_of_complex_weights_equal_those_of_their_parts() -> None:
    torch.manual_seed(1)
    module = with_usable_parts(nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64))).eval()
    parts = [tensor.detach().clone().requires_grad_() for tensor in module.parameters()]

    def loss(output: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(output.abs(), labels, reduction="none")

    features, labels = ROWS.to(torch.complex64), torch.arange(5) % 3
    found = ExamplePass(module, layers_of(module), features, labels, loss=loss)(features, labels)
    for i in range(5):
        x = ROWS[i : i + 1]
        real, imaginary = x @ parts[0].T + parts[2], x @ parts[1].T + parts[3]
        value = loss(torch.complex(real, imaginary), labels[i : i + 1]).sum()
        square = sum(float(slope.square().sum()) for slope in torch.autograd.grad(value, parts))
        assert float(found.squares["0"][i]) == pytest.approx(square, rel=1e-5)


def test_embeddings_give_dense_gradients() -> None:
    module = with_usable_parts(nn.Sequential(nn.EmbeddingBag(5, 3, sparse=True), nn.Linear(3, 2)))
    module(torch.tensor([[0, 1]])).sum().backward()
    gradient = module[0].weight.grad  # type: ignore[index]
    assert gradient is not None and not gradient.is_sparse


def test_a_run_with_complex_and_empty_parameters(quick_run: Callable[..., Path]) -> None:
    folder = quick_run(
        "model._target_=tests.support.odd_models.ComplexAndEmpty",
        "rounds=1",
        "clients=2",
        "metrics=[weights,gradients,curvature,sensitivity,originals,distances]",
        "metrics.sensitivity.batch_examples=8",
        "metrics.curvature.density_runs=0",
        "training.optimizer=adam",
    )
    rows: Any = fedlayers.read(folder).records
    first = rows[rows.layer == "first"]
    assert (first[~first.metric.str.startswith("hessian")].status == "ok").all()
    missing = rows[rows.status == "missing"]
    assert set(missing.metric) <= {fact for fact in missing.metric if "." not in fact} - {"originals", "curvature"}
    assert set(missing[missing.metric.str.startswith("hessian_e")].reason) == {"it has no numbers"}
