"""Gradient statistics against per-example gradients, known distributions, and their invariances."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedlayers.core.layers import Layer, Parameter, layers_of
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from metrics.example_gradients import gradient_statistics
from metrics.example_gradients.gradient_statistics import (
    GradientSample,
    GradientScatter,
    sample_gradients,
    scatter,
    scatters,
)
from metrics.example_gradients.per_example import ExamplePass
from metrics.example_gradients.products import HeldBatch, held_batch
from metrics.example_gradients.taps import held_bytes
from metrics.gradients import Gradients, gradient_sample
from metrics.measure import measure_clients, measure_server
from metrics.statistics.between_clients import decompose
from metrics.statistics.jackknife import block_sizes, jackknife_error
from metrics.statistics.sketch import count_sketch, sketch_widths
from tests.support.metric_views import Rows, assert_in_range, client_view, network, server_view, some_rows, value_of

pytestmark = pytest.mark.usefixtures("device")

ONE = (Layer("w", 0, "other", "w", (Parameter("w", "weight", (3,)),), ()),)


def naive_gradients(module: nn.Module, rows: Rows) -> dict[str, Tensor]:
    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return CROSS_ENTROPY(functional_call(module, weights, (x[None],)), y[None]).sum()

    weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
    found: dict[str, Tensor] = vmap(grad(loss), (None, 0, 0))(weights, rows.features, rows.labels)
    return {name: tensor.double().cpu() for name, tensor in found.items()}


def sampled(module: nn.Module, rows: Rows, blocks: int = 4, scale: float = 1.0) -> GradientSample:
    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return scale * CROSS_ENTROPY(outputs, labels)

    layers = layers_of(module)
    run = ExamplePass(module, layers, rows.features, rows.labels, loss=loss)
    sizes = block_sizes(len(rows), blocks)
    parts = zip(torch.split(rows.features, sizes), torch.split(rows.labels, sizes), strict=True)
    return sample_gradients(run, layers, list(parts))


def of_vectors(vectors: Tensor) -> GradientSample:
    """Return the sample whose gradients are the given vectors (n, 3)."""
    mean = vectors.mean(0)
    return GradientSample({"w": mean}, {"w": vectors.square().sum(1)}, {"w": vectors @ mean})


def test_scatter_equals_the_covariance_of_per_example_gradients() -> None:
    module, rows = network(), some_rows(21)
    expected = naive_gradients(module, rows)
    sample = sampled(module, rows)
    for layers in ([layers_of(module)[0]], [layers_of(module)[1]], list(layers_of(module))):
        flat = torch.cat([expected[name].flatten(1) for layer in layers for name in layer.names], 1)
        found = scatter(sample, layers)
        trace = float(torch.cov(flat.T).trace())
        mean_square = float(flat.mean(0).square().sum())
        assert found.trace == pytest.approx(trace, rel=1e-5)
        assert found.norm == pytest.approx(math.sqrt(mean_square), rel=1e-5)
        assert found.signal == pytest.approx(mean_square - trace / 21, rel=1e-4)
        # McCandlish et al., appendix A, with batches of 21 and 1.
        big, small = mean_square, float(flat.square().sum(1).mean())
        assert found.signal == pytest.approx((21 * big - small) / 20, rel=1e-4)
        assert found.trace == pytest.approx((small - big) / (1 - 1 / 21), rel=1e-5)


def test_layers_add_up_to_the_model() -> None:
    module, rows = network(), some_rows(16)
    sample, layers = sampled(module, rows), layers_of(module)
    parts, whole = [scatter(sample, [layer]) for layer in layers], scatter(sample, layers)
    for name in ("mean_square", "trace", "signal"):
        assert getattr(whole, name) == pytest.approx(sum(getattr(part, name) for part in parts), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_several_groups_of_layers_scatter_as_each_by_itself(n: int) -> None:
    module, rows = network(), some_rows(n)
    sample, layers = sampled(module, rows), layers_of(module)
    groups = [[layer] for layer in layers] + [list(layers)]
    # As text, in which a missing value equals itself.
    assert str(scatters(sample, groups)) == str([scatter(sample, group) for group in groups])


def test_scaling_the_loss_scales_norm_and_variance_but_not_their_ratio() -> None:
    module, rows = network(), some_rows(30)
    layers = layers_of(module)
    one, ten = (scatter(sampled(module, rows, scale=scale), layers) for scale in (1.0, 10.0))
    assert ten.norm == pytest.approx(10 * one.norm, rel=1e-5)
    assert ten.trace == pytest.approx(100 * one.trace, rel=1e-5)
    assert ten.snr == pytest.approx(one.snr, rel=1e-4)
    assert ten.errors["trace"] == pytest.approx(100 * (one.errors["trace"] or 0), rel=1e-4)


def test_a_repeated_example_has_no_variance() -> None:
    row = some_rows(1)
    rows = Rows(row.features.expand(12, 6).clone(), row.labels.expand(12).clone())
    found = scatter(sampled(network(), rows), layers_of(network()))
    assert found.norm > 0.1
    assert found.trace == 0 and found.noise_scale == 0 and math.isnan(found.snr)


def test_blocks_change_no_value() -> None:
    module, rows = network(), some_rows(23)
    layers = layers_of(module)
    found = [scatter(sampled(module, rows, blocks), layers) for blocks in (1, 2, 8, 23)]
    for other in found[1:]:
        assert other.trace == pytest.approx(found[0].trace, rel=1e-5)
        assert other.norm == pytest.approx(found[0].norm, rel=1e-5)
        assert other.errors["trace"] == pytest.approx(found[0].errors["trace"], rel=1e-3)


@pytest.mark.parametrize("room", [0, 3000, 2**20])
def test_what_passed_the_layers_is_kept_or_passes_again(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_statistics, "KEPT_BYTES", room)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).eval()
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    features, labels = torch.randn(40, 4), torch.arange(40) % 3
    layers, passes = layers_of(module), []
    blocks = list(zip(torch.split(features, 8), torch.split(labels, 8), strict=True))
    run = ExamplePass(module, layers, *blocks[0])
    held = held_bytes(run.observe(*blocks[0]))
    handle = module.register_forward_hook(lambda *_: passes.append(1))
    found = sample_gradients(run, layers, blocks)
    handle.remove()
    assert len(passes) == 5 + 5 - min(5, room // held)
    direct = [run(*block, found.mean).products for block in blocks]
    for layer in layers:
        assert torch.equal(found.products[layer.name], torch.cat([part[layer.name] for part in direct]))


def test_estimates_are_unbiased_and_errors_cover() -> None:
    """Vectors of known mean and covariance: estimates centre on the truth, errors match their scatter."""
    generator = torch.Generator().manual_seed(5)
    mean, scale = torch.tensor([0.3, 0.0, -0.2], dtype=torch.float64), torch.tensor([1.0, 0.5, 2.0])
    trace, signal = float(scale.square().sum()), float(mean.square().sum())
    found: list[GradientScatter] = []
    for _ in range(400):
        noise = torch.randn(60, 3, generator=generator, dtype=torch.float64) * scale
        found.append(scatter(of_vectors(mean + noise), ONE))
    traces = np.array([one.trace for one in found])
    signals = np.array([one.signal for one in found])
    assert abs(traces.mean() - trace) < 4 * traces.std() / 20
    assert abs(signals.mean() - signal) < 4 * signals.std() / 20
    errors = np.array([one.errors["trace"] for one in found], dtype=float)
    assert math.sqrt((errors**2).mean()) == pytest.approx(traces.std(), rel=0.15)


def test_errors_are_those_of_leaving_out_each_example() -> None:
    vectors = torch.randn(12, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.7
    whole = scatter(of_vectors(vectors), ONE)
    without = [scatter(of_vectors(vectors[torch.arange(12) != i]), ONE) for i in range(12)]
    for name in ("norm", "debiased", "trace", "noise_scale", "snr"):
        left = torch.tensor([getattr(one, name) for one in without], dtype=torch.float64)
        assert whole.errors[name] == pytest.approx(jackknife_error(getattr(whole, name), left, torch.ones(12)))
    single = scatter(of_vectors(vectors[:2]), ONE)
    assert single.trace > 0 and single.errors["trace"] is None


def test_clients_of_different_size_compare() -> None:
    """Subsets of one population: the plain norm falls with their size, the debiased one does not."""
    module, rows = network(), some_rows(3000)
    gradients = torch.cat([part.flatten(1) for part in naive_gradients(module, rows).values()], 1)[:, :56]
    gradients = gradients - gradients.mean(0) + 0.06
    truth, generator = float(gradients.mean(0).norm()), torch.Generator().manual_seed(1)
    for n, excess in ((32, 1.3), (128, 1.05), (512, 1.0)):
        drawn = [gradients[torch.randperm(3000, generator=generator)[:n]] for _ in range(150)]
        found = [
            scatter(GradientSample({"w": v.mean(0)}, {"w": v.square().sum(1)}, {"w": v @ v.mean(0)}), ONE)
            for v in drawn
        ]
        assert np.mean([one.norm for one in found]) > excess * truth
        assert np.mean([one.signal for one in found]) == pytest.approx(truth**2, rel=0.06)
        assert np.nanmean([one.debiased for one in found]) == pytest.approx(truth, rel=0.05)
        assert np.mean([one.norm**2 - one.noise**2 for one in found]) == pytest.approx(truth**2, rel=0.06)


def test_no_signal_gives_no_noise_scale() -> None:
    vectors = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    found = scatter(of_vectors(vectors), ONE)
    assert found.signal < 0
    assert math.isnan(found.noise_scale)
    assert found.snr == pytest.approx(-1 / 4)
    assert found.errors["noise_scale"] is None


def test_jackknife_of_the_mean_is_the_textbook_error() -> None:
    values = torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0], dtype=torch.float64)
    without = (values.sum() - values) / 4
    error = jackknife_error(float(values.mean()), without, torch.ones(5, dtype=torch.int64))
    assert error == pytest.approx(float(values.std()) / math.sqrt(5))


def test_jackknife_without_blocks_or_numbers() -> None:
    ones = torch.ones(2, dtype=torch.int64)
    assert jackknife_error(1.0, torch.tensor([1.0]), ones[:1]) is None
    assert jackknife_error(math.nan, torch.tensor([1.0, 2.0]), ones) is None
    assert jackknife_error(1.0, torch.tensor([1.0, math.inf]), ones) is None


@pytest.mark.parametrize(("n", "blocks", "sizes"), [(10, 4, [3, 3, 2, 2]), (3, 8, [1, 1, 1]), (8, 1, [8])])
def test_block_sizes(n: int, blocks: int, sizes: list[int]) -> None:
    assert block_sizes(n, blocks) == sizes


def test_sketches_are_unbiased() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 500, generator=generator)
    y += 0.5 * x
    pairs = [(count_sketch(x, 64, f"{i}"), count_sketch(y, 64, f"{i}")) for i in range(600)]
    inner = np.array([float(a @ b) for a, b in pairs])
    squares = np.array([float(a @ a) for a, _ in pairs])
    assert abs(inner.mean() - float(x @ y)) < 4 * inner.std() / math.sqrt(600)
    square = float(x @ x)
    assert abs(squares.mean() - square) < 4 * squares.std() / math.sqrt(600)
    assert squares.std() < 1.2 * square * math.sqrt(2 / 64)


def test_a_sketch_is_linear_and_the_same_everywhere() -> None:
    x, y = torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    both = count_sketch(x + 2 * y, 70, "fc1")
    torch.testing.assert_close(both, count_sketch(x, 70, "fc1") + 2 * count_sketch(y, 70, "fc1"), rtol=0, atol=1e-4)
    assert not torch.equal(both, count_sketch(x + 2 * y, 70, "fc2"))


def test_sketch_widths_cut_only_the_long() -> None:
    assert sketch_widths([10, 20], 30) == [10, 20]
    assert sketch_widths([1000, 10, 5000], 300) == [145, 10, 145]
    with pytest.raises(ValueError, match=r"must leave 64 numbers or more a layer, got 50; raise metrics\.payload_mb"):
        sketch_widths([1000, 5000], 100)


def clients_of(count: int, apart: float, examples: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw per-example gradients of clients whose means differ, and return what ``decompose`` takes."""
    generator = torch.Generator().manual_seed(seed)
    centres = apart * torch.randn(count, 5, generator=generator, dtype=torch.float64)
    vectors = centres[:, None] + 2 * torch.randn(count, examples, 5, generator=generator, dtype=torch.float64)
    shares = torch.arange(1.0, count + 1, dtype=torch.float64)
    shares /= shares.sum()
    means = vectors.mean(1)
    deviations = (means - shares @ means).square().sum(1)
    traces = (vectors - means[:, None]).square().sum((1, 2)) / (examples - 1)
    return deviations, traces, torch.full((count,), float(examples), dtype=torch.float64), shares


