"""Distances between representations: what they are, in one call a layer, for layers, models and clients."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, spearmanr
from torch import Tensor

from metrics.compare.base import Compared, Comparison, Pairs
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.rsa import RSA
from metrics.distances.built_in import built_in_metrics
from metrics.distances.metric_set import MetricSet
from metrics.distances.representations import RepresentationMetric, representation_layer
from metrics.distances.steps.elementary import NormaliseStep
from metrics.distances.tree import PreprocessingTree
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray
from tests.support.distance_metrics import check_contract, probe_clients, probe_model, small_clients

METRICS = {metric.name: metric for metric in built_in_metrics() if isinstance(metric, RepresentationMetric)}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def layer(values: np.ndarray) -> LayerWeights:
    return representation_layer("fc", "linear", values)


def related(seed: int, units: int, examples: int = 60) -> np.ndarray:
    shared = np.random.default_rng(0).standard_normal((examples, 2))
    random = np.random.default_rng(seed)
    found: np.ndarray = shared @ random.standard_normal((2, units)) + random.standard_normal((examples, units))
    return found


def metric_named(name: str) -> RepresentationMetric:
    metric = MetricSet(built_in_metrics()).get_metric(name)
    assert isinstance(metric, RepresentationMetric)
    return metric


# --- Values against the definitions


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Return the unbiased estimate of HSIC, Song et al. 2012, equation 5."""
    n, ones = len(k), np.ones(len(k))
    k, m = k - np.diag(k.diagonal()), m - np.diag(m.diagonal())
    total = (
        np.trace(k @ m) + ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2)) - 2 * ones @ k @ m @ ones / (n - 2)
    )
    return float(total / (n * (n - 3)))


def debiased(x: np.ndarray, y: np.ndarray) -> float:
    k, m = x @ x.T, y @ y.T
    return math.acos(hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m)))


def biased(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return math.acos(np.linalg.norm(x.T @ y) ** 2 / norms)


def rotated(x: np.ndarray, y: np.ndarray) -> float:
    widest = max(x.shape[1], y.shape[1])
    padded = [np.pad(z, ((0, 0), (0, widest - z.shape[1]))) for z in (x, y)]
    return math.asin(math.sqrt(procrustes(*padded)[2]))


def canonical(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    bases = [np.linalg.svd(z - z.mean(0), full_matrices=False)[0] for z in (x, y)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def svcca(x: np.ndarray, y: np.ndarray) -> float:
    return 1 - float(canonical(x, y).mean())


def whitened(x: np.ndarray, y: np.ndarray) -> float:
    count = math.sqrt(x.shape[1] * y.shape[1])
    return math.acos(canonical(x, y).sum() / count)


def ranks(x: np.ndarray, y: np.ndarray) -> float:
    return math.acos(spearmanr(pdist(x), pdist(y)).statistic)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cka_distance", debiased),
        ("cka_biased_distance", biased),
        ("procrustes_distance", rotated),
        ("shape_0_distance", whitened),
        ("svcca_distance", svcca),
        ("rsa_distance", ranks),
    ],
)
@pytest.mark.parametrize("units", [(4, 4), (3, 6)])
def test_values_are_those_of_the_definitions(name: str, expected: Any, units: tuple[int, int]) -> None:
    # All directions have much variance, so that SVCCA keeps them all.
    x, y = related(1, units[0]), related(2, units[1])
    assert METRICS[name].layer_distance(layer(x), layer(y)) == pytest.approx(expected(x, y), rel=1e-6)


def test_a_similarity_becomes_its_angle_or_what_is_missing_to_one() -> None:
    x, y = layer(related(1, 4)), layer(related(2, 5))
    correlation = math.cos(RepresentationMetric("angle", RSA()).layer_distance(x, y))
    rest = RepresentationMetric("rest", RSA(), angular=False).layer_distance(x, y)
    assert rest == pytest.approx(1 - correlation, rel=1e-9)


@every_metric
def test_rotations_translations_and_copies_are_at_distance_zero(metric: RepresentationMetric) -> None:
    x = related(1, 4)
    turned = x @ ortho_group.rvs(4, random_state=0) + 3.0
    assert metric.layer_distance(layer(x), layer(x.copy())) == 0
    far = metric.layer_distance(layer(x), layer(related(2, 4)))
    # Projection weights are those of the units.
    assert metric.layer_distance(layer(x), layer(turned)) < (1e-7 if metric.name != "pwcca_distance" else 1e-3) < far


def test_independent_representations_are_orthogonal_to_debiased_cka() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.standard_normal((50, 80)), random.standard_normal((50, 80))) for _ in range(8)]
    found = [
        [METRICS[n].layer_distance(layer(x), layer(y)) for x, y in pairs]
        for n in ("cka_distance", "cka_biased_distance")
    ]
    assert np.mean(found[0]) == pytest.approx(math.pi / 2, abs=0.02)
    assert np.mean(found[1]) < 1.1


