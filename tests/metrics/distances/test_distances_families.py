"""The six families: what follows from the one function an author supplies, by subclass or by assignment."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from metrics.distances.families import (
    ClientMatrixMetric,
    ClientMetric,
    LayerMatrixMetric,
    LayerMetric,
    ModelMatrixMetric,
    ModelMetric,
)
from metrics.distances.steps.preprocessing import PreprocessingStep
from metrics.distances.weights.participant import Client, LayerWeights, Model, vector_of
from tests.support.distance_metrics import scaled, small_clients, small_model

FAMILIES = (ClientMatrixMetric, ClientMetric, ModelMatrixMetric, ModelMetric, LayerMatrixMetric, LayerMetric)


def assign(metric: ClientMatrixMetric, name: str, function: Callable[..., Any]) -> None:
    """Assign a function to an instance, which mypy would refuse where Python does not."""
    setattr(metric, name, function)


def l1(a: Model, b: Model) -> float:
    return float(np.abs(vector_of(a) - vector_of(b)).sum())


def layer_l1(a: LayerWeights, b: LayerWeights) -> float:
    return l1((a,), (b,))


def signed(a: Model, b: Model) -> float:
    """An asymmetric number."""
    return float((vector_of(a) * 2 - vector_of(b)).sum())


def of_clients(distance: Callable[[Model, Model], float], clients: Sequence[Client]) -> np.ndarray:
    return np.array([[distance(a.model, b.model) for b in clients] for a in clients])


class LayerL1(LayerMetric):
    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return layer_l1(a, b)


class ModelL1(ModelMetric):
    def _model_distance(self, a: Model, b: Model) -> float:
        return l1(a, b)


class FastL1(ModelL1):
    """Knows a way to the matrix that must not outlive its pair distance."""

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        x = np.stack([vector_of(model) for model in models])
        return np.asarray(np.abs(x[:, None] - x).sum(2))


@dataclass(frozen=True)
class TimesStep(PreprocessingStep):
    factor: float

    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        return [replace(client, model=scaled(client.model, self.factor)) for client in clients]


@dataclass(frozen=True)
class FromFirstStep(PreprocessingStep):
    """Leaves what a client's first layer has more than that of the first client."""

    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        first = clients[0].model[0].arrays[0].values

        def moved(client: Client) -> Client:
            layer, *others = client.model
            weight = replace(layer.arrays[0], values=layer.arrays[0].values - first)
            return replace(client, model=(replace(layer, arrays=(weight, *layer.arrays[1:])), *others))

        return [moved(client) for client in clients]


@dataclass(frozen=True)
class EmptyStep(PreprocessingStep):
    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        return [Client(()) for _ in clients]


# --- What follows from what


def test_a_client_matrix_is_the_authors() -> None:
    metric = ClientMatrixMetric("own")
    assign(metric, "_client_distance_matrix", lambda clients: np.full((len(clients),) * 2, 3, dtype=np.int64))
    found = metric.client_distance_matrix(small_clients(2))
    assert found.dtype == np.float64 and found.tolist() == [[3, 3], [3, 3]]


def test_pairs_of_clients_make_their_matrix() -> None:
    clients, metric = small_clients(4), ClientMetric("gradient_l1")
    assign(metric, "_client_distance", lambda a, b: l1(a.gradient, b.gradient))
    expected = [[l1(a.gradient or (), b.gradient or ()) for b in clients] for a in clients]
    assert metric.client_distance_matrix(clients) == pytest.approx(np.array(expected))
    assert metric.client_distance(clients[0], clients[1]) == pytest.approx(expected[0][1])


def test_a_model_matrix_is_that_of_the_clients() -> None:
    clients, metric = small_clients(3), ModelMatrixMetric("own")
    assign(metric, "_model_distance_matrix", lambda models: np.array([[l1(a, b) for b in models] for a in models]))
    expected = of_clients(l1, clients)
    assert (metric.client_distance_matrix(clients) == expected).all()
    assert (metric.model_distance_matrix([client.model for client in clients]) == expected).all()


@pytest.mark.parametrize("assigned", [True, False])
def test_pairs_of_models_make_everything_of_models_and_clients(assigned: bool) -> None:
    clients, metric = small_clients(3), ModelMetric("l1") if assigned else ModelL1("l1")
    if assigned:
        assign(metric, "_model_distance", l1)
    expected = of_clients(l1, clients)
    assert metric.client_distance_matrix(clients) == pytest.approx(expected)
    assert metric.model_distance_matrix([client.model for client in clients]) == pytest.approx(expected)
    assert metric.client_distance(clients[0], clients[1]) == metric.model_distance(clients[0].model, clients[1].model)
    assert metric.model_distance(clients[0].model, clients[1].model) == pytest.approx(expected[0, 1])