def test_equal_clients_have_no_variance_between_them_on_average() -> None:
    found = [decompose(*clients_of(6, 0.0, 10, seed)) for seed in range(300)]
    between = np.array([one.between for one in found])
    assert abs(between.mean()) < 4 * between.std() / math.sqrt(300)
    assert (between < 0).any()  # nothing is clipped
    assert np.mean([one.within for one in found]) == pytest.approx(20, rel=0.02)


def test_different_clients_are_told_apart() -> None:
    """E between = apart² · d · (1 − Σ p²) for centres drawn with variance apart² in d dimensions."""
    found = [decompose(*clients_of(6, 3.0, 10, seed)) for seed in range(300)]
    between = np.array([one.between for one in found])
    shares = np.arange(1, 7) / 21
    expected = 9 * 5 * (1 - (shares**2).sum())
    assert abs(between.mean() - expected) < 4 * between.std() / math.sqrt(300)


def test_errors_over_clients_are_those_of_leaving_one_out() -> None:
    deviations, traces, sizes, shares = clients_of(5, 1.0, 4, seed=1)
    generator = torch.Generator().manual_seed(9)
    means = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    deviations = (means - shares @ means).square().sum(1)
    whole = decompose(deviations, traces, sizes, shares)
    without = []
    for k in range(5):
        keep = torch.arange(5) != k
        own = shares[keep] / shares[keep].sum()
        left = (means[keep] - own @ means[keep]).square().sum(1)
        without.append(decompose(left, traces[keep], sizes[keep], own))
    ones = torch.ones(5, dtype=torch.int64)
    for name in ("between", "within", "ratio"):
        left = torch.tensor([getattr(one, name) for one in without], dtype=torch.float64)
        assert whole.errors[name] == pytest.approx(jackknife_error(getattr(whole, name), left, ones))
    assert decompose(deviations[:2], traces[:2], sizes[:2], torch.tensor([0.5, 0.5]).double()).errors["ratio"] is None


