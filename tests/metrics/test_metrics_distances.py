"""Distances in a federation: relations, variants, missing values, own metrics, and a run of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.records import Pair, Record, Row
from metrics.base import ServerView
from metrics.client_distances import Distances
from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import ClientMatrixMetric, ClientMetric, LayerMetric
from metrics.distances.steps.align import AlignStep
from metrics.distances.weights.participant import Client, LayerWeights
from tests.support.metric_views import Rows, network, server_view, weights_of

pytestmark = pytest.mark.usefixtures("device")

BEFORE, AFTER = weights_of(network(8)), weights_of(network(9))
WEIGHTS = {client: weights_of(network(client)) for client in (2, 5, 7)}


def view_of(**changes: Any) -> ServerView:
    view = server_view(network(), WEIGHTS, dict.fromkeys(WEIGHTS, 1))
    views: Any = {"received": None, "aggregated": None}
    return replace(view, **{"before": BEFORE, "after": AFTER, "global_views": views, **changes})


def pairs_of(rows: Sequence[Row], **columns: object) -> dict[tuple[Any, ...], float]:
    """Return (client, other, layer, other layer) -> value of the rows with these columns."""
    chosen = [row for row in rows if all(getattr(row, key) == value for key, value in columns.items())]
    return {(r.client, r.other, r.layer, r.other_layer): r.value for r in chosen if isinstance(r, Pair)}


def layer_vector(weights: dict[str, Tensor], layer: str, bias: bool = True) -> np.ndarray:
    names = [f"{layer}.weight", *([f"{layer}.bias"] if bias else [])]
    return torch.cat([weights[name].flatten() for name in names]).double().numpy()


def norm(a: dict[str, Tensor], b: dict[str, Tensor], layer: str, bias: bool = True) -> float:
    return float(np.linalg.norm(layer_vector(a, layer, bias) - layer_vector(b, layer, bias)))


def test_clients_and_global_models_layer_by_layer() -> None:
    rows = Distances(["l2_dst"]).server(view_of()).rows
    layers = [layer.name for layer in view_of().layers]
    found = pairs_of(rows, subject="clients", variant=None)
    assert found.keys() == {(a, b, name, name) for a, b in ((2, 5), (2, 7), (5, 7)) for name in layers}
    for (a, b, layer, _), value in found.items():
        assert value == pytest.approx(norm(WEIGHTS[a], WEIGHTS[b], layer), rel=1e-9)
    for relation, model in (("received", BEFORE), ("aggregated", AFTER)):
        found = pairs_of(rows, subject=relation, variant=None)
        assert found.keys() == {(client, None, name, name) for client in WEIGHTS for name in layers}
        for (client, _, layer, _), value in found.items():
            assert value == pytest.approx(norm(WEIGHTS[client], model, layer), rel=1e-9)


def test_whole_models_by_the_aggregation_of_the_name() -> None:
    metric = Distances(["sum-l2_dst", "l2_dst", "mean_squared-nb-l2_dst"])
    rows = metric.server(view_of()).rows
    layers = [layer.name for layer in view_of().layers]
    each = np.array([norm(WEIGHTS[2], WEIGHTS[5], layer) for layer in layers])
    bare = np.array([norm(WEIGHTS[2], WEIGHTS[5], layer, bias=False) for layer in layers])
    expected = {"sum": each.sum(), "mean": each.mean(), "mean_squared-nb": (bare**2).mean()}
    for variant, value in expected.items():
        found = pairs_of(rows, subject="clients", variant=variant, metric="l2_dst")
        assert found[2, 5, None, None] == pytest.approx(value, rel=1e-9)
    # Aggregation does not concern layers: their rows come once, and once without biases.
    for steps, values in ((None, each), ("nb", bare)):
        found = pairs_of(rows, subject="clients", variant=steps)
        assert len(found) == 3 * len(layers)
        assert [found[2, 5, layer, layer] for layer in layers] == pytest.approx(list(values), rel=1e-9)


def test_a_distance_with_a_direction_has_both() -> None:
    rows = Distances(["trusted_dst", "symmetric_trusted_dst"]).server(view_of()).rows
    both = pairs_of(rows, subject="clients", metric="trusted_dst")
    assert len(both) == 6
    assert both[2, 5, None, None] != both[5, 2, None, None]
    assert len(pairs_of(rows, subject="clients", metric="symmetric_trusted_dst")) == 3
    assert len(pairs_of(rows, subject="received", metric="trusted_dst")) == 3


def test_distances_of_clients_alone_know_no_global_model() -> None:
    rows = Distances(["edc_dst"]).server(view_of()).rows
    assert {row.subject for row in rows if isinstance(row, Pair)} == {"clients"}
    assert len(rows) == 3


def test_every_layer_against_every_layer_with_a_true_diagonal() -> None:
    copies = dict.fromkeys(WEIGHTS, BEFORE)
    names = ["procrustes_dst", "l2_dst", "mean&full-l1_dst"]
    rows = Distances(names, relations=["layers"]).server(view_of(weights=copies)).rows
    layers = [layer.name for layer in view_of().layers]
    found = pairs_of(rows, metric="procrustes_dst", subject="layers")
    assert found.keys() == {(client, None, a, b) for client in WEIGHTS for a in layers for b in layers}
    for (_, _, a, b), value in found.items():
        assert (value < 1e-12) == (a == b)
    assert not pairs_of(rows, metric="l2_dst", subject="layers")
    assert pairs_of(rows, metric="l1_dst", subject="layers")[2, None, layers[0], layers[0]] == 0
    refused = [row for row in rows if isinstance(row, Pair) and row.status == "missing"]
    assert {row.reason for row in refused} == {"these weights cannot be compared: other shapes, or not finite"}


def test_a_diverged_client_is_missing_and_hides_no_other() -> None:
    broken = {**WEIGHTS, 5: {name: tensor * np.nan for name, tensor in WEIGHTS[5].items()}}
    rows = Distances().server(view_of(weights=broken)).rows
    for row in rows:
        assert isinstance(row, Pair)
        assert (row.status == "missing") == (5 in (row.client, row.other))


class Aligned(LayerMetric):
    """A distance whose preprocessing some networks refuse."""

    def __init__(self, name: str) -> None:
        super().__init__(name, preprocessing_steps=[AlignStep()], pairwise=True)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return float(np.abs(a.vector() - b.vector()).max())


class Residual(nn.Module):
    """Widths that do not fit one another in order of definition."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 4), nn.Linear(7, 5), nn.Linear(2, 2)


