"""Large work leaves for the workers, small work stays, and the bits are the same wherever it is done."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from fedlayers.core.errors import Stopped
from fedlayers.core.records import Record
from metrics import parallel
from metrics.base import Facts, Measurement, Metric, ServerView
from metrics.distances.built_in import built_in_metrics
from metrics.distances.families.clients import ClientMatrixMetric
from metrics.distances.families.layers import LayerMetric
from metrics.distances.families.models import ModelMatrixMetric, ModelMetric
from metrics.distances.gram.gram_pairs import pairwise_by_gram
from metrics.distances.representations import RepresentationMetric, representation_layer
from metrics.distances.steps.elementary import NoBiasStep
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray, vector_of
from metrics.measure import measure_server
from metrics.parallel import map_here, map_if_large, mapped_by
from tests.support.metric_views import network, server_view, weights_of

pytestmark = pytest.mark.usefixtures("device")

WEIGHTS = {client: weights_of(network(client)) for client in range(3)}


class Away:
    """Computes elsewhere, as far as a function can tell: everything is pickled, for every item anew."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def __call__(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any], /) -> list[Any]:
        self.items += items
        sent = [cloudpickle.dumps((function, shared, item)) for item in items]
        return [f(s, i) for f, s, i in map(cloudpickle.loads, sent)]


