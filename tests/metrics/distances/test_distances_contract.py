"""Metrics are held to what they declare: the check catches whoever breaks it, and those of the package pass."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import (
    ClientMatrixMetric,
    LayerMetric,
    ModelMetric,
)
from metrics.distances.families.aggregation import AGGREGATIONS, aggregated
from metrics.distances.representations import RepresentationMetric
from metrics.distances.steps.elementary import NormaliseStep
from metrics.distances.weights.participant import Client, LayerWeights, Model, vector_of
from tests.support.distance_metrics import check_contract, probe_clients, small_clients

METRICS = built_in_metrics()


def l1(a: Model, b: Model) -> float:
    return float(np.abs(vector_of(a) - vector_of(b)).sum())


def one_sided(a: Model, b: Model) -> float:
    return float(np.maximum(vector_of(a) - vector_of(b), 0).sum())


def model_metric(distance: Callable[[Model, Model], float], **declared: Any) -> ModelMetric:
    metric = ModelMetric("fake", **declared)
    vars(metric)["_model_distance"] = distance
    return metric


def layer_metric(distance: Callable[[LayerWeights, LayerWeights], float], **declared: Any) -> LayerMetric:
    metric = LayerMetric("fake", **declared)
    vars(metric)["_layer_distance"] = distance
    return metric


def client_matrix(distances: Callable[[np.ndarray], np.ndarray], **declared: Any) -> ClientMatrixMetric:
    metric = ClientMatrixMetric("fake", **declared)
    vars(metric)["_client_distance_matrix"] = lambda clients: distances(np.stack([vector_of(c.model) for c in clients]))
    return metric


def all_l1(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.abs(x[:, None] - x).sum(2)
    return found


def modify(a: Model, b: Model) -> float:
    """Look at the first weight and change the first bias."""
    a[0].arrays[1].values[:] += 1
    return float(np.abs(a[0].arrays[0].values - b[0].arrays[0].values).sum())


def constant(metric: LayerMetric) -> LayerMetric:
    """Hide what is wrong about the layers from the models."""
    vars(metric)["_aggregate_matrix"] = lambda matrix: 1.0
    return metric


class WrongWayToTheMatrix(ModelMetric):
    def _model_distance(self, a: Model, b: Model) -> float:
        return l1(a, b)

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        return 1.001 * all_l1(np.stack([vector_of(model) for model in models]))


class OtherModels(ModelMetric):
    def _client_distance(self, a: Client, b: Client) -> float:
        return l1(a.gradient or (), b.gradient or ())

    def _model_distance(self, a: Model, b: Model) -> float:
        return l1(a, b)


class Forgetful(ModelMetric):
    """A copy of it computes something else."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "ModelMetric":
        return model_metric(lambda a, b: 2 * l1(a, b))

    def _model_distance(self, a: Model, b: Model) -> float:
        return l1(a, b)


def layer_l1(a: LayerWeights, b: LayerWeights) -> float:
    return l1((a,), (b,))


KEPT = {
    "model": model_metric(l1, scale="homogeneous"),
    "asymmetric": model_metric(one_sided, symmetric=False, scale="homogeneous"),
    "squares": model_metric(lambda a, b: float(np.square(vector_of(a) - vector_of(b)).sum())),
    "no zero": model_metric(lambda a, b: 1 + l1(a, b), zero_self=False),
    "matrix": client_matrix(all_l1, scale="homogeneous"),
    "layers": layer_metric(layer_l1, scale="homogeneous"),
    "pairwise": layer_metric(layer_l1, scale="homogeneous", pairwise=True),
    "normalised": model_metric(l1, scale="invariant", preprocessing_steps=[NormaliseStep()]),
    **{
        f"{key} {p}": layer_metric(layer_l1, pairwise=p, aggregation=key) for key in AGGREGATIONS for p in (True, False)
    },
}
BROKEN = {
    "declared symmetric, is not": (
        model_metric(one_sided),
        client_matrix(lambda x: np.maximum(x[:, None] - x, 0).sum(2)),
    ),
    "declared zero on itself, is not:": (
        model_metric(lambda a, b: 1 + l1(a, b)),
        client_matrix(lambda x: 1 + all_l1(x)),
    ),
    "declared zero on itself, is not on an exact copy": (client_matrix(lambda x: all_l1(x) + 1 - np.eye(len(x))),),
    "declared homogeneous, is not": (
        model_metric(lambda a, b: l1(a, b) ** 2, scale="homogeneous"),
        layer_metric(lambda a, b: layer_l1(a, b) ** 2, scale="homogeneous"),
    ),
    "layers are declared symmetric, are not": (constant(layer_metric(lambda a, b: one_sided((a,), (b,)))),),
    "layers are declared zero on themselves, are not": (layer_metric(lambda a, b: 1 + layer_l1(a, b)),),
    "layers are declared homogeneous, are not": (
        layer_metric(lambda a, b: layer_l1(a, b) ** 2, scale="homogeneous", aggregation="product"),
    ),
    "declared invariant, is not": (model_metric(l1, scale="invariant"),),
    "not finite and 0 or more": (
        model_metric(lambda a, b: math.nan),
        model_metric(lambda a, b: math.inf),
        model_metric(lambda a, b: -l1(a, b)),
    ),
    "the input was modified": (model_metric(modify),),
    "depends on the order of the clients": (
        client_matrix(lambda x: all_l1(x) + np.add.outer(np.arange(len(x)), np.arange(len(x))), zero_self=False),
    ),
    "the matrix is not that of the pairs": (WrongWayToTheMatrix("fake"),),
    "models are not as far apart as their clients": (OtherModels("fake"),),
    "a copy of the metric differs": (Forgetful("fake"),),
}


