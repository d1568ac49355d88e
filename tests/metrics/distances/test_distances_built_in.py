"""The metrics of the package: what they are called, declare and make of models, fast ways against slow ones."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import ClientMatrixMetric, LayerMetric, ModelMetric
from metrics.distances.measures.cosine import CosineMetric, ModelCosineMetric
from metrics.distances.measures.edc import EdcMetric
from metrics.distances.measures.lp import LpMetric, ModelLpMetric
from metrics.distances.measures.procrustes import ProcrustesMetric, procrustes_disparity
from metrics.distances.measures.sign_disagreement import ModelSignMetric, SignMetric
from metrics.distances.measures.trust import LogTrustMetric, SymmetricTrustMetric, TrustMetric
from metrics.distances.measures.wasserstein import WassersteinMetric
from metrics.distances.representations import RepresentationMetric
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray, vector_of
from tests.support.distance_metrics import check_contract, linear_layer, scaled, small_model

# Those between weights: tests/metrics/distances/test_distances_representations.py has the others.
METRICS = {metric.name: metric for metric in built_in_metrics() if not isinstance(metric, RepresentationMetric)}
FAST: list[ModelMetric] = [
    LpMetric(2),
    ModelLpMetric(2),
    CosineMetric(),
    ModelCosineMetric(),
    TrustMetric(),
    LogTrustMetric(),
    SymmetricTrustMetric(),
]


def linear(name: str, seed: int, units: int, inputs: int) -> LayerWeights:
    return linear_layer(name, units, inputs, np.random.default_rng(seed))


def network(seed: int) -> Model:
    """Return a convolution, a normalisation and a linear layer."""
    random = np.random.default_rng(seed)
    weight, bias = random.standard_normal((4, 3, 2, 2)), random.standard_normal(4)
    scale, shift = 1 + 0.1 * random.standard_normal(4), random.standard_normal(4)
    return (
        LayerWeights("conv", "conv", (RoleArray("weight", weight.astype(np.float32)), RoleArray("bias", bias))),
        LayerWeights("norm", "norm", (RoleArray("norm_weight", scale), RoleArray("norm_bias", shift))),
        linear("fc", seed, 5, 16),
    )


def noisy(model: Model, noise: float, seed: int) -> Model:
    random = np.random.default_rng(seed)

    def array(old: RoleArray) -> RoleArray:
        return replace(old, values=old.values + noise * random.standard_normal(old.values.shape))

    return tuple(replace(layer, arrays=tuple(array(old) for old in layer.arrays)) for layer in model)


def federation() -> list[Client]:
    """Return clients that are unrelated, near each other, and copies; all with gradients."""
    near = [noisy(network(0), 1e-6, seed) for seed in (1, 2)]
    models = [network(0), *near, network(3), network(4), copy.deepcopy(network(3))]
    return [Client(model, network(100 + seed)) for seed, model in enumerate(models)]


def matrix(name: str, clients: list[Client]) -> np.ndarray:
    return METRICS[name].client_distance_matrix(clients)


def test_names_are_the_documented_ones_and_new_ones() -> None:
    powers = ["0.1", "0.5", "1", "2", "3", "10"]
    documented = ["cosine_dst", "model_cosine_dst", "procrustes_dst", "trusted_dst", "log_trusted_dst"]
    new = ["symmetric_trusted_dst", "sign_dst", "model_sign_dst", "wasserstein_dst", "edc_dst"]
    by_power = [f"{prefix}l{p}_dst" for p in powers for prefix in ("", "model_")]
    assert METRICS.keys() >= {*documented, *new, *by_power}
    assert len({metric.name for metric in built_in_metrics()}) == len(built_in_metrics())


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("architecture", [network, small_model], ids=["convolution", "linear"])
def test_metrics_keep_what_they_declare(name: str, architecture: Callable[[int], Model]) -> None:
    check_contract(METRICS[name], [Client(architecture(seed), architecture(100 + seed)) for seed in range(5)])


@pytest.mark.parametrize("name", [name for name in METRICS if name != "edc_dst"])
def test_copies_are_at_distance_zero(name: str) -> None:
    table = matrix(name, federation())
    assert table[3, 5] < 1e-12 and table[5, 3] < 1e-12
    assert (table[:3, 3:] > 1e-3).all()
    metric = METRICS[name]
    assert isinstance(metric, ModelMetric) and metric.model_distance(network(3), network(3)) < 1e-12


@pytest.mark.parametrize("metric", FAST, ids=lambda metric: metric.name)
def test_the_fast_way_is_pair_by_pair(metric: ModelMetric) -> None:
    clients = federation()
    by_pairs = [[metric.client_distance(a, b) for b in clients] for a in clients]
    assert metric.client_distance_matrix(clients) == pytest.approx(np.array(by_pairs), rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("metric", FAST, ids=lambda metric: metric.name)
def test_the_fast_way_misses_what_pair_by_pair_misses(metric: ModelMetric) -> None:
    models = [client.model for client in federation()]
    models[1][2].arrays[0].values[0, 0] = math.inf
    by_pairs = metric._matrix_of_pairs(models, metric.model_distance)
    assert np.isnan(by_pairs).sum() == 10
    assert metric.model_distance_matrix(models) == pytest.approx(by_pairs, rel=1e-9, abs=1e-30, nan_ok=True)


@pytest.mark.parametrize("metric", [LpMetric(2), CosineMetric()], ids=lambda metric: metric.name)
@pytest.mark.parametrize("aggregation", ["sum", "mean_squared", "mean_sqroot", "product"])
@pytest.mark.parametrize("pairwise", [True, False])
def test_the_fast_way_aggregates_as_asked(metric: LayerMetric, aggregation: str, pairwise: bool) -> None:
    metric = copy.deepcopy(metric)
    metric.aggregation, metric.pairwise = aggregation, pairwise
    models = [client.model for client in federation()]
    by_pairs = [[metric.model_distance(a, b) for b in models] for a in models]
    assert metric.model_distance_matrix(models) == pytest.approx(np.array(by_pairs), rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("name", METRICS)
def test_a_client_that_is_not_finite_is_missing(name: str) -> None:
    clients = federation()
    bad = network(1)
    bad[1].arrays[0].values[2] = math.nan
    clients[2] = Client(bad, bad)
    table = matrix(name, clients)
    others = [0, 1, 3, 4, 5]
    assert np.isnan(table[2, others]).all() and np.isnan(table[others, 2]).all()
    assert np.isfinite(table[np.ix_(others, others)]).all()


@pytest.mark.parametrize("name", [name for name in METRICS if name.startswith("model_") or "trusted" in name])
def test_models_of_other_shapes_are_missing(name: str) -> None:
    wide = (*network(1)[:2], linear("fc", 0, 6, 16))
    table = matrix(name, [Client(network(0)), Client(wide), Client(network(0)[:2]), Client(network(2))])
    assert np.isfinite(table[0, 3]) and np.isfinite(table[3, 0])
    assert np.isnan(table[[0, 1, 1, 2], [1, 2, 3, 3]]).all()


@pytest.mark.parametrize("name", ["l2_dst", "cosine_dst", "sign_dst", "wasserstein_dst", "l0.5_dst"])
def test_layers_of_other_shapes_are_missing_and_the_others_count(name: str) -> None:
    metric = METRICS[name]
    assert isinstance(metric, LayerMetric)
    a, b = network(0), (*network(1)[:2], linear("fc", 0, 6, 16))
    found = metric.layer_distance_matrix(a, b)
    assert np.isfinite(found).tolist() == [[True, False, False], [False, True, False], [False, False, False]]
    table = matrix(name, [Client(a), Client(b)])
    assert table[0, 1] == pytest.approx(found.diagonal()[:2].mean())


def test_there_may_be_few_clients_or_layers() -> None:
    for metric in METRICS.values():
        assert metric.client_distance_matrix([]).shape == (0, 0)
        assert metric.client_distance_matrix([Client(network(0))]).tolist() == [[0.0]]
    assert np.isnan(matrix("l2_dst", [Client(()), Client(())])[0, 1])


def test_models_are_their_numbers_one_after_another() -> None:
    a, b = network(0), network(1)
    x, y = vector_of(a), vector_of(b)
    assert ModelLpMetric(3).model_distance(a, b) == pytest.approx((np.abs(x - y) ** 3).sum() ** (1 / 3))
    assert ModelCosineMetric().model_distance(a, b) == pytest.approx(1 - x @ y / np.sqrt(x @ x * (y @ y)))
    assert ModelSignMetric().model_distance(a, b) == pytest.approx((x * y < 0).mean())
    squares = [LpMetric(2).layer_distance(p, q) ** 2 for p, q in zip(a, b, strict=True)]
    assert ModelLpMetric(2).model_distance(a, b) ** 2 == pytest.approx(sum(squares))


def test_layers_count_their_biases() -> None:
    weight, ones = np.zeros((2, 2)), np.ones(2)
    a, b = (LayerWeights("fc", "linear", (RoleArray("weight", weight), RoleArray("bias", s * ones))) for s in (1, -1))
    assert LpMetric(1).layer_distance(a, b) == 4
    assert CosineMetric().layer_distance(a, b) == pytest.approx(2)
    assert SignMetric().layer_distance(a, b) == pytest.approx(1 / 3)
    assert WassersteinMetric().layer_distance(a, b) == 2


def test_trust_looks_from_the_first_model() -> None:
    a, b = network(0), scaled(network(0), 0.5)
    assert TrustMetric().model_distance(a, b) == pytest.approx(1.5**3 - 1)
    assert TrustMetric().model_distance(b, a) == pytest.approx(2**3 - 1)
    assert LogTrustMetric().model_distance(a, b) == pytest.approx(3 * math.log(1.5))
    assert SymmetricTrustMetric().model_distance(a, b) == pytest.approx(3**1.5 - 1)
    assert TrustMetric().client_distance_matrix([Client(a), Client(b)])[1, 0] == pytest.approx(7)
    opposite = scaled(a, -1)
    assert SymmetricTrustMetric().model_distance(a, opposite) == pytest.approx(
        TrustMetric().model_distance(a, opposite)
    )


def test_trust_in_a_deep_network_may_be_infinite_its_logarithm_is_not() -> None:
    a = tuple(linear(str(k), k, 2, 2) for k in range(300))
    b = scaled(a, 100)
    assert TrustMetric().model_distance(a, b) == math.inf
    assert LogTrustMetric().model_distance(a, b) == pytest.approx(300 * math.log(100))


def permuted(layer: LayerWeights, order: list[int], biases: bool = True) -> LayerWeights:
    weight, bias = layer.arrays
    moved = replace(bias, values=bias.values[order]) if biases else bias
    return replace(layer, arrays=(replace(weight, values=weight.values[order]), moved))


@pytest.mark.parametrize("metric", [ProcrustesMetric(), WassersteinMetric()], ids=lambda metric: metric.name)
def test_permuted_units_are_the_same_units_if_their_biases_go_with_them(metric: LayerMetric) -> None:
    layer, order = linear("fc", 0, 6, 9), [3, 1, 5, 0, 2, 4]
    assert metric.layer_distance(layer, permuted(layer, order)) < 1e-12
    assert metric.layer_distance(layer, permuted(layer, order, biases=False)) > 0.01
    inputs = replace(layer.arrays[0], values=layer.arrays[0].values[:, ::-1])
    assert metric.layer_distance(layer, replace(layer, arrays=(inputs, layer.arrays[1]))) > 0.01


@pytest.mark.parametrize("metric", [ProcrustesMetric(), WassersteinMetric()], ids=lambda metric: metric.name)
def test_units_may_be_on_another_axis(metric: LayerMetric) -> None:
    layer, other = linear("fc", 0, 6, 9), linear("fc", 1, 6, 9)
    weight, bias = other.arrays
    inputs_first = replace(other, arrays=(RoleArray("weight", weight.values.T, 1), bias))
    # Their arrays differ in shape as they come; fused they do not.
    assert metric.layer_distance(layer, inputs_first) == pytest.approx(metric.layer_distance(layer, other))


@pytest.mark.parametrize("metric", [ProcrustesMetric(), WassersteinMetric()], ids=lambda metric: metric.name)
def test_arrays_without_common_units_are_missing(metric: LayerMetric) -> None:
    odd = LayerWeights("odd", "gru", (RoleArray("weight", np.eye(3)), RoleArray("other", np.eye(2))))
    assert math.isnan(metric.layer_distance(odd, odd))
    both = LayerWeights("two", "gru", (RoleArray("weight", np.eye(3)), RoleArray("weight", 2 * np.eye(3))))
    assert metric.layer_distance(both, both) < 1e-12


def test_procrustes_compares_layers_of_any_size_and_each_with_itself() -> None:
    metric = ProcrustesMetric()
    a, b = (linear("1", 0, 4, 9), linear("2", 1, 5, 4)), (linear("1", 2, 7, 3), *network(0))
    assert metric.model_distance(a, copy.deepcopy(a)) < 1e-12
    metric.pairwise = False
    found = metric.layer_distance_matrix(a, b)
    # The bias is the first input.
    first, second = (np.column_stack([fc[0].arrays[1].values, fc[0].arrays[0].values]).T for fc in (a, b))
    assert found[0, 0] == pytest.approx(procrustes_disparity(first, second), rel=1e-9)
    assert found.shape == (2, 4) and np.isfinite(found).all() and (found > 0).all() and (found <= 1).all()
    assert metric.layer_distance_matrix(b, a) == pytest.approx(found.T)
    own = metric.layer_distance_matrix(a, a)
    assert own.diagonal() == pytest.approx(0, abs=1e-12) and own[0, 1] > 0.01


def test_edc_is_of_updates_if_all_clients_have_them_and_else_of_models() -> None:
    clients = federation()
    swapped = [Client(client.gradient or (), client.model) for client in clients]
    without = [Client(client.model) for client in clients]
    assert (matrix("edc_dst", swapped) == matrix("edc_dst", without)).all()
    assert not np.allclose(matrix("edc_dst", clients), matrix("edc_dst", without))
    assert (matrix("edc_dst", [*without[:1], *clients[1:]]) == matrix("edc_dst", without)).all()
    assert np.isnan(matrix("edc_dst", [*without, Client(network(0)[:2])])).all()
    assert not np.allclose(EdcMetric(2).client_distance_matrix(clients), matrix("edc_dst", clients))


def test_metrics_are_made_anew() -> None:
    first, second = built_in_metrics(), built_in_metrics()
    assert all(a is not b for a, b in zip(first, second, strict=True))
    assert all(isinstance(metric, ClientMatrixMetric) for metric in first)