@pytest.fixture
def away() -> Iterator[Away]:
    way = Away()
    with mapped_by(way):
        yield way


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything count as large."""
    monkeypatch.setattr(parallel, "TRIAL_S", 0.0)
    monkeypatch.setattr(parallel, "LARGE_S", -1.0)
    monkeypatch.setattr(parallel, "LARGE_S_PER_BYTE", 0.0)


class Clock:
    """A clock on which every item takes as long as it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(parallel, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def work(self, shared: Any, seconds: float) -> float:
        self.now += seconds
        return 2 * seconds


class Twice:
    """Has the work's result without the clock, which only this process can turn."""

    def __init__(self) -> None:
        self.items: list[float] = []

    def __call__(self, function: Any, shared: Any, items: Sequence[Any], /) -> list[Any]:
        self.items += items
        return [2 * item for item in items]


# --- When work leaves


@pytest.mark.parametrize(
    ("items", "stay"),
    [
        ([], 0),
        ([1 / 64] * 20, 20),
        ([1 / 64] * 1000, 7),
        ([0.05] * 18, 18),
        ([3.0], 1),
        ([3.0, 3.0], 1),
        ([0.001] * 50 + [1.0] * 50, 51),
    ],
    ids=["none", "0.3 s", "16 s", "0.9 s", "one", "two long ones", "late"],
)
def test_what_takes_long_leaves_after_a_trial(
    monkeypatch: pytest.MonkeyPatch, items: Sequence[float], stay: int
) -> None:
    clock, way = Clock(monkeypatch), Twice()
    with mapped_by(way):
        assert map_if_large(clock.work, None, items) == [2 * seconds for seconds in items]
    assert way.items == list(items[stay:])


def test_costs_say_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [0.1, 0.1, 2.0]
    for costs, left in ((None, []), ([1.0, 1.0, 20.0], [0.1, 2.0])):
        clock, way = Clock(monkeypatch), Twice()
        with mapped_by(way):
            assert map_if_large(clock.work, None, items, costs) == [0.2, 0.2, 4.0]
        assert way.items == left


def test_work_worth_less_than_sending_what_it_shares_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client((LayerWeights("a", "linear", (RoleArray("weight", np.zeros(2**18)),)),))
    for per_byte, left in ((1e-9, 99), (1.0, 0)):
        monkeypatch.setattr(parallel, "LARGE_S_PER_BYTE", per_byte)
        clock, way = Clock(monkeypatch), Twice()
        with mapped_by(way):
            map_if_large(clock.work, {"of": (client, None)}, [0.1] * 100)
        assert len(way.items) == left


@pytest.mark.parametrize(
    ("array", "leaves"),
    [
        (np.zeros((4, 5)), True),
        (np.zeros((4, 5)).T, True),
        (np.zeros((4, 5))[:, ::2], False),
        (np.broadcast_to(np.zeros(5), (4, 5)), False),
    ],
    ids=["rows", "columns", "slice", "repeated"],
)
def test_arrays_that_would_arrive_in_another_layout_stay(
    monkeypatch: pytest.MonkeyPatch, array: np.ndarray, leaves: bool
) -> None:
    clock, way = Clock(monkeypatch), Twice()
    with mapped_by(way):
        map_if_large(clock.work, [array], [0.1] * 100)
    assert bool(way.items) is leaves
    arrived = cloudpickle.loads(cloudpickle.dumps(array))
    assert (arrived.strides == array.strides) is leaves


@pytest.mark.usefixtures("forced")
def test_a_way_holds_for_its_block_only() -> None:
    way = Away()
    with pytest.raises(RuntimeError, match="out"), mapped_by(way):
        assert map_if_large(lambda shared, item: shared + item, 1, [1, 2]) == [2, 3]
        raise RuntimeError("out")
    assert way.items == [1, 2]
    assert map_if_large(lambda shared, item: shared + item, 1, [3]) == [4]
    assert way.items == [1, 2]


# --- What reaches the metrics


class Squares(Metric):
    """Uses the run's workers, one way or the other."""

    facts = (Facts("squares", "1", 0.0, math.inf, "neutral", "own definition"),)

    def server(self, view: ServerView) -> Measurement:
        """Return a value for every way."""
        mine = view.parallel_map(pow, 3, [2])
        return Measurement([Record("squares", float(value)) for value in mine + map_if_large(pow, 2, [5, 6])])


class Interrupted(Metric):
    """Is asked to stop in the middle."""

    def server(self, view: ServerView) -> Measurement:
        """Raise."""
        raise Stopped


@pytest.mark.usefixtures("forced")
def test_server_halves_have_the_runs_way() -> None:
    way, view = Away(), server_view(network(), WEIGHTS, dict.fromkeys(WEIGHTS, 1))
    for parallel_map, items in ((map_here, []), (way, [2, 5, 6])):
        rows, _ = measure_server({"squares": Squares(["all"])}, replace(view, parallel_map=parallel_map), {}, 1)
        assert [row.value for row in rows if isinstance(row, Record)] == [9.0, 32.0, 64.0]
        assert way.items == items


@pytest.mark.parametrize("on_error", ["record", "raise"])
def test_a_signal_is_no_missing_value(on_error: str) -> None:
    view = server_view(network(), WEIGHTS, dict.fromkeys(WEIGHTS, 1))
    with pytest.raises(Stopped, match=r"^$"):
        measure_server({"interrupted": Interrupted(["all"])}, view, {}, 1, on_error)


# --- Distances


def layer(name: str, rng: np.random.Generator, units: int, inputs: int) -> LayerWeights:
    weight = rng.standard_normal((units, inputs)).astype(np.float32)
    bias = rng.standard_normal(units).astype(np.float32)
    return LayerWeights(name, "linear", (RoleArray("weight", weight), RoleArray("bias", bias)))


def activation(name: str, rng: np.random.Generator, examples: int, units: int) -> LayerWeights:
    return representation_layer(name, "linear", rng.standard_normal((examples, units)).astype(np.float32))


def clients(count: int = 5, make: Callable[..., LayerWeights] = layer) -> list[Client]:
    def model(seed: int) -> Model:
        rng = np.random.default_rng(seed)
        return make("a", rng, 30, 17), make("b", rng, 30, 7)

    return [Client(model(k), model(100 + k)) for k in range(count)]


class Sum(LayerMetric):
    """Compares layers of any shapes."""

    needs_equal_shapes = False

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return float(a.vector().sum() - 2 * b.vector().sum())


def everything(metric: ClientMatrixMetric) -> list[bytes]:
    """Return all that a metric finds between clients."""
    some = clients(make=activation if isinstance(metric, RepresentationMetric) else layer)
    found, models = [metric.client_distance_matrix(some)], [client.model for client in some]
    if isinstance(metric, ModelMatrixMetric):
        found.append(metric.model_distance_matrix(models))
    if isinstance(metric, LayerMetric):
        found += [metric.layer_distances(models), metric.layer_distance_matrix(models[0], models[1])]
    return [matrix.tobytes() for matrix in found]


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("metric", built_in_metrics(), ids=lambda metric: metric.name)
def test_every_distance_is_the_same_bits_away(metric: ClientMatrixMetric) -> None:
    here, way = everything(metric), Away()
    with mapped_by(way):
        assert everything(metric) == here
    # EDC has no pairs.
    assert way.items or metric.name == "edc_dst"


@pytest.mark.usefixtures("forced")
def test_layers_of_every_place_are_compared_away(away: Away) -> None:
    metric = Sum("sum")
    a, b = clients(2)
    found = metric.layer_distance_matrix(a.model, b.model)
    assert away.items == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert found.tolist() == [[metric._layer_distance(mine, other) for other in b.model] for mine in a.model]


@pytest.mark.usefixtures("forced")
def test_only_undeclared_cells_are_sent(away: Away) -> None:
    metric = Sum("sum", symmetric=False, zero_self=False, pairwise=True)
    models = [client.model for client in clients(3)]
    found = metric.layer_distances(models)
    assert away.items == list(np.ndindex(2, 3, 3))
    for place, i, j in away.items:
        assert found[place, i, j] == metric._layer_distance(models[i][place], models[j][place])
    away.items.clear()
    metric.symmetric = metric.zero_self = True
    found = metric.layer_distances(models)
    assert away.items == [(place, i, j) for place in range(2) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert not found.diagonal(axis1=1, axis2=2).any() and (found == found.transpose(0, 2, 1)).all()


@pytest.mark.usefixtures("forced")
def test_assigned_functions_and_local_classes_travel(away: Away) -> None:
    factor = 3.0

    class Scaled(ModelMetric):
        def _model_distance(self, a: Model, b: Model) -> float:
            return factor * float(np.abs(vector_of(a) - vector_of(b)).sum())

    assigned = ModelMetric("assigned", preprocessing_steps=[NoBiasStep()])
    assigned._model_distance = lambda a, b: factor * float(np.abs(vector_of(a) - vector_of(b)).sum())  # type: ignore[method-assign]
    own = Scaled("own", preprocessing_steps=[NoBiasStep()])
    found = assigned.client_distance_matrix(clients())
    assert len(away.items) == 10 and found.any()
    assert own.client_distance_matrix(clients()).tobytes() == found.tobytes()


@pytest.mark.usefixtures("forced")
def test_every_parts_product_is_work_of_its_own(away: Away) -> None:
    parts = [np.random.default_rng(size).standard_normal((6, size)) for size in (5000, 3, 0, 40)]
    found = pairwise_by_gram(parts)
    assert away.items == [0, 1, 2, 3]
    with mapped_by(map_here):
        here = pairwise_by_gram(parts)
    assert found.l2().tobytes() == here.l2().tobytes() and found.cosine().tobytes() == here.cosine().tobytes()