def test_client_rows_are_complete_and_in_range() -> None:
    module, metric = network(), Gradients(batch_examples=40)
    measurement = metric.client(client_view(module, {"client_train": some_rows(60)}))
    assert_in_range(metric, measurement.rows)
    assert len(measurement.rows) == 7 * (len(layers_of(module)) + 1)
    row = value_of(measurement.rows, "gradient_norm")
    assert row.n == 40 and row.scope == "client_train" and row.stderr is not None
    trace = value_of(measurement.rows, "gradient_variance_examples").value
    assert row.chance == pytest.approx(math.sqrt(trace / 40))
    debiased = value_of(measurement.rows, "gradient_norm_debiased").value
    assert debiased == pytest.approx(math.sqrt(row.value**2 - trace / 40))


def test_client_values_follow_their_definitions() -> None:
    module, rows = network(), some_rows(18)
    expected = naive_gradients(module, rows)
    measurement = Gradients().client(client_view(module, {"client_train": rows}))
    weight = expected["0.weight"].mean(0)
    layer = torch.cat([expected["0.weight"].flatten(1), expected["0.bias"]], 1)
    values = {
        "gradient_norm": layer.mean(0).norm(),
        "gradient_mean": weight.mean(),
        "gradient_variance_parameters": weight.var(),
        "gradient_variance_examples": torch.cov(layer.T).trace(),
    }
    for name, value in values.items():
        assert value_of(measurement.rows, name, layer="0").value == pytest.approx(float(value), rel=1e-4, abs=1e-8)
    payload = measurement.payload
    torch.testing.assert_close(torch.tensor(payload["gradient/0"]).double(), layer.mean(0), rtol=1e-4, atol=1e-6)