@pytest.mark.parametrize("metric", KEPT.values(), ids=KEPT)
def test_the_check_lets_honest_metrics_pass(metric: ClientMatrixMetric) -> None:
    check_contract(metric, small_clients())


@pytest.mark.parametrize("what, metric", [(what, metric) for what, metrics in BROKEN.items() for metric in metrics])
def test_the_check_catches_a_broken_declaration(what: str, metric: ClientMatrixMetric) -> None:
    with pytest.raises(AssertionError, match=what):
        check_contract(metric, small_clients())


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_of_the_package_keep_what_they_declare(metric: ClientMatrixMetric) -> None:
    check_contract(metric, probe_clients() if isinstance(metric, RepresentationMetric) else small_clients())


# --- What follows for models from what is declared for layers


@pytest.mark.parametrize("pairwise", [True, False])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_what_is_declared_of_layers_holds_for_models_as_far_as_it_follows(aggregation: str, pairwise: bool) -> None:
    def declared(**words: Any) -> Any:
        return layer_metric(layer_l1, aggregation=aggregation, pairwise=pairwise, **words).between_clients

    assert declared().zero_self == pairwise and not declared(zero_self=False).zero_self
    assert declared().symmetric and not declared(symmetric=False).symmetric
    linear = aggregation in ("sum", "mean")
    assert declared(scale="homogeneous").scale == ("homogeneous" if linear else "none")
    assert declared(scale="invariant").scale == "invariant" and declared().scale == "none"


@pytest.mark.parametrize("name, function", [("_aggregate_matrix", np.nanmax), ("_model_distance", l1)])
def test_nothing_follows_through_an_authors_own_function(name: str, function: Callable[..., float]) -> None:
    class Own(LayerMetric):
        pass

    setattr(Own, name, lambda self, *arguments: function(*arguments))
    assigned = LayerMetric("fake", scale="homogeneous", pairwise=True)
    setattr(assigned, name, function)
    for metric in (assigned, Own("fake", scale="homogeneous", pairwise=True)):
        assert (metric.between_clients.zero_self, metric.between_clients.scale) == (False, "none")


# --- Aggregation


@pytest.mark.parametrize(
    "aggregation, expected",
    [("sum", 14), ("mean", 14 / 3), ("mean_squared", 98 / 3), ("mean_sqroot", 2), ("product", 36)],
)
def test_aggregations_leave_out_what_is_missing(aggregation: str, expected: float) -> None:
    cells = np.array([[1.0, math.nan, 4.0], [math.nan, 9.0, math.nan]])
    assert aggregated(cells, aggregation) == pytest.approx(expected)
    assert aggregated(cells.T, aggregation) == pytest.approx(expected)
    assert aggregated(np.array([7.0]), aggregation) == pytest.approx(
        {"mean_squared": 49, "mean_sqroot": 7**0.5}.get(aggregation, 7)
    )


def test_an_infinite_distance_is_not_left_out() -> None:
    for aggregation in AGGREGATIONS:
        assert aggregated(np.array([1.0, math.inf, math.nan]), aggregation) == math.inf


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("cells", [np.zeros((0, 0)), np.full((2, 3), math.nan)])
def test_nothing_aggregates_to_missing(aggregation: str, cells: np.ndarray) -> None:
    assert math.isnan(aggregated(cells, aggregation))


def test_what_cannot_be_aggregated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"aggregation must be one of sum, mean, .*, product, got 'median'"):
        aggregated(np.ones((2, 2)), "median")
    with pytest.raises(ValueError, match=r"mean_sqroot needs distances of 0 or more, got -0.25"):
        aggregated(np.array([4.0, -0.25]), "mean_sqroot")


def test_another_aggregation_replaces_whatever_there_was() -> None:
    class Largest(LayerMetric):
        def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
            return layer_l1(a, b)

        def _aggregate_matrix(self, matrix: np.ndarray) -> float:
            return float(np.nanmax(matrix))

    a, b = (client.model for client in small_clients(2))
    cells = [layer_l1(x, y) for x, y in zip(a, b, strict=True)]
    assigned = layer_metric(layer_l1, pairwise=True)
    vars(assigned)["_aggregate_matrix"] = np.nanmax
    for metric in (Largest("fake", pairwise=True), assigned):
        assert metric.model_distance(a, b) == pytest.approx(max(cells))
        metric.aggregate_by("sum")
        assert metric.model_distance(a, b) == pytest.approx(sum(cells))
        metric.aggregate_by("mean")
        assert metric.model_distance(a, b) == pytest.approx(np.mean(cells))


@pytest.mark.parametrize(
    "name", ["_model_distance", "_client_distance", "_model_distance_matrix", "_client_distance_matrix"]
)
def test_who_does_not_aggregate_takes_no_aggregation(name: str) -> None:
    metric = layer_metric(layer_l1)
    setattr(metric, name, l1)
    with pytest.raises(ValueError, match=f"metric 'fake' aggregates no layers: it has a {name} of its own"):
        metric.aggregate_by("sum")


def test_a_subclass_that_does_not_aggregate_takes_no_aggregation() -> None:
    class Own(LayerMetric):
        def _model_distance(self, a: Model, b: Model) -> float:
            return l1(a, b)

    with pytest.raises(ValueError, match="it has a _model_distance of its own"):
        Own("own").aggregate_by("sum")
    with pytest.raises(ValueError, match="aggregation must be one of"):
        layer_metric(layer_l1).aggregate_by("median")