# The others have no value, or 0, with more units than examples.
@pytest.mark.parametrize(
    "name", ["cka_distance", "cka_biased_distance", "procrustes_distance", "shape_05_distance", "rsa_distance"]
)
def test_more_units_than_examples_and_other_widths_keep_the_contract(name: str) -> None:
    clients = [Client(probe_model(seed, examples=12, widths=(20, 3, 15))) for seed in range(4)]
    doubled = [Client(tuple(replace(own, arrays=(as_double(own),)) for own in client.model)) for client in clients]
    check_contract(METRICS[name], doubled)


def as_double(own: LayerWeights) -> RoleArray:
    return replace(own.arrays[0], values=own.arrays[0].values.astype(np.float64))


@every_metric
def test_values_alone_are_those_of_the_whole_comparison(metric: RepresentationMetric) -> None:
    items = [torch.from_numpy(related(seed, units)) for seed, units in ((1, 4), (2, 3), (3, 5))]
    items.append(torch.ones(60, 3))
    pairs = [(0, 1), (1, 2), (0, 3)]
    (whole, *_) = metric.comparison.compare(items, pairs, 20, 0)
    found = metric.comparison.values(items, pairs)
    assert (found.metric, found.variant, found.reasons) == (whole.metric, whole.variant, whole.reasons)
    assert found.reasons == {2: "a representation is the same for all examples"}
    assert np.array_equal(found.value, whole.value, equal_nan=True)


# --- One call a layer


class Counting(Comparison):
    """CKA that notes how many representations and pairs it is given."""

    facts = CKA.facts

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        self.calls.append((len(representations), len(pairs)))
        return CKA().compare(representations, pairs, permutations, seed)


def test_all_pairs_of_a_layer_are_one_call() -> None:
    counting = Counting()
    metric = RepresentationMetric("counted", counting)
    models = [client.model for client in probe_clients(6)]
    tables = metric.layer_distances(models)
    assert counting.calls == [(6, 15)] * 4
    assert metric.client_distance_matrix(probe_clients(6)) == pytest.approx(tables.mean(0), rel=1e-12)
    assert counting.calls == [(6, 15)] * 8
    metric.compare_pairwise(False)
    counting.calls.clear()
    metric.layer_distance_matrix(models[0], models[1][:3])
    assert counting.calls == [(7, 12)]


@every_metric
def test_tables_are_those_of_pairs(metric: RepresentationMetric) -> None:
    models = [client.model for client in probe_clients(3)]
    tables = metric.layer_distances(models)
    assert tables.shape == (4, 3, 3) and not tables.diagonal(axis1=1, axis2=2).any()
    for place, (i, j) in ((place, pair) for place in range(4) for pair in combinations(range(3), 2)):
        expected = metric.layer_distance(models[i][place], models[j][place])
        assert tables[place, i, j] == tables[place, j, i] == pytest.approx(expected, rel=1e-9)


@every_metric
def test_layers_by_layers_with_a_true_diagonal(metric: RepresentationMetric) -> None:
    full = MetricSet([metric]).get_metric(f"mean&full-{metric.name}")
    assert isinstance(full, RepresentationMetric)
    a, b = probe_model(1), probe_model(2)[:3]
    found = full.layer_distance_matrix(a, b)
    assert found == pytest.approx(np.array([[metric.layer_distance(x, y) for y in b] for x in a]), rel=1e-9)
    own = full.layer_distance_matrix(a, probe_model(1))
    assert not own.diagonal().any() and (own[~np.eye(4, dtype=bool)] > 0).all()
    assert full.model_distance(a, b) == pytest.approx(found.mean(), rel=1e-9)