def test_the_batch_follows_from_the_seed_alone() -> None:
    module, metric = network(), Gradients(batch_examples=10)
    before = torch.get_rng_state(), np.random.get_state(legacy=True)[1].copy()  # type: ignore[index]
    one, two = (metric.client(client_view(module, {"client_train": some_rows(50)})).rows for _ in range(2))
    assert one == two
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state(legacy=True)[1]).all()  # type: ignore[index]


def test_the_pass_is_shared_through_the_cache() -> None:
    view = client_view(network(), {"client_train": some_rows(50)})
    assert gradient_sample(view, "client_train", 20, 4) is gradient_sample(view, "client_train", 20, 4)


@pytest.mark.parametrize("examples", [0, 1, 2, 3])
def test_few_examples_give_reasons_not_zeros(examples: int) -> None:
    metric = Gradients()
    data = {"client_train": some_rows(examples)} if examples else {}
    measurement = metric.client(client_view(network(), data))
    assert_in_range(metric, measurement.rows)
    variance = value_of(measurement.rows, "gradient_variance_examples")
    assert (variance.status == "missing") == (examples < 2)
    assert bool(measurement.payload) == (examples >= 2)
    if examples < 2:
        assert variance.reason in ("no examples in client_train", "one example has no variance")


def test_diverged_weights_are_missing_and_send_nothing() -> None:
    module = network()
    next(module.parameters()).data.fill_(math.inf)
    metric = Gradients()
    measurement = metric.client(client_view(module, {"client_train": some_rows(20)}))
    assert_in_range(metric, measurement.rows)
    assert value_of(measurement.rows, "gradient_norm").status == "missing"
    assert not measurement.payload