def test_weights_that_a_step_refuses_are_missing_with_the_reason() -> None:
    torch.manual_seed(0)
    model = Residual()
    view = server_view(model, {0: weights_of(model), 1: weights_of(Residual())}, {0: 1, 1: 1})
    metric = Distances(["aligned", "l2_dst"], own={"aligned": Aligned("aligned")})
    rows = metric.server(view).rows
    (refused,) = [row for row in rows if isinstance(row, Record) and row.status == "missing"]
    assert refused.metric == "aligned" and refused.reason
    assert pairs_of(rows, metric="l2_dst", subject="clients")


def test_a_distance_of_ones_own() -> None:
    class Count(ClientMetric):
        def _client_distance(self, a: Client, b: Client) -> float:
            assert a.gradient is not None
            return float(len(a.model))

    rows = Distances(["layers_dst"], own={"layers_dst": Count("layers_dst")}).server(view_of()).rows
    assert set(pairs_of(rows).values()) == {float(len(view_of().layers))}


def test_matrices_are_kept() -> None:
    kept = Distances(["l2_dst", "trusted_dst", "edc_dst"]).server(view_of()).kept
    layers = len(view_of().layers)
    assert {name: array.shape for name, array in kept.items()} == {
        "l2_dst": (5, 5), "l2_dst/layers": (layers, 5, 5), "trusted_dst": (5, 5), "edc_dst": (3, 3),
    }  # fmt: skip


def test_common_preprocessing_runs_once() -> None:
    metric = Distances(["nb-l2_dst", "nb-l1_dst", "nb-cosine_dst"])
    metric.server(view_of())
    assert metric.tree.steps_executed == 1
    assert Distances(["nb-l2_dst", "nb-l1_dst"], max_sets=0).tree.sets_kept == 1


def test_without_a_global_model_clients_are_compared_alone() -> None:
    given: Any = {"received": dict.fromkeys(WEIGHTS, "their own")}
    alone = view_of(global_views={}, has_global_model=False, given=given, models={"their own": BEFORE})
    rows = Distances(["l2_dst"]).server(alone).rows
    assert {row.subject for row in rows if isinstance(row, Pair)} == {"clients"}


