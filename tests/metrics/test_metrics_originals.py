"""The columns of PLayer-FL's release against a transcription of their definitions, with dense Hessians."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, hessian

from fedlayers.core.records import Record, Row
from fedlayers.core.seeding import torch_generator
from metrics.originals import Originals, random_direction
from metrics.statistics.singular_values import resolution, slice_singular_values, summarise
from tests.support.metric_views import Rows, assert_in_range, client_view, network, some_rows, value_of, where

pytestmark = pytest.mark.usefixtures("device")

Columns = dict[str, float]


def dense_hessian(module: nn.Module, name: str, features: Tensor, labels: Tensor) -> np.ndarray:
    wide = {key: tensor.detach().double() for key, tensor in module.named_parameters()}

    def loss(weight: Tensor) -> Tensor:
        outputs = functional_call(module, {**wide, name: weight}, (features.double(),))
        return F.cross_entropy(outputs, labels)

    found: Tensor = hessian(loss)(wide[name])
    return found.reshape(wide[name].numel(), -1).cpu().numpy()


def transcribed(weight: np.ndarray, gradient: np.ndarray, product: np.ndarray) -> Columns:
    """Return the release's columns, as the specification of its table words them."""
    columns = {
        "original_mean_abs_weight": np.abs(weight).mean(),
        "original_weight_variance": weight.var(ddof=1),
        "original_sensitivity": ((weight * gradient) ** 2).sum(),
        "original_sensitivity_per_parameter": ((weight * gradient) ** 2).sum() / weight.size,
        "original_gradient_variance": gradient.var(ddof=1),
        "original_second_order": ((weight * product) ** 2).sum(),
        "original_second_order_per_parameter": ((weight * product) ** 2).sum() / weight.size,
        "original_product_variance": product.var(ddof=1),
    }
    if product.ndim == 4:
        channels = [product[:, c].reshape(len(product), -1) for c in range(product.shape[1])]
        parts = [np.linalg.svd(channel, compute_uv=False) for channel in channels]
        total, values = np.mean([part.sum() for part in parts]), np.concatenate(parts) / len(parts)
    else:
        values = np.linalg.svd(product.reshape(len(product), -1), compute_uv=False)
        total = values.sum()
    columns["original_product_nuclear_norm"] = total
    columns["original_product_operator_norm"] = values.max()
    columns["original_product_condition"] = values.max() / values[values > 1e-8].min()
    columns["original_product_percent_small"] = 100 * (values < 0.01 * values.max()).sum() / len(values)
    if len(values) > 1:
        columns["original_product_skewness"] = scipy.stats.skew(values)
    return columns


def convolutional() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4)]
        return nn.Sequential(*layers).eval()


def some_images(n: int) -> Rows:
    generator = torch.Generator().manual_seed(2)
    return Rows(torch.randn(n, 2, 4, 4, generator=generator), torch.randint(4, (n,), generator=generator))


def measured_rows(module: nn.Module, rows: Rows, batch_examples: int = 20) -> list[Row]:
    metric = Originals(batch_examples=batch_examples)
    found = metric.client(client_view(module, {"client_train": rows})).rows
    assert_in_range(metric, found)
    return found


def batch_of(rows: Rows, size: int) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(len(rows), (size,), generator=torch_generator(0, "originals/batch", 1))
    features, labels = (tensor.to(where[0]) for tensor in rows.batch(chosen))
    return features, labels


@pytest.mark.parametrize(
    ("module", "rows", "names"),
    [
        (network(), some_rows(33), ("0.weight", "2.weight", "3.weight")),
        (convolutional(), some_images(25), ("0.weight", "2.weight", "5.weight")),
    ],
    ids=["linear", "convolution"],
)
def test_columns_equal_a_transcription(module: nn.Module, rows: Rows, names: tuple[str, ...]) -> None:
    found = measured_rows(module, rows)
    features, labels = batch_of(rows, 20)
    loss = F.cross_entropy(module(features), labels)
    for name in names:
        parameter = module.get_parameter(name)
        (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True)
        weight = parameter.detach().double().cpu().numpy()
        direction = random_direction(parameter.detach(), 1).double().cpu().numpy()
        product = (dense_hessian(module, name, features, labels) @ direction.ravel()).reshape(weight.shape)
        for column, expected in transcribed(weight, gradient.double().cpu().numpy(), product).items():
            row = value_of(found, column, layer=name[0])
            tolerance = 1e-2 if column.endswith(("condition", "skewness")) else 1e-4
            assert row.value == pytest.approx(expected, rel=tolerance, abs=0), (name, column)
            assert row.variant is None
            assert (row.scope, row.n) == ((None, None) if "weight" in column else ("client_train", 20))
        for threshold in (0.01, 0.05, 0.1):
            row = value_of(found, "original_percent_weights_below", layer=name[0], variant=f"t={threshold}")
            assert row.value == pytest.approx(100 * (np.abs(weight) < threshold).mean())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3.0])