def federation(metric: Gradients, data: list[Rows], limit: int = 2**26) -> dict[int, dict[str, np.ndarray]]:
    payloads = {}
    for client, rows in enumerate(data):
        view = client_view(network(), {"client_train": rows}, moment="after_aggregate")
        view.payload_limit_bytes = limit
        view.seed = client
        payloads[client] = measure_clients({"gradients": metric}, view, 1, "raise")[1].own["gradients"]
    return payloads


def test_server_rows_equal_the_dense_computation() -> None:
    module, metric = network(), Gradients()
    data = [some_rows(n, seed=n) for n in (12, 20, 31)]
    view = server_view(module, {}, {k: len(rows) for k, rows in enumerate(data)}, moment="after_aggregate")
    rows, _ = measure_server({"gradients": metric}, view, {"gradients": federation(metric, data)}, 1, "raise")
    assert_in_range(metric, rows)
    flat = [torch.cat([g.flatten(1) for g in naive_gradients(module, part).values()], 1) for part in data]
    shares = torch.tensor([12.0, 20, 31]).double() / 63
    means = torch.stack([g.mean(0) for g in flat])
    traces = torch.tensor([float(torch.cov(g.T).trace()) for g in flat]).double()
    noise = (shares * (1 - shares) * traces / torch.tensor([12.0, 20, 31])).sum()
    between = float((shares * (means - shares @ means).square().sum(1)).sum() - noise)
    within = float(shares @ traces)
    found = value_of(rows, "between_client_variance")
    assert found.value == pytest.approx(between, rel=1e-4)
    assert found.owner == "server" and found.variant == "exact" and found.n == 3 and found.chance == 0
    assert value_of(rows, "within_client_variance").value == pytest.approx(within, rel=1e-4)
    assert value_of(rows, "variance_ratio").value == pytest.approx(between / (between + within), rel=1e-4)
    total = sum(value_of(rows, "between_client_variance", layer=layer.name).value for layer in layers_of(module))
    assert total == pytest.approx(found.value, rel=1e-6)


def test_client_order_changes_nothing() -> None:
    metric = Gradients()
    data = [some_rows(n, seed=n) for n in (12, 20, 31)]
    payloads = federation(metric, data)
    backwards = dict(reversed(payloads.items()))
    view = server_view(network(), {}, {k: len(rows) for k, rows in enumerate(data)}, moment="after_aggregate")
    one, two = (measure_server({"g": metric}, view, {"g": sent}, 1, "raise")[0][:-1] for sent in (payloads, backwards))
    assert one == two