def test_every_distance_of_the_package_says_how_its_values_are_read() -> None:
    metrics = {metric.quantity: metric for metric in built_in_metrics()}
    assert {fact.name for fact in Distances.facts} == metrics.keys()
    for fact in Distances.facts:
        assert fact.symmetric == metrics[fact.name].symmetric
        assert fact.reference != ClientMatrixMetric.reference
    found = {fact.name: (fact.unit, fact.high, fact.cost) for fact in Distances.facts}
    assert found["cosine_dst"] == ("1", 2.0, "cheap")
    assert found["model_l0.1_dst"] == ("1", math.inf, "cheap")
    assert found["edc_dst"] == ("1", math.sqrt(2), "cheap")
    assert found["wasserstein_dst"] == ("1", math.inf, "heavy")
    assert found["cka_distance"] == ("rad", math.pi, "pass")
    assert found["shape_distance"] == ("rad", math.pi / 2, "pass")
    assert found["svcca_distance"] == ("1", 1.0, "pass")


def test_a_metric_states_what_it_measures_a_distance_of_ones_own_included() -> None:
    own = Aligned("mine")
    stated = Distances(["nb-l2_dst", "l2_dst", "mine"], own={"mine": own}).facts
    assert [fact.name for fact in stated] == ["l2_dst", "mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["l4_dst"]}, r"there is no metric 'l4_dst'"),
        ({"names": []}, "names must hold one distance or more"),
        ({"relations": ["friends"]}, "relations must be some of clients, received, aggregated, layers, got 'friends'"),
        ({"moments": ["final"]}, "moments must be after_local, when .* got 'final'"),
        ({"own": {"mine": Aligned("other")}}, "own.mine must stand under the name .* 'other': write own.other"),
        ({"own": {"mine": 3}}, "own.mine must be a distance of metrics.distances.families, got int"),
        ({"own": {"mine": Aligned("mine")}}, r"names must ask for every distance in own, got .* without 'mine'.*: add"),
        ({"names": ["cka_distance"], "steps": [1]}, r"steps must be \[\] where no distance is one between weights"),
        ({"max_sets": -1}, "max_sets must be 0 or more"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Distances(**arguments)


def test_a_run_measures_distances(quick_run: Callable[..., Path]) -> None:
    run = quick_run("metrics=[distances]", 'metrics.distances.names=["sum&diag-l2_dst",model_cosine_dst]', "rounds=1")
    pairs = fedlayers.read(run).pairs
    assert set(pairs.metric.cat.categories) == {"l2_dst", "model_cosine_dst"}
    assert (pairs.status == "ok").all()
    assert (pairs.value > 0).all()
    models = pairs[(pairs.subject == "clients") & pairs.layer.isna()]
    assert len(models) == 2 * 6


def test_drift_after_every_local_epoch(quick_run: Callable[..., Path]) -> None:
    words = [
        'metrics.distances.names=["l2_dst",edc_dst,"sum-nb-l2_dst",model_l2_dst]',
        "metrics.distances.steps=[every epoch]",
    ]
    run = quick_run("metrics=[distances]", *words, "rounds=1", "training.epochs=2.5", "engine=local")
    records = fedlayers.read(run).records
    drift = records[records.step.notna()]
    assert records.subject.isna().all() and set(drift.moment) == {"after_local"}
    first, second = sorted(drift.step.unique())
    assert second == 2 * first
    assert (drift.status == "ok").all() and set(drift.metric) == {"l2_dst", "model_l2_dst"}
    whole = drift[drift.layer.isna() & (drift.metric == "model_l2_dst")].pivot_table(
        index="client", columns="step", values="value"
    )
    assert (whole[second] > whole[first]).all()
    layers = drift[(drift.metric == "l2_dst") & drift.layer.notna() & drift.variant.isna()]
    norms = layers.assign(square=layers.value**2).groupby(["step", "client"], observed=True).square.sum() ** 0.5
    assert norms[second].to_numpy() == pytest.approx(whole[second].to_numpy(), rel=1e-6)
    after_local = fedlayers.read(run).pairs.query("subject == 'received' and metric == 'model_l2_dst'")
    assert (after_local.set_index("client").value > whole[second]).all()


def some_rows_of(count: int) -> Rows:
    return Rows(torch.randn(count, 3), torch.arange(count) % 2)
