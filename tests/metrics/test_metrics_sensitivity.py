"""Sensitivity against a loop over batches, closed forms, dense Hessians, and its invariances."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, hessian

from fedlayers.core.layers import Layer, layers_of
from fedlayers.core.records import Record, Row
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Metric
from metrics.originals import Originals
from metrics.sensitivity import Sensitivity
from metrics.statistics.taylor_scores import cumulative_scores, taylor_score
from tests.support.metric_views import Rows, assert_in_range, client_view, network, some_rows, value_of

pytestmark = pytest.mark.usefixtures("device")

SECOND = "sensitivity_second_order"


def view_of(module: nn.Module, rows: Rows, seed: int = 7) -> ClientView:
    return replace(client_view(module, {"client_train": rows}), seed=seed)


def measured_rows(module: nn.Module, rows: Rows, **arguments: int) -> list[Row]:
    metric = Sensitivity(**arguments)  # type: ignore[arg-type]
    found = metric.client(view_of(module, rows)).rows
    assert_in_range(metric, found)
    return found


def batches_of(rows: Rows, batches: int, size: int, seed: int = 7) -> list[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(rows), generator=torch_generator(seed, "sensitivity/client_train"))
    return [rows.batch(order[b * size : (b + 1) * size]) for b in range(batches)]


def dense_hessian(module: nn.Module, name: str, features: Tensor, labels: Tensor) -> Tensor:
    """Return the Hessian block of one parameter, (N, N), float64."""
    wide = {key: tensor.detach().double() for key, tensor in module.named_parameters()}

    def loss(weight: Tensor) -> Tensor:
        outputs = functional_call(module, {**wide, name: weight}, (features.double(),))
        return F.cross_entropy(outputs, labels)

    found: Tensor = hessian(loss)(wide[name])
    return found.reshape(wide[name].numel(), -1)


def test_values_equal_a_loop_over_batches() -> None:
    module, rows = network(), some_rows(70)
    found = measured_rows(module, rows, batches=5, batch_examples=12)
    scores: dict[str, list[float]] = {}
    products: dict[str, list[np.ndarray]] = {}
    for features, labels in batches_of(rows, 5, 12):
        loss = F.cross_entropy(module(features), labels)
        for layer in ("0", "2", "3"):
            weight = module.get_parameter(f"{layer}.weight")
            (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
            product = (weight.detach().double() * gradient.double()).cpu().numpy()
            scores.setdefault(layer, []).append(float((product**2).sum()))
            products.setdefault(layer, []).append(product.ravel())
    for layer, values in scores.items():
        row = value_of(found, "sensitivity", layer=layer)
        error = np.std(values, ddof=1) / math.sqrt(5)
        assert row.value == pytest.approx(np.mean(values), rel=1e-5)
        assert row.stderr == pytest.approx(error, rel=1e-4)
        noise = np.var(products[layer], axis=0, ddof=1).sum()
        assert row.chance == pytest.approx(noise, rel=1e-4)
        assert (row.n, row.scope) == (5, "client_train")
        per = value_of(found, "sensitivity_per_parameter", layer=layer)
        numbers = module.get_parameter(f"{layer}.weight").numel()
        assert per.value == pytest.approx(np.mean(values) / numbers, rel=1e-5)
        assert per.stderr == pytest.approx(error / numbers, rel=1e-4)
        assert per.chance == pytest.approx(noise / numbers, rel=1e-4)
    ratio = np.array(scores["3"]) / 32 / (np.mean(scores["0"]) / 48)
    assert value_of(found, "sensitivity_cumulative", layer="3").value == pytest.approx(1 + ratio.mean(), rel=1e-5)


def test_a_linear_model_has_a_closed_form() -> None:
    """Softmax regression: g = (P − Y)ᵀ X / b."""
    module = nn.Sequential(nn.Linear(6, 4)).eval()
    rows = some_rows(30)
    weight, bias = (tensor.detach().double().numpy() for tensor in module.parameters())
    x, y = rows.features.double().cpu().numpy(), np.eye(4)[rows.labels.cpu()]
    logits = x @ weight.T + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = ((weight * ((p - y).T @ x / 30)) ** 2).sum()
    found = measured_rows(module, rows, batches=3, batch_examples=30)
    assert value_of(found, "sensitivity", layer="0").value == pytest.approx(expected, rel=1e-5)
    # H = Σ_i (diag(p_i) − p_i p_iᵀ) ⊗ x_i x_iᵀ / b.
    blocks = np.einsum("ij,jk->ijk", p, np.eye(4)) - np.einsum("ij,ik->ijk", p, p)
    product = np.einsum("ijk,il,im,km->jl", blocks, x, x, weight) / 30
    row = value_of(found, SECOND, layer="0")
    assert row.value == pytest.approx(((weight * product) ** 2).sum(), rel=1e-5)
    assert (row.n, row.stderr) == (1, None)


def test_second_order_equals_a_dense_hessian_restricted_to_the_weights() -> None:
    module, rows = network(), some_rows(40)
    found = measured_rows(module, rows, batches=4, batch_examples=10, second_order_batches=2)
    for name in ("0.weight", "2.weight", "3.weight"):
        weight = module.get_parameter(name).detach().double()
        scores = [
            float((weight.flatten() * (dense_hessian(module, name, *batch) @ weight.flatten())).square().sum())
            for batch in batches_of(rows, 2, 10)
        ]
        row = value_of(found, SECOND, layer=name[0])
        assert row.value == pytest.approx(np.mean(scores), rel=1e-4)
        assert row.stderr == pytest.approx(abs(scores[0] - scores[1]) / 2, rel=1e-3)
        assert row.n == 2
        per = value_of(found, f"{SECOND}_per_parameter", layer=name[0])
        assert per.value == pytest.approx(row.value / weight.numel())


def invariant(scale: float) -> nn.Module:
    """Return a model whose outputs do not depend on the scale of its first layer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first, last = nn.Linear(6, 8, bias=False), nn.Linear(8, 4)
    first.weight.data *= scale
    norm = nn.LayerNorm(8, eps=0.0, elementwise_affine=False)
    return nn.Sequential(first, norm, nn.Tanh(), last).eval()