def test_the_condition_of_a_last_layer_is_not_that_of_rounding(scale: float) -> None:
    """Softmax: every column of the product sums to zero, so that one singular value is zero, 1e-8 in float32."""
    for seed in range(40):
        module, rows = network(seed), some_rows(33, seed)
        module.get_parameter("3.weight").data.mul_(scale)
        weight, (features, labels) = module.get_parameter("3.weight").detach(), batch_of(rows, 20)
        direction = random_direction(weight, 1).double().cpu().numpy().ravel()
        product = (dense_hessian(module, "3.weight", features, labels) @ direction).reshape(weight.shape)
        expected = transcribed(weight.cpu().numpy(), product, product)["original_product_condition"]
        found = value_of(measured_rows(module, rows), "original_product_condition", layer="3").value
        assert found == pytest.approx(expected, rel=1e-3) and found < 1e5


def test_only_what_is_above_rounding_and_above_the_releases_threshold_counts() -> None:
    values = torch.tensor([1.0, 1e-3, 3e-8], dtype=torch.float64)
    assert summarise(values).condition == pytest.approx(1 / 3e-8)
    assert summarise(values, resolution(torch.zeros(3, 8))).condition == pytest.approx(1e3)
    assert summarise(values, resolution(torch.zeros(3, 8, dtype=torch.float64))).condition == pytest.approx(1 / 3e-8)
    eps = torch.finfo(torch.float32).eps
    shapes = [(), (5,), (3, 8), (9, 2, 5), (4, 6, 3, 3)]
    assert [resolution(torch.zeros(shape)) for shape in shapes] == [eps * most for most in (1, 5, 8, 10, 9)]


def test_a_vector_has_one_singular_value() -> None:
    """A norm layer's product is a vector: one singular value, its norm."""
    found = measured_rows(network(), some_rows(33))
    norm = value_of(found, "original_product_nuclear_norm", layer="2").value
    assert value_of(found, "original_product_operator_norm", layer="2").value == norm
    assert value_of(found, "original_product_condition", layer="2").value == 1
    assert value_of(found, "original_product_skewness", layer="2").reason == "the singular values do not vary"