def test_above_the_limit_gradients_are_sketched() -> None:
    wide = nn.Sequential(nn.Linear(6, 400), nn.Tanh(), nn.Linear(400, 4)).eval()
    metric = Gradients()
    exact, short = [], []
    for client in range(3):
        view = client_view(wide, {"client_train": some_rows(30, seed=client)}, moment="after_aggregate")
        exact.append(metric.client(view).payload)
        view.payload_limit_bytes = 4 * 1500
        short.append(metric.client(view).payload)
        assert sum(array.nbytes for array in short[-1].values()) <= view.payload_limit_bytes
    view_ = server_view(wide, {}, dict.fromkeys(range(3), 30), moment="after_aggregate")
    full, _ = measure_server({"g": metric}, view_, {"g": dict(enumerate(exact))}, 1, "raise")
    sketched, _ = measure_server({"g": metric}, view_, {"g": dict(enumerate(short))}, 1, "raise")
    row = value_of(sketched, "between_client_variance")
    assert row.variant == "sketch"
    assert row.value == pytest.approx(value_of(full, "between_client_variance").value, rel=0.3)
    within = "within_client_variance"
    assert value_of(sketched, within).value == pytest.approx(value_of(full, within).value)


def test_one_client_cannot_be_compared() -> None:
    metric = Gradients()
    payloads = federation(metric, [some_rows(12)])
    view = server_view(network(), {}, {0: 12, 1: 5}, moment="after_aggregate")
    rows, _ = measure_server({"gradients": metric}, view, {"gradients": payloads}, 1, "raise")
    assert_in_range(metric, rows)
    assert value_of(rows, "variance_ratio").reason == "1 of 2 clients sent usable gradients, 2 are needed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "probe"}, "scope must be client_train, client_val or client_test, got 'probe'"),
        ({"batch_examples": 1}, "batch_examples must be 2 or more, got 1"),
        ({"blocks": 1}, "blocks must be 2 or more, got 1"),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gradients(**arguments)  # type: ignore[arg-type]


def test_large_gradients_give_way_to_what_passed_the_layers_where_room_is_scarce() -> None:
    torch.manual_seed(0)
    # The gradients of the second convolution, 432 numbers, are larger than the 272 that pass it.
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 8, 3, bias=False), nn.Flatten()).eval()
    features, labels = torch.randn(8, 1, 8, 8), torch.arange(8)
    layers = layers_of(module)
    run = ExamplePass(module, layers, features, labels)
    taps = run.observe(features, labels)
    examples = run(features, labels, taps=taps).examples
    whole = HeldBatch(examples, {})
    small = HeldBatch({"0": examples["0"]}, {"2": taps["2"]})
    assert examples.keys() == {"0", "2"} and whole.size_bytes > small.size_bytes
    mean = {name: tensor / 8 for name, tensor in run.sums(features, labels).items()}
    expected = run(features, labels, mean).products
    for room, kept in ((whole.size_bytes, {"0", "2"}), (whole.size_bytes - 1, {"0"}), (small.size_bytes, {"0"})):
        held = held_batch(examples, taps, room)
        assert held is not None and held.examples.keys() == kept and held.size_bytes <= room
        for name, products in run.products(features, labels, mean, held).items():
            torch.testing.assert_close(products, expected[name], rtol=1e-5, atol=1e-6)
    assert held_batch(examples, taps, small.size_bytes - 1) is None


def test_small_gradients_are_kept_themselves() -> None:
    torch.manual_seed(0)
    convolutions = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2, bias=False), nn.Conv2d(4, 40, 6)
    module = nn.Sequential(*convolutions[:2], nn.GroupNorm(2, 4), nn.Tanh(), convolutions[2], nn.Flatten()).eval()
    features, labels = torch.randn(13, 1, 10, 10), torch.arange(13) % 40
    layers = layers_of(module)
    run = ExamplePass(module, layers, features[:3], labels[:3])
    blocks = list(zip(torch.split(features, 5), torch.split(labels, 5), strict=True))
    found = sample_gradients(run, layers, blocks)
    parts = [run(*block, found.mean) for block in blocks]
    assert parts[0].examples.keys() == {"0", "1", "2"}  # not the last one's, which are larger than what passes it
    for layer in layers:
        direct = torch.cat([part.products[layer.name] for part in parts])
        torch.testing.assert_close(found.products[layer.name], direct, rtol=1e-5, atol=1e-6)
    for name in ("0", "1", "2"):
        own = [torch.cat([piece.flatten(1) for piece in part.values()], 1) for part in parts[0].examples[name]]
        torch.testing.assert_close(torch.cat(own).square().sum(1).double(), parts[0].squares[name], rtol=1e-5, atol=0)