def test_a_scale_that_does_not_matter_changes_nothing() -> None:
    """Where f(c w) = f(w), Euler gives H w = −g: the second order equals the first."""
    rows = some_rows(48)
    one, ten = (measured_rows(invariant(scale), rows, batches=3, batch_examples=16) for scale in (1.0, 10.0))
    for name in ("sensitivity", SECOND):
        small, large = (value_of(found, name, layer="0").value for found in (one, ten))
        assert large == pytest.approx(small, rel=1e-3)
    assert value_of(one, SECOND, layer="0").value == pytest.approx(value_of(one, "sensitivity", layer="0").value, 1e-3)


def test_scores_are_quadratic_in_weights_and_loss() -> None:
    weight, slope = torch.tensor([1.0, -2.0]), torch.tensor([[3.0, 0.5]])
    one = taylor_score([weight, weight], [slope[0], slope[0]])
    assert one == 2 * (9 + 1)
    assert taylor_score([3 * weight, 3 * weight], [slope[0], slope[0]]) == 9 * one
    assert taylor_score([weight, weight], [-slope[0], -slope[0]]) == one
    assert taylor_score([torch.full((3,), 1e-18)], [torch.full((3,), 1e-12)]) == pytest.approx(3e-60, rel=1e-5, abs=0)
    assert taylor_score([], []) == 0