def test_the_nuclear_norm_of_the_product_is_no_trace() -> None:
    """Hessians H and −H have opposite traces, eigenvalues and curvature, and equal columns."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(100, 100, generator=generator, dtype=torch.float64)
    matrix = root @ root.T / 100 + 5 * torch.eye(100, dtype=torch.float64)
    direction = random_direction(torch.zeros(10, 10, dtype=torch.float64), 1).flatten()
    plus, minus = (summarise(slice_singular_values((h @ direction).reshape(10, 10))) for h in (matrix, -matrix))
    assert float(matrix.trace()) > 500
    assert minus.nuclear == pytest.approx(plus.nuclear, rel=1e-12)
    assert plus.nuclear < 0.1 * float(matrix.trace())
    # Nor the sum of the Hessian's singular values, which equals the trace here.
    assert float(torch.linalg.svdvals(matrix).sum()) == pytest.approx(float(matrix.trace()))


def test_slices_of_a_convolution_are_divided_by_their_number() -> None:
    tensor = torch.zeros(2, 3, 2, 2)
    tensor[0, 0, 0, 0], tensor[1, 0, 0, 1], tensor[0, 2, 1, 1] = 6.0, 3.0, -9.0
    assert slice_singular_values(tensor).tolist() == pytest.approx([2.0, 1.0, 0.0, 0.0, 3.0, 0.0])
    found = summarise(slice_singular_values(tensor))
    assert (found.nuclear, found.operator, found.condition) == pytest.approx((6.0, 3.0, 3.0))
    assert found.percent_small == 50
    assert slice_singular_values(torch.tensor(-2.0)).tolist() == [2.0]
    assert slice_singular_values(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([5.0])
    assert slice_singular_values(torch.ones(2, 3, 5)).tolist() == pytest.approx([math.sqrt(30), 0.0], abs=1e-12)


def test_values_too_small_to_compare_have_no_number() -> None:
    nothing = summarise(torch.tensor([1e-12, 0.0], dtype=torch.float64))
    assert math.isnan(nothing.nuclear) and math.isnan(nothing.percent_small)
    small = summarise(torch.tensor([1e-9, 1e-10], dtype=torch.float64))
    assert small.operator == 1e-9 and math.isnan(small.condition)
    assert summarise(torch.tensor([500.0, 4.0, 6.0, 50.0], dtype=torch.float64)).percent_small == 25
    equal = summarise(torch.full((3,), 0.1, dtype=torch.float64))
    assert math.isnan(equal.skewness) and equal.condition == 1


def test_the_direction_has_norm_one_and_follows_the_round_alone() -> None:
    weight = torch.zeros(7, 5)
    direction = random_direction(weight, 3)
    assert float(direction.square().sum()) == pytest.approx(1)
    assert torch.equal(direction, random_direction(torch.ones(7, 5), 3))
    assert not torch.equal(direction, random_direction(weight, 4))


def test_clients_and_runs_draw_alike() -> None:
    view = client_view(network(), {"client_train": some_rows(30)})
    one, other = (Originals().client(replace(view, seed=seed)).rows for seed in (1, 2))
    assert one == other
    later = Originals().client(replace(view, round=2)).rows
    values = [value_of(rows, "original_sensitivity", layer="0").value for rows in (one, later)]
    assert values[0] != values[1]


def test_a_batch_may_be_larger_than_the_data() -> None:
    row = value_of(measured_rows(network(), some_rows(1), 128), "original_sensitivity", layer="0")
    assert row.status == "ok" and row.n == 128


def test_without_training_examples_weights_alone_are_measured() -> None:
    found = Originals().client(client_view(network(), {"client_val": some_rows(5)})).rows
    assert_in_range(Originals(), found)
    row = value_of(found, "original_sensitivity", layer="0")
    assert (row.reason, row.n) == ("no examples in client_train", 0)
    assert value_of(found, "original_mean_abs_weight", layer="0").status == "ok"


class Mixed(nn.Module):
    """A layer of a weight and a scale, and one of a bias alone."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.ParameterDict({"weight": torch.ones(4, 6) / 7, "scale": torch.tensor(0.02)})
        self.shift = nn.Linear(4, 4)
        self.shift.register_parameter("weight", None)
        self.shift.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return (
            torch.tanh(self.pair["scale"] * x @ self.pair["weight"].T) * torch.arange(4.0, device=x.device)
            + self.shift.bias
        )


def test_several_tensors_of_a_layer_are_variants_and_biases_are_none() -> None:
    found = measured_rows(Mixed().eval(), some_rows(20))
    assert value_of(found, "original_mean_abs_weight", layer="pair", variant="weight").value == pytest.approx(1 / 7)
    below = value_of(found, "original_percent_weights_below", layer="pair", variant="scale, t=0.05")
    assert below.value == 100
    alone = value_of(found, "original_weight_variance", layer="pair", variant="scale")
    assert alone.reason == "one number has no variance"
    assert value_of(found, "original_product_operator_norm", layer="pair", variant="scale").status == "ok"
    for column in ("original_weight_variance", "original_sensitivity", "original_product_skewness"):
        assert value_of(found, column, layer="shift").reason == "no parameters that are not biases"


def test_zero_curvature_has_no_singular_values() -> None:
    """The last layer of a model whose inputs are zero: neither slope nor curvature."""
    rows = Rows(torch.zeros(9, 6), torch.arange(9) % 4)
    found = measured_rows(nn.Sequential(nn.Linear(6, 4)).eval(), rows)
    assert value_of(found, "original_product_nuclear_norm", layer="0").reason == "no singular value is above 1e-12"
    assert value_of(found, "original_product_condition", layer="0").reason == "no singular value is above 1e-12"
    assert value_of(found, "original_second_order", layer="0").value == 0


def test_diverged_weights_are_missing() -> None:
    module = network()
    for parameter in module.parameters():
        parameter.data.fill_(math.nan)
    found = measured_rows(module, some_rows(20))
    for row in found:
        assert isinstance(row, Record) and row.status == "missing" and row.reason
    assert value_of(found, "original_product_condition", layer="3").reason == "the product is not finite"


def test_the_module_is_left_as_found() -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    measured_rows(module, some_rows(20))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not module.training and all(parameter.grad is None for parameter in module.parameters())


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="batch_examples must be 1 or more, got 0"):
        Originals(batch_examples=0)