# --- Models and names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cka_distance", np.mean),
        ("sum-cka_distance", np.sum),
        ("product&diag-cka_distance", np.prod),
        ("mean_squared-sum-cka_distance", lambda cells: np.mean(cells**2)),
    ],
)
def test_models_aggregate_their_layers(name: str, expected: Any) -> None:
    a, b = probe_clients(2)
    cells = METRICS["cka_distance"].layer_distances([a.model, b.model])[:, 0, 1]
    metric = metric_named(name)
    assert metric.client_distance_matrix([a, b])[0, 1] == pytest.approx(expected(cells), rel=1e-12)
    assert metric.client_distance(a, b) == pytest.approx(expected(cells), rel=1e-9)
    check_contract(metric, probe_clients())


@pytest.mark.parametrize("aggregation", ["mean", "sum&full"])
def test_a_layer_without_distance_leaves_the_model_without_one(aggregation: str) -> None:
    models: list[Model] = [probe_model(seed) for seed in range(3)]
    constant = layer(np.ones((40, 4), dtype=np.float32))
    models[1] = (models[1][0], constant, *models[1][2:])
    metric = metric_named(f"{aggregation}-cka_distance")
    found = metric.model_distance_matrix(models)
    assert np.isnan(found[[0, 1, 1, 2], [1, 0, 2, 1]]).all()
    assert np.isfinite(found[0, 2]) and math.isnan(metric.model_distance(models[0], models[1]))
    assert np.isnan(metric.layer_distances(models)).sum() == 4


def test_why_there_is_no_distance() -> None:
    layers = [layer(related(1, 3)), layer(np.ones((60, 2))), layer(related(2, 3)), layer(np.full((60, 1), np.nan))]
    found = METRICS["cka_distance"].reasons(layers, [(0, 1), (0, 2), (2, 3)])
    assert found == {
        (0, 1): "a representation is the same for all examples", (2, 3): "a representation is not finite",
    }  # fmt: skip
    assert METRICS["cka_distance"].reasons(layers, []) == {}


def test_few_models_or_layers() -> None:
    metric = METRICS["cka_distance"]
    assert metric.client_distance_matrix([]).shape == (0, 0)
    assert metric.client_distance_matrix(probe_clients(1)).tolist() == [[0.0]]
    assert math.isnan(metric.model_distance((), ()))
    assert np.isnan(metric.model_distance_matrix([probe_model(0), probe_model(1)[:2]])[0, 1])
    assert metric.layer_distances([probe_model(0), probe_model(1)[:2]]).shape == (0, 2, 2)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("step", ["nb", "fb"])
def test_steps_of_weights_are_refused(name: str, step: str) -> None:
    message = f"metric name '{step}-{name}' has '{step}', but representations have no biases; leave it out"
    with pytest.raises(ValueError, match=message):
        metric_named(f"{step}-{name}")
    with pytest.raises(ValueError, match=f"metric name '{step}-mean-{name}' has '{step}', but"):
        metric_named(f"{step}-mean-{name}")


def test_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layer 'fc0' must hold one array of role 'activation', got weight, bias; "):
        METRICS["cka_distance"].client_distance_matrix(small_clients(2))
    with pytest.raises(ValueError, match="layer 'fc' must hold one array of role 'activation', got none"):
        METRICS["cka_distance"].layer_distance(LayerWeights("fc", "linear", ()), layer(related(0, 2)))


def test_something_else_is_refused() -> None:
    comparison: Any = "cka"
    with pytest.raises(ValueError, match=r"comparison of mine must be a metrics.compare.base.Comparison, got 'cka'"):
        RepresentationMetric("mine", comparison)


def test_the_preprocessing_tree_serves_representations() -> None:
    step = NormaliseStep()
    metrics = [RepresentationMetric(name, CKA(), preprocessing_steps=[step]) for name in ("one", "two")]
    tree: PreprocessingTree[Any] = PreprocessingTree({metric.name: metric.preprocessing_steps for metric in metrics})
    expected = METRICS["cka_distance"].client_distance_matrix(probe_clients())
    for (_, clients), metric in zip(tree.run(probe_clients()), metrics, strict=True):
        found = metric.client_distance_matrix(clients, metric.preprocessing_steps)
        assert found == pytest.approx(expected, rel=1e-5)
    assert tree.steps_executed == 1