def test_cumulative_is_one_at_first_and_never_falls() -> None:
    scores = torch.rand(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = cumulative_scores(scores)
    assert found.values[0] == 1.0
    assert found.errors[0] == pytest.approx(0, abs=1e-12)
    assert all(later >= earlier for earlier, later in zip(found.values, found.values[1:], strict=False))
    means = scores.mean(1)
    assert found.values[3] == pytest.approx(float(means[:4].sum() / means[0]))
    # The jackknife written out, leaving out one of five batches after the other.
    without = [torch.cat([scores[:, :b], scores[:, b + 1 :]], 1).mean(1) for b in range(5)]
    left = np.array([float(part[:4].sum() / part[0]) for part in without])
    assert found.errors[3] == pytest.approx(math.sqrt(0.8 * ((left - left.mean()) ** 2).sum()))
    assert cumulative_scores(7 * scores).values == pytest.approx(found.values)


def test_cumulative_errors_cover() -> None:
    """Scores of known means, noisy alike in all layers: the errors match the scatter of the ratio."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(400):
        common = 1 + 0.5 * torch.rand(1, 20, generator=generator, dtype=torch.float64)
        own = 1 + 0.2 * torch.rand(3, 20, generator=generator, dtype=torch.float64)
        found.append(cumulative_scores(torch.tensor([[1.0], [2.0], [0.5]]).double() * common * own))
    scatter = np.std([one.values[2] for one in found])
    assert np.mean([one.errors[2] for one in found]) == pytest.approx(scatter, rel=0.15)


def test_norm_layers_are_left_out_of_the_sum() -> None:
    found = measured_rows(network(), some_rows(40), batches=2, batch_examples=20)
    row = value_of(found, "sensitivity_cumulative", layer="2")
    assert (row.status, row.reason) == ("missing", "norm layers are left out of the sum")
    assert value_of(found, "sensitivity_cumulative", layer="0").value == 1.0
    parts = [value_of(found, "sensitivity_per_parameter", layer=layer).value for layer in ("0", "3")]
    assert value_of(found, "sensitivity_cumulative", layer="3").value == pytest.approx(1 + parts[1] / parts[0])


def test_equal_batches_have_no_error() -> None:
    one = some_rows(1)
    rows = Rows(one.features.expand(48, 6).clone(), one.labels.expand(48).clone())
    for row in measured_rows(network(), rows, batches=6, batch_examples=8):
        assert isinstance(row, Record)
        if row.status == "ok":
            assert row.stderr is not None and row.stderr <= 1e-6 * row.value


def test_values_are_repeatable_and_follow_the_seed() -> None:
    module, rows = network(), some_rows(200)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    one, two, other = (Sensitivity().client(view_of(module, rows, seed)).rows for seed in (1, 1, 2))
    assert one == two
    values = [value_of(found, "sensitivity", layer="0") for found in (one, other)]
    assert values[0].value != values[1].value
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not module.training and all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize(("examples", "n"), [(0, 0), (9, 0), (10, 1), (35, 3), (99, 4)])
def test_few_examples_make_few_batches(examples: int, n: int) -> None:
    metric = Sensitivity(batches=4, batch_examples=10)
    data = {"client_train": some_rows(examples)} if examples else {}
    found = metric.client(client_view(network(), data)).rows
    assert_in_range(metric, found)
    row = value_of(found, "sensitivity", layer="0")
    assert row.n == n
    assert (row.stderr is None) == (n < 2)
    assert (value_of(found, "sensitivity_cumulative", layer="3").stderr is None) == (n < 2)
    if n == 0:
        assert row.reason == f"{examples} examples in client_train, a batch needs 10"


class Shift(nn.Module):
    """A layer whose only parameter is a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def test_a_layer_without_weights_is_missing() -> None:
    found = measured_rows(nn.Sequential(Shift(), nn.Linear(6, 4)).eval(), some_rows(20), batch_examples=10)
    for name in ("sensitivity", SECOND, "sensitivity_cumulative"):
        assert value_of(found, name, layer="0").reason == "no parameters that are not biases"
        assert value_of(found, name, layer="1").status == "ok"
    assert value_of(found, "sensitivity_cumulative", layer="1").value == 1.0


class Unused(nn.Module):
    """A model with a layer that its outputs do not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        used: Tensor = self.used(x)
        return used


def test_a_layer_without_influence_has_no_sensitivity() -> None:
    found = measured_rows(Unused().eval(), some_rows(40), batches=2, batch_examples=20)
    for name in ("sensitivity", "sensitivity_per_parameter", SECOND):
        row = value_of(found, name, layer="unused")
        assert (row.status, row.value, row.stderr) == ("ok", 0, 0)
    assert value_of(found, "sensitivity_cumulative", layer="unused").value == 1


def test_a_first_layer_without_sensitivity_has_no_ratio() -> None:
    module = network()
    module.get_parameter("0.weight").data.zero_()
    found = measured_rows(module, some_rows(20), batch_examples=10)
    assert value_of(found, "sensitivity", layer="0").value == 0
    row = value_of(found, "sensitivity_cumulative", layer="3")
    assert row.reason == "the first layer's sensitivity is zero, or one is not finite"


def test_diverged_weights_are_missing() -> None:
    module = network()
    module.get_parameter("3.weight").data.fill_(math.inf)
    for row in measured_rows(module, some_rows(20), batch_examples=10):
        assert isinstance(row, Record) and row.status == "missing" and row.reason


def test_second_order_can_be_left_out() -> None:
    found = measured_rows(network(), some_rows(40), batches=2, batch_examples=10, second_order_batches=0)
    names = {row.metric for row in found if isinstance(row, Record)}
    assert names == {"sensitivity", "sensitivity_per_parameter", "sensitivity_cumulative"}
    metric = Sensitivity(second_order_batches=0)
    assert SECOND not in {row.metric for row in metric.client(client_view(network(), {})).rows if row.metric}


def test_weights_are_what_is_no_bias() -> None:
    layers: tuple[Layer, ...] = layers_of(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.MultiheadAttention(2, 1)))
    found = [parameter.name for layer in layers for parameter in layer.weights]
    assert found == ["0.weight", "1.weight", "2.in_proj_weight", "2.out_proj.weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "probe"}, "scope must be client_train, client_val or client_test, got 'probe'"),
        ({"batches": 0}, "batches must be 1 or more, got 0"),
        ({"batch_examples": 0}, "batch_examples must be 1 or more, got 0"),
        ({"second_order_batches": -1}, "second_order_batches must be 0 or more, got -1"),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sensitivity(**arguments)  # type: ignore[arg-type]


class Bag(nn.Module):
    """Torch cannot differentiate a bag of embeddings twice."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(9, 3), nn.Linear(3, 4)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.bag((features * 2 + 4).long().clamp(0, 8)))
        return logits


@pytest.mark.parametrize(
    ("metric", "first", "second"),
    [
        (Sensitivity(batches=2, batch_examples=8, second_order_batches=1), "sensitivity", "sensitivity_second_order"),
        (Originals(8), "original_sensitivity", "original_second_order"),
    ],
)
def test_what_cannot_be_differentiated_twice_costs_one_layers_values(metric: Metric, first: str, second: str) -> None:
    torch.manual_seed(0)
    rows = metric.client(client_view(Bag().eval(), {"client_train": some_rows(32)})).rows
    assert value_of(rows, first, layer="bag").status == value_of(rows, second, layer="head").status == "ok"
    lost = value_of(rows, second, layer="bag")
    assert lost.status == "missing" and lost.reason and ("twice" in lost.reason or "derivative" in lost.reason)