def test_a_layer_matrix_is_aggregated() -> None:
    a, b = small_model(0), small_model(1)
    metric = LayerMatrixMetric("own", aggregation="sum")
    assign(metric, "_layer_distance_matrix", lambda a, b: np.arange(len(a) * len(b)).reshape(len(a), len(b)))
    assert metric.layer_distance_matrix(a, b[:2]).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert metric.model_distance(a, b[:2]) == 28
    assert metric.client_distance_matrix([Client(a), Client(b)])[0, 1] == 120
    assign(metric, "_aggregate_matrix", np.max)
    assert metric.model_distance(a, b[:2]) == 7


@pytest.mark.parametrize("assigned", [True, False])
def test_a_layer_matrix_is_full_rectangular_and_true_on_its_diagonal(assigned: bool) -> None:
    metric = LayerMetric("layer_l1") if assigned else LayerL1("layer_l1")
    if assigned:
        assign(metric, "_layer_distance", layer_l1)
    a, b = small_model(0), small_model(1)[:3]
    found = metric.layer_distance_matrix(a, b)
    known = [[1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert np.isfinite(found).astype(int).tolist() == known
    for i, j in np.argwhere(known).tolist():
        assert found[i, j] == pytest.approx(layer_l1(a[i], b[j]))
        assert metric.layer_distance(a[i], b[j]) == found[i, j]
    # (2, 1) is no copy of (1, 2): other layers are compared.
    assert found[2, 1] != found[1, 2]
    assert metric.layer_distance_matrix(a, copy.deepcopy(a)).diagonal().tolist() == [0, 0, 0, 0]
    assert metric.model_distance(a, b) == pytest.approx(np.nanmean(found))


def test_pairwise_layers_are_the_diagonal() -> None:
    a, b = small_model(0), small_model(1)
    metric = LayerL1("layer_l1", pairwise=True)
    found = metric.layer_distance_matrix(a, b)
    cells = [layer_l1(x, y) for x, y in zip(a, b, strict=True)]
    assert found.diagonal().tolist() == cells and np.isnan(found[~np.eye(4, dtype=bool)]).all()
    assert metric.model_distance(a, b) == pytest.approx(np.mean(cells))
    assert metric.model_distance(a, copy.deepcopy(a)) == 0
    # Nothing says which layers of models of different depth are counterparts.
    assert metric.layer_distance_matrix(a, b[:3]).shape == (4, 3)
    assert np.isnan(metric.layer_distance_matrix(a, b[:3])).all() and math.isnan(metric.model_distance(a, b[:3]))


def test_a_subclass_may_compare_layers_of_other_shapes() -> None:
    class Size(LayerMetric):
        needs_equal_shapes = False

        def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
            return float(abs(len(a.vector()) - len(b.vector())))

    assert Size("size").layer_distance_matrix(small_model(0), small_model(1)[:2]).tolist() == [
        [0, 4],
        [4, 0],
        [4, 0],
        [6, 10],
    ]


@pytest.mark.parametrize("pairwise", [True, False])
def test_weights_that_are_not_finite_are_not_skipped(pairwise: bool) -> None:
    a, b = small_model(0), copy.deepcopy(small_model(1))
    b[2].arrays[0].values[0, 0] = math.nan
    metric = LayerL1("layer_l1", pairwise=pairwise)
    assert np.isfinite(metric.layer_distance_matrix(a, b)[1, 1])
    assert math.isnan(metric.model_distance(a, b)) and math.isnan(metric.model_distance(b, a))


def test_there_may_be_no_clients_or_one_or_no_layers() -> None:
    for metric in (ModelL1("l1"), LayerL1("layer_l1", pairwise=True)):
        assert metric.client_distance_matrix([]).shape == (0, 0)
        assert metric.model_distance_matrix([]).shape == (0, 0)
        assert metric.client_distance_matrix(small_clients(1)).tolist() == [[0.0]]
    assert LayerL1("layer_l1").layer_distance_matrix((), small_model(0)).shape == (0, 4)
    assert LayerL1("layer_l1").layer_distance_matrix(small_model(0), ()).shape == (4, 0)
    assert math.isnan(LayerL1("layer_l1").model_distance((), ()))


# --- Which pairs are computed


@pytest.mark.parametrize(
    "symmetric, zero_self, expected",
    [
        (True, True, [(0, 1), (0, 2), (1, 2)]),
        (True, False, [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]),
        (False, True, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),
        (False, False, [(i, j) for i in range(3) for j in range(3)]),
    ],
)
def test_only_undeclared_pairs_are_computed(symmetric: bool, zero_self: bool, expected: list[tuple[int, int]]) -> None:
    clients = small_clients(3)
    places = {id(client): place for place, client in enumerate(clients)}
    asked: list[tuple[int, int]] = []

    def distance(a: Client, b: Client) -> float:
        asked.append((places[id(a)], places[id(b)]))
        return signed(a.model, b.model)

    metric = ClientMetric("counted", symmetric=symmetric, zero_self=zero_self)
    assign(metric, "_client_distance", distance)
    found = metric.client_distance_matrix(clients)
    assert asked == expected
    for i, j in expected:
        assert found[i, j] == signed(clients[i].model, clients[j].model)
    assert not symmetric or (found == found.T).all()
    assert not zero_self or not found.diagonal().any()


def test_an_asymmetric_distance_keeps_both_directions_in_any_order() -> None:
    clients, metric = small_clients(4), ModelMetric("signed", symmetric=False, zero_self=False)
    assign(metric, "_model_distance", signed)
    expected = of_clients(signed, clients)
    assert metric.client_distance_matrix(clients) == pytest.approx(expected)
    assert metric.client_distance_matrix(clients[::-1]) == pytest.approx(expected[::-1, ::-1])


def test_a_full_layer_matrix_is_not_zero_between_a_model_and_itself() -> None:
    metric, clients = LayerL1("layer_l1"), small_clients(2)
    cells = metric.layer_distance_matrix(clients[0].model, clients[0].model)
    assert cells[1, 2] > 0 and not cells.diagonal().any()
    assert metric.client_distance_matrix(clients)[0, 0] == pytest.approx(np.nanmean(cells)) != 0


# --- Supplying a function at any level


def test_a_client_distance_assigned_to_a_model_metric_is_that_of_clients_only() -> None:
    clients, metric = small_clients(2), ModelL1("l1")
    assign(metric, "_client_distance", lambda a, b: 7.0)
    assert metric.client_distance(clients[0], clients[1]) == 7
    assert metric.client_distance_matrix(clients).tolist() == [[0, 7], [7, 0]]
    assert metric.model_distance(clients[0].model, clients[1].model) == l1(clients[0].model, clients[1].model)


def test_a_client_distance_of_a_subclass_is_that_of_clients_only() -> None:
    class Doubled(ModelL1):
        def _client_distance(self, a: Client, b: Client) -> float:
            return 2 * self._model_distance(a.model, b.model)

    clients, metric = small_clients(3), Doubled("doubled")
    assert metric.client_distance_matrix(clients) == pytest.approx(2 * of_clients(l1, clients))
    assert metric.model_distance_matrix([client.model for client in clients]) == pytest.approx(of_clients(l1, clients))


def test_a_fast_matrix_holds_until_the_distance_below_it_is_assigned() -> None:
    clients, metric = small_clients(3), FastL1("l1")
    assert metric.client_distance_matrix(clients) == pytest.approx(of_clients(l1, clients))
    assign(metric, "_model_distance", lambda a, b: 2 * l1(a, b))
    assert metric.client_distance_matrix(clients) == pytest.approx(2 * of_clients(l1, clients))
    assign(metric, "_model_distance_matrix", lambda models: np.ones((len(models), len(models))))
    assert (metric.client_distance_matrix(clients) == 1).all()


def test_copies_keep_assigned_functions() -> None:
    metric = LayerMetric("layer_l1", pairwise=True)
    assign(metric, "_layer_distance", layer_l1)
    twin = copy.deepcopy(metric)
    a, b = small_model(0), small_model(1)
    assert twin.model_distance(a, b) == metric.model_distance(a, b) > 0
    twin.preprocessing_steps.append(TimesStep(2))
    assert not metric.preprocessing_steps


@pytest.mark.parametrize("family", FAMILIES)
def test_what_nobody_supplied_is_named(family: type[ClientMatrixMetric]) -> None:
    metric, (a, b) = family("bare"), small_clients(2)
    with pytest.raises(
        NotImplementedError, match=rf"metric 'bare' \({family.__name__}\) needs _\w+\(.*: write it in a"
    ):
        metric.client_distance_matrix([a, b])
    if isinstance(metric, ClientMetric):
        with pytest.raises(NotImplementedError, match=r"needs _(client|model|layer)_distance(_matrix)?\(a, b\)"):
            metric.client_distance(a, b)
    if isinstance(metric, LayerMetric):
        with pytest.raises(NotImplementedError, match=r"needs _layer_distance\(a, b\)"):
            metric.layer_distance(a.model[0], b.model[0])


def test_an_unsupplied_client_or_model_distance_is_named() -> None:
    a, b = small_clients(2)
    with pytest.raises(NotImplementedError, match="needs _client_distance"):
        ClientMetric("bare").client_distance(a, b)
    with pytest.raises(NotImplementedError, match="needs _model_distance_matrix"):
        ModelMatrixMetric("bare").model_distance_matrix([a.model, b.model])
    with pytest.raises(NotImplementedError, match="needs _model_distance"):
        ModelMetric("bare").model_distance(a.model, b.model)
    with pytest.raises(NotImplementedError, match="needs _layer_distance_matrix"):
        LayerMatrixMetric("bare").layer_distance_matrix(a.model, b.model)


def test_a_matrix_of_another_shape_is_refused() -> None:
    metric = LayerMatrixMetric("odd")
    assign(metric, "_client_distance_matrix", lambda clients: np.zeros(2))
    assign(metric, "_layer_distance_matrix", lambda a, b: np.zeros((1, 1)))
    with pytest.raises(ValueError, match=r"metric 'odd' must return a matrix of shape \(2, 2\), got \(2,\)"):
        metric.client_distance_matrix(small_clients(2))
    with pytest.raises(ValueError, match=r"shape \(4, 4\), got \(1, 1\)"):
        metric.model_distance(small_model(0), small_model(1))


def test_an_unknown_scale_or_aggregation_is_refused() -> None:
    with pytest.raises(ValueError, match="scale must be one of invariant, homogeneous, none, got 'linear'"):
        ClientMetric("odd", scale="linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"aggregation must be one of sum, mean, .*, got 'median'"):
        LayerMetric("odd", aggregation="median")


# --- Preprocessing


@pytest.mark.parametrize(
    "ignored, factor", [(None, 30), ([], 30), ([2], 15), ([2, 3], 5), ([2, 3, 5], 1), ([2, 5], 15), ([3], 30)]
)
def test_steps_done_already_are_left_out(ignored: list[float] | None, factor: float) -> None:
    metric = LayerL1("layer_l1", pairwise=True, preprocessing_steps=[TimesStep(2), TimesStep(3)])
    metric.preprocessing_steps += [TimesStep(5)]
    (a, b), done = small_clients(2), None if ignored is None else [TimesStep(number) for number in ignored]
    plain = factor * LayerL1("layer_l1", pairwise=True).client_distance(a, b)
    assert metric.client_distance_matrix([a, b], ignored_steps=done)[0, 1] == pytest.approx(plain)
    assert metric.client_distance(a, b, ignored_steps=done) == pytest.approx(plain)
    assert metric.model_distance_matrix([a.model, b.model], ignored_steps=done)[1, 0] == pytest.approx(plain)
    assert metric.model_distance(a.model, b.model, ignored_steps=done) == pytest.approx(plain)
    cells = metric.layer_distance_matrix(a.model, b.model, ignored_steps=done)
    assert np.nanmean(cells) == pytest.approx(plain)
    assert metric.layer_distance(a.model[0], b.model[0], ignored_steps=done) == pytest.approx(cells[0, 0])


def test_functions_with_an_underscore_do_not_preprocess() -> None:
    metric = LayerL1("layer_l1", preprocessing_steps=[TimesStep(2)])
    a, b = small_clients(2)
    assert metric.client_distance(a, b) == pytest.approx(2 * metric._client_distance(a, b))
    assert metric.layer_distance(a.model[0], b.model[0]) == pytest.approx(2 * layer_l1(a.model[0], b.model[0]))


def test_pairs_are_preprocessed_together_with_the_first_as_reference() -> None:
    metric = ModelL1("l1", preprocessing_steps=[FromFirstStep()])
    a, b = small_clients(2)
    assert metric.model_distance(a.model, b.model) == pytest.approx(l1(a.model, b.model))
    seen: tuple[Client, ...] = ()

    def remembered(*pair: Client) -> float:
        nonlocal seen
        seen = pair
        return 0.0

    pair = ClientMetric("seen", preprocessing_steps=[FromFirstStep()])
    assign(pair, "_client_distance", remembered)
    pair.client_distance(b, a)
    assert not seen[0].model[0].arrays[0].values.any() and seen[1].model[0].arrays[0].values.any()


def test_layers_of_which_steps_leave_nothing_are_missing() -> None:
    metric = LayerL1("layer_l1", preprocessing_steps=[EmptyStep()])
    a, b = small_model(0), small_model(1)
    assert math.isnan(metric.layer_distance(a[0], b[0])) and math.isnan(metric.model_distance(a, b))
    assert metric.layer_distance_matrix(a, b).shape == (0, 0)
