"""Weight statistics against numpy, updates against closed forms."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Row
from metrics.measure import measure_server
from metrics.statistics.weight_statistics import (
    b_dissimilarity,
    cosine,
    count_small,
    inner_product,
    merged,
    moments,
    squared_norm,
    update_products,
)
from metrics.weights import Weights
from tests.support.metric_views import assert_in_range, client_view, network, server_view, value_of, weights_of

pytestmark = pytest.mark.usefixtures("device")

SHARES = ("share_small", "share_small_relative")


def some_tensors(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5, 3, generator=generator), 3 + 0.01 * torch.randn(40, generator=generator)]


def test_moments_equal_numpy() -> None:
    tensors = some_tensors()
    flat = np.concatenate([tensor.numpy().astype(np.float64).ravel() for tensor in tensors])
    found = moments(tensors)
    assert found.count == 55
    assert found.mean == pytest.approx(flat.mean())
    assert found.absolute == pytest.approx(np.abs(flat).mean())
    assert found.variance == pytest.approx(flat.var(ddof=1))
    assert found.rms == pytest.approx(math.sqrt((flat**2).mean()))
    parts = merged([moments([tensor]) for tensor in tensors])
    assert parts.variance == pytest.approx(found.variance)


def test_moments_of_a_large_offset_do_not_cancel() -> None:
    tensor = 1000 + torch.linspace(-1, 1, 1001)
    assert moments([tensor]).variance == pytest.approx(float(tensor.double().var()), rel=1e-4)


def test_moments_of_nothing() -> None:
    assert moments([]).count == 0
    assert math.isnan(moments([]).rms)
    assert math.isnan(moments([torch.ones(1)]).variance)


def test_norms_of_large_tensors_are_accurate() -> None:
    tensor = torch.full((3_000_000,), 0.1)
    assert squared_norm([tensor]) == pytest.approx(3_000_000 * float(tensor[0]) ** 2, rel=1e-6)
    assert inner_product([tensor], [tensor]) == pytest.approx(squared_norm([tensor]), rel=1e-6)


def test_small_means_below_the_threshold() -> None:
    assert count_small([torch.tensor([0.1, -0.05, 0.0]), torch.tensor([-0.2])], 0.1) == 2


def test_cosine_and_dissimilarity_closed_forms() -> None:
    assert cosine(2.0, 4.0, 1.0) == 1
    assert cosine(-1.0, 4.0, 1.0) == -0.5
    assert cosine(1.0 + 1e-12, 1.0, 1.0) == 1
    halves = torch.tensor([0.5, 0.5], dtype=torch.float64)
    # Orthogonal unit updates: mean ‖·‖² = 1/2, so B = √2.
    assert b_dissimilarity(halves, torch.ones(2, dtype=torch.float64), 0.5) == pytest.approx(math.sqrt(2))
    assert b_dissimilarity(halves, torch.ones(2, dtype=torch.float64), 1.0) == 1


@pytest.mark.parametrize("bad", [math.nan, 0.0])
def test_undefined_stays_undefined(bad: float) -> None:
    assert math.isnan(cosine(1.0, bad, 1.0))
    assert math.isnan(b_dissimilarity(torch.ones(1).double(), torch.ones(1).double(), bad))


def test_update_products_equal_dense_algebra() -> None:
    generator = torch.Generator().manual_seed(4)
    before = {"a": torch.randn(4, 3, generator=generator), "b": torch.randn(5, generator=generator)}
    after = {name: tensor + 0.1 for name, tensor in before.items()}
    clients = [
        {name: tensor + torch.randn(tensor.shape, generator=generator) for name, tensor in before.items()}
        for _ in range(3)
    ]
    shares = [0.2, 0.3, 0.5]
    found = update_products(clients, [before] * 3, [after] * 3, shares, [["a"], ["b"], ["a", "b"]])

    def flat(weights: dict[str, Tensor], names: list[str]) -> Tensor:
        return torch.cat([weights[name].double().flatten() for name in names])

    for index, names in enumerate([["a"], ["b"], ["a", "b"]]):
        updates = torch.stack([flat(client, names) - flat(before, names) for client in clients])
        mean = torch.tensor(shares, dtype=torch.float64) @ updates
        torch.testing.assert_close(found.squares[:, index], updates.square().sum(1), rtol=1e-5, atol=0)
        torch.testing.assert_close(found.with_mean[:, index], updates @ mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.mean_squares[index], mean.square().sum(), rtol=1e-5, atol=0)
        drifts = torch.stack([(flat(client, names) - flat(after, names)).square().sum() for client in clients])
        torch.testing.assert_close(found.drifts[:, index], drifts, rtol=1e-5, atol=0)


def test_client_values_follow_their_definitions() -> None:
    module, metric = network(1), Weights(thresholds=[0.1], relative_thresholds=[0.5])
    view = client_view(module, {}, reference=network(2))
    rows = metric.client(view).rows
    assert_in_range(metric, rows)
    weight, bias = module[0].weight.detach(), module[0].bias.detach()  # type: ignore[index]
    moved = [weight - view.reference["0.weight"], bias - view.reference["0.bias"]]
    rms = weight.square().mean().sqrt()
    expected = {
        ("norm", None): torch.cat([weight.flatten(), bias]).norm(),
        ("mean_abs_weight", None): weight.abs().mean(),
        ("weight_variance", None): weight.var(),
        ("share_small", "t=0.1"): (weight.abs() < 0.1).float().mean(),
        ("share_small_relative", "r=0.5"): (weight.abs() < 0.5 * rms).float().mean(),
        ("update_norm", None): torch.cat([tensor.flatten() for tensor in moved]).norm(),
    }
    for (name, variant), value in expected.items():
        row = value_of(rows, name, layer="0", variant=variant)
        assert row.value == pytest.approx(float(value), rel=1e-5), name
        assert row.layer_index == 0


def test_the_model_is_the_sum_of_its_layers() -> None:
    module, metric = network(1), Weights()
    rows = metric.client(client_view(module, {}, reference=network(2))).rows
    for name in ("norm", "update_norm"):
        squares = [value_of(rows, name, layer=layer.name).value ** 2 for layer in layers_of(module)]
        assert value_of(rows, name).value ** 2 == pytest.approx(sum(squares))
    weights = [p.detach().flatten() for name, p in module.named_parameters() if name.endswith("weight")]
    flat = torch.cat(weights)
    assert value_of(rows, "weight_variance").value == pytest.approx(float(flat.var()), rel=1e-5)
    small = sum(int((w.abs() < 0.1 * w.square().mean().sqrt()).sum()) for w in weights)
    assert value_of(rows, "share_small_relative", variant="r=0.1").value == pytest.approx(small / len(flat))


def test_update_norm_only_after_local_training() -> None:
    rows = Weights().client(client_view(network(), {}, moment="after_aggregate")).rows
    assert all(row.metric != "update_norm" for row in rows)


def test_layers_without_weights_zero_weights_and_nan_are_missing() -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

    zero, broken = nn.Linear(3, 3), nn.Linear(3, 3)
    zero.weight.data.zero_()
    broken.weight.data[0, 0] = math.nan
    module = nn.Sequential(zero, Shift(), broken, nn.Linear(1, 1))
    metric = Weights()
    rows = metric.client(client_view(module, {})).rows
    assert_in_range(metric, rows)
    reasons = {
        ("0", "share_small_relative", "r=0.1"): "all weights are zero or not finite",
        ("1", "mean_abs_weight", None): "no parameters that are not biases",
        ("2", "norm", None): "not finite",
        ("2", "share_small", "t=0.1"): "all weights are zero or not finite",
        ("3", "weight_variance", None): "one number has no variance",
    }
    for (layer, name, variant), reason in reasons.items():
        assert value_of(rows, name, layer=layer, variant=variant).reason == reason
    assert value_of(rows, "share_small", layer="0", variant="t=0.1").value == 1


def server_rows(
    clients: dict[int, dict[str, Tensor]], examples: dict[int, int], after: dict[str, Tensor] | None = None
) -> list[Row]:
    view = server_view(network(0), clients, examples, after)
    return measure_server({"weights": Weights()}, view, {}, 1, "raise")[0]


def test_server_rows_for_orthogonal_and_equal_updates() -> None:
    before = weights_of(network(0))
    one, two = ({name: tensor.clone() for name, tensor in before.items()} for _ in range(2))
    one["0.bias"][0] += 1
    two["0.bias"][1] += 1
    rows = server_rows({0: one, 1: two}, {0: 10, 1: 10})
    assert_in_range(Weights(), rows)
    for layer in (None, "0"):
        assert value_of(rows, "b_dissimilarity", layer=layer).value == pytest.approx(math.sqrt(2))
        for client in (0, 1):
            found = value_of(rows, "update_cosine", layer=layer, client=client)
            assert found.value == pytest.approx(math.sqrt(0.5)) and found.owner == "client"
            assert value_of(rows, "drift", layer=layer, client=client).value == pytest.approx(1)
    assert value_of(rows, "b_dissimilarity", layer="3").reason == "the mean update is zero"
    assert value_of(rows, "update_cosine", layer="3", client=0).reason == "the client's update is zero"
    equal = server_rows({0: one, 1: one}, {0: 1, 1: 5})
    assert value_of(equal, "b_dissimilarity").value == pytest.approx(1)
    assert value_of(equal, "update_cosine", client=1).value == pytest.approx(1)
    assert value_of(equal, "b_dissimilarity").n == 2


def test_opposite_updates_cancel_into_a_reason() -> None:
    names = weights_of(network(0))
    clients = {k: {n: torch.full_like(t, sign) for n, t in names.items()} for k, sign in ((0, 0.5), (1, -0.5))}
    view = server_view(network(0), clients, {0: 1, 1: 1})
    view.before = {n: torch.zeros(t.shape) for n, t in names.items()}
    rows, _ = measure_server({"weights": Weights()}, view, {}, 1, "raise")
    assert value_of(rows, "b_dissimilarity").reason == "the mean update is zero"
    assert value_of(rows, "update_cosine", client=0).reason == "the mean update is zero"


def test_examples_weigh_the_mean() -> None:
    before = weights_of(network(0))
    clients = {k: weights_of(network(k + 1)) for k in range(3)}
    examples = {0: 10, 1: 30, 2: 60}
    after = {n: sum(examples[k] / 100 * clients[k][n] for k in clients) for n in before}
    rows = server_rows(clients, examples, after)  # type: ignore[arg-type]
    flat = {k: torch.cat([(w[n] - before[n]).double().flatten() for n in before]) for k, w in clients.items()}
    mean = sum(examples[k] / 100 * flat[k] for k in clients)
    assert isinstance(mean, Tensor)
    squares = sum(examples[k] / 100 * float(flat[k].square().sum()) for k in clients)
    found = value_of(rows, "b_dissimilarity").value
    assert found == pytest.approx(math.sqrt(squares / float(mean.square().sum())), rel=1e-5)
    for k, update in flat.items():
        expected = float(update @ mean / update.norm() / mean.norm())
        assert value_of(rows, "update_cosine", client=k).value == pytest.approx(expected, rel=1e-5)
        drift = value_of(rows, "drift", client=k).value
        assert drift == pytest.approx(float((update - mean).norm()), rel=1e-5)


def test_client_order_changes_nothing() -> None:
    clients = {k: weights_of(network(k + 1)) for k in range(4)}
    examples = {k: 10 + k for k in clients}
    one, two = server_rows(clients, examples), server_rows(dict(reversed(clients.items())), examples)
    assert one[:-1] == two[:-1]


def test_layers_that_stay_with_the_client() -> None:
    clients = {k: {n: t for n, t in weights_of(network(k + 1)).items() if not n.startswith("3.")} for k in range(2)}
    rows = server_rows(clients, {0: 1, 1: 1})
    assert_in_range(Weights(), rows)
    assert value_of(rows, "b_dissimilarity", layer="3").reason == "the clients keep this layer"
    assert value_of(rows, "b_dissimilarity").variant == "shared"
    assert value_of(rows, "drift", client=1).variant == "shared"


def test_no_server_rows_without_weights() -> None:
    assert Weights().server(server_view(network(), {}, {0: 1})).rows == []


@pytest.mark.parametrize("name", ["thresholds", "relative_thresholds"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_bad_thresholds(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive numbers, got"):
        Weights(**{name: [value]})  # type: ignore[arg-type]


def test_inside_local_training(quick_run: Callable[..., Path]) -> None:
    few = ["metrics=[weights]", "rounds=2", "metrics.weights.rounds=[last]", "partition=quantity"]
    few += ["examples_per_client=null", "training.epochs=2", "training.batch_size=128"]
    run = quick_run(*few, "metrics.weights.steps=[every 2,last]", "engine=local")
    tables = fedlayers.read(run)
    inside = tables.records[tables.records.step.notna()]
    assert str(inside.step.dtype) == "Int32" and inside.subject.isna().all()
    assert set(inside["round"]) == {2} and set(inside.moment) == {"after_local"} and set(inside.status) == {"ok"}
    assert set(inside.metric) == {*["norm", "update_norm", "mean_abs_weight", "weight_variance"], *SHARES}
    last = inside.groupby("client").step.max()
    assert last.nunique() > 1
    for most, (_, steps) in zip(last, inside.groupby("client").step, strict=True):
        assert sorted(steps.unique()) == sorted({*range(2, most + 1, 2), most})
    # What is measured after the last step is what is measured after training.
    keys = ["client", "layer", "metric", "variant"]
    ends = tables.records.query("moment == 'after_local' and owner == 'client' and step.isna()").set_index(keys).value
    at_last = inside.assign(last=inside.client.map(last)).query("step == last").set_index(keys).value
    assert at_last.equals(ends[ends.index.isin(at_last.index)]) and len(at_last) > 0
    spent = tables.resources.query("metric == 'measure_weights' and step.notna()")
    assert spent.groupby("client").step.nunique().equals(inside.groupby("client").step.nunique())
    # Looking changes nothing else.
    without = fedlayers.read(quick_run(*few, "engine=local")).records
    pd.testing.assert_frame_equal(
        tables.records[tables.records.step.isna()].drop(columns="run").astype(str).reset_index(drop=True),
        without.drop(columns="run").astype(str),
    )
