"""Distances between representations in a federation: what travels, rows, missing values, agreement with similarity."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.records import Pair, Record, Row
from fedlayers.measuring.probe import probe_for
from metrics.base import ClientView, Measurement, ServerView
from metrics.client_distances import Distances
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.rsa import RSA
from metrics.distances.representations import RepresentationMetric
from metrics.distances.steps.preprocessing import PreprocessingStep
from metrics.distances.weights.participant import Client
from metrics.similarity import Similarity
from tests.support.metric_views import (
    assert_in_range,
    client_view,
    network,
    server_view,
    some_rows,
    weights_of,
    with_sent,
)

pytestmark = pytest.mark.usefixtures("device")

PROBE = some_rows(60, seed=5)
LAYERS = ("0", "2", "3")
SEEDS = {2: 1, 5: 2, 7: 3}


def view_of(module: nn.Module, **changes: Any) -> ClientView:
    return replace(client_view(module, {}), probe=PROBE, **changes)


def sent_by(metric: Distances | Similarity, **changes: Any) -> dict[int, Measurement]:
    return {client: metric.client(view_of(network(seed), **changes)) for client, seed in SEEDS.items()}


def server(sent: Mapping[int, Measurement], **changes: Any) -> ServerView:
    weights = {client: weights_of(network(seed)) for client, seed in SEEDS.items()}
    view = server_view(network(), weights, dict.fromkeys(SEEDS, 1))
    views = {name: lambda seed=seed: view_of(network(seed)) for name, seed in (("received", 8), ("aggregated", 9))}
    return with_sent(replace(view, **{"global_views": views, **changes}), sent)


def rows_of(metric: Distances, **changes: Any) -> list[Row]:
    return metric.server(server(sent_by(metric), **changes)).rows


def pairs_of(rows: Sequence[Row], **columns: object) -> dict[tuple[Any, ...], Pair]:
    chosen = [row for row in rows if all(getattr(row, key) == value for key, value in columns.items())]
    return {(r.client, r.other, r.layer, r.other_layer): r for r in chosen if isinstance(r, Pair)}


def output(seed: int, layer: str) -> Tensor:
    module, value = network(seed).cpu(), PROBE.features
    for name, part in module.named_children():
        value = part(value)
        if name == layer:
            break
    return value.detach()


def angle(a: tuple[int, str], b: tuple[int, str]) -> float:
    return float(CKA().compare([output(*a), output(*b)], [(0, 1)], 0, 0)[1].value[0])


def test_clients_and_global_models_layer_by_layer() -> None:
    metric = Distances(["cka_distance"])
    rows = rows_of(metric)
    found = pairs_of(rows, subject="clients", variant="debiased, pooled")
    assert found.keys() == {(a, b, x, x) for a, b in itertools.combinations(SEEDS, 2) for x in LAYERS}
    for (a, b, layer, _), row in found.items():
        assert row.value == pytest.approx(angle((SEEDS[a], layer), (SEEDS[b], layer)), rel=1e-5)
        assert (row.metric, row.scope, row.n, row.owner) == ("cka_distance", "probe", 60, "client")
    for relation, seed in (("received", 8), ("aggregated", 9)):
        found = pairs_of(rows, subject=relation, variant="debiased, pooled")
        assert found.keys() == {(client, None, x, x) for client in SEEDS for x in LAYERS}
        for (client, _, layer, _), row in found.items():
            assert row.value == pytest.approx(angle((SEEDS[client], layer), (seed, layer)), rel=1e-5)
    assert_in_range(metric, rows)


def test_layers_are_as_far_apart_as_similarity_says() -> None:
    similarity, metric = Similarity({"cka": CKA()}), Distances(["cka_distance"])
    (one,), (other,) = (sent_by(measure)[2].shared.values() for measure in (similarity, metric))
    assert one.keys() == other.keys()
    alike = similarity.server(server(sent_by(similarity))).rows
    rows = rows_of(metric)
    for relation in ("clients", "received", "aggregated"):
        expected = pairs_of(alike, subject=relation, metric="cka_distance")
        found = pairs_of(rows, subject=relation, variant="debiased, pooled")
        assert found.keys() == expected.keys()
        assert [found[key].value for key in expected] == pytest.approx([e.value for e in expected.values()], rel=1e-6)


def test_whole_models_by_the_aggregation_of_the_name() -> None:
    rows = rows_of(Distances(["cka_distance", "sum-cka_distance", "mean_squared&full-cka_distance", "l2_dst"]))
    cells = np.array([[angle((1, a), (2, b)) for b in LAYERS] for a in LAYERS])
    own = cells.diagonal()
    expected = {"mean": own.mean(), "sum": own.sum(), "mean_squared&full": (cells**2).mean()}
    for variant, value in expected.items():
        row = pairs_of(rows, subject="clients", variant=f"{variant}, debiased, pooled")[2, 5, None, None]
        assert row.value == pytest.approx(value, rel=1e-5)
    # Layers come once, whatever the aggregation; weights are compared beside them.
    assert len(pairs_of(rows, subject="clients", variant="debiased, pooled")) == 9
    weights = pairs_of(rows, metric="l2_dst")
    assert weights and {(row.scope, row.n) for row in weights.values()} == {(None, None)}


def test_every_layer_against_every_layer_of_the_received_model() -> None:
    views = {"received": lambda: view_of(network(1))}
    rows = rows_of(Distances(["procrustes_distance"], relations=["layers"]), global_views=views)
    found = pairs_of(rows, subject="layers")
    assert len(found) == len(rows) == 27
    assert {key for key, row in found.items() if row.value == 0} == {(2, None, x, x) for x in LAYERS}
    assert found[5, None, "0", "3"].variant == "pooled"


def test_matrices_are_kept_with_the_global_models_that_relations_name() -> None:
    kept = Distances(["cka_distance"]).server(server(sent_by(Distances(["cka_distance"])))).kept
    assert {name: array.shape for name, array in kept.items()} == {
        "cka_distance": (5, 5),
        "cka_distance/layers": (3, 5, 5),
    }
    alone = Distances(["cka_distance"], relations=["clients"])
    views = {name: lambda: pytest.fail("nobody asked for it") for name in ("received", "aggregated")}
    found = alone.server(server(sent_by(alone), global_views=views))
    assert found.kept["cka_distance"].shape == (3, 3) and len(found.rows) == 12


def test_without_a_global_model_clients_are_compared_alone() -> None:
    metric = Distances(["cka_distance"], relations=["clients", "received", "layers"])
    assert {row.subject for row in rows_of(metric, global_views={}) if isinstance(row, Pair)} == {"clients"}


def test_positions_are_those_asked_for() -> None:
    rows = rows_of(Distances(["cka_distance"], positions="flattened"))
    assert {row.variant for row in rows if isinstance(row, Pair)} == {
        "debiased, flattened",
        "mean, debiased, flattened",
    }


# --- What is not there


def test_weights_alone_need_no_probe() -> None:
    nothing: Any = None
    metric = Distances(["l2_dst"])
    assert not metric.uses_probe and metric.client(client_view(network(), {})) == Measurement()
    assert metric.remarks(view_of(network())) == []
    assert probe_for({"distances": metric}, nothing, nothing, nothing) is None
    on_probe = Distances(["l2_dst", "mean-cka_distance"])
    assert on_probe.uses_probe and not Distances.uses_probe
    assert "the probe has 20 examples" in on_probe.remarks(replace(view_of(network()), probe=some_rows(20)))[0]


def test_what_is_too_large_to_send_is_missing_and_so_is_the_model() -> None:
    metric = Distances(["cka_distance", "l2_dst"])
    sent = sent_by(metric, payload_limit_bytes=2**16 + 60 * 4 * 4)
    (payload,) = sent[2].shared.values()
    assert {name: array.shape for name, array in payload.items()} == {
        "examples": (1,), "layer/0": (0,), "layer/2": (0,), "layer/3": (60, 4),
    }  # fmt: skip
    rows = metric.server(server(sent)).rows
    reason = "needs whole activations, too large to send; lower probe.size or raise metrics.payload_mb"
    for row in pairs_of(rows, metric="cka_distance").values():
        assert (row.status == "missing") == (row.layer != "3")
        assert row.reason == {"3": None, None: f"layer 0: {reason}"}.get(row.layer, reason)
    assert {row.status for row in pairs_of(rows, metric="l2_dst").values()} == {"ok"}


def broken(seed: int) -> nn.Module:
    module = network(seed)
    module.get_parameter("3.bias").data.fill_(torch.nan)
    return module


def test_a_diverged_layer_is_missing_for_its_client_and_hides_no_other() -> None:
    metric = Distances(["cka_distance"])
    found = metric.client(view_of(broken(2)))
    (row,) = found.rows
    assert isinstance(row, Record)
    assert (row.metric, row.layer, row.scope, row.reason) == ("cka_distance", "3", "probe", "its output is not finite")
    rows = metric.server(server({**sent_by(metric), 5: found})).rows
    for pair in pairs_of(rows).values():
        assert (pair.status == "missing") == (5 in (pair.client, pair.other) and pair.layer in ("3", None))
    assert (
        pairs_of(rows, variant="mean, debiased, pooled")[2, 5, None, None].reason == "layer 3: its output is not finite"
    )
    assert_in_range(metric, rows)


def test_where_all_diverged_no_mean_over_the_other_layers_is_given() -> None:
    metric = Distances(["cka_distance"], relations=["clients"])
    sent = dict.fromkeys(SEEDS, metric.client(view_of(broken(2))))
    rows = metric.server(server(sent)).rows
    whole = pairs_of(rows, variant="mean, debiased, pooled")
    assert {row.reason for row in whole.values()} == {"layer 3: its output is not finite"}


class Twice(nn.Module):
    """A layer that runs twice a forward pass, so that it has no output of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.again, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.again(self.again(self.first(x)).tanh()))
        return found


def test_a_layer_that_never_has_an_output_is_left_out_by_all() -> None:
    metric = Distances(["cka_distance"], relations=["clients"])
    found = {client: metric.client(view_of(Twice(seed))) for client, seed in SEEDS.items()}
    assert [row.reason for row in found[2].rows if isinstance(row, Record)] == [
        "it runs 2 times a forward pass, once is needed"
    ]
    view = server_view(Twice(0), {}, dict.fromkeys(SEEDS, 1))
    rows = metric.server(with_sent(view, found)).rows
    layers = pairs_of(rows, variant="debiased, pooled")
    assert {row.layer for row in layers.values()} == {"first", "last"}
    whole = pairs_of(rows, variant="mean, debiased, pooled")[2, 5, None, None]
    assert whole.value == pytest.approx(np.mean([layers[2, 5, x, x].value for x in ("first", "last")]), rel=1e-12)


def test_clients_that_sent_nothing_are_missing() -> None:
    metric = Distances(["cka_distance"])
    sent = sent_by(metric)
    del sent[7]
    rows = metric.server(server(sent)).rows
    for row in pairs_of(rows).values():
        assert (row.status == "missing") == (7 in (row.client, row.other))
    assert pairs_of(rows)[2, 7, "0", "0"].reason == "there is no output of it on the probe"
    (nothing,) = metric.server(server({})).rows
    assert isinstance(nothing, Record)
    assert nothing.reason == "no client sent representations of the probe at round 1"


def test_layers_whose_positions_differ_are_missing_with_the_reason() -> None:
    metric = Distances(["cka_distance"], relations=["layers"], positions="samples")
    convolution = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.Flatten(), nn.Linear(12, 4)).eval()
    sent = dict.fromkeys(SEEDS, metric.client(view_of(convolution)))
    view = server_view(convolution, {}, dict.fromkeys(SEEDS, 1))
    view = with_sent(replace(view, global_views={"received": lambda: view_of(convolution)}), sent)
    found = pairs_of(metric.server(view).rows)
    assert found[2, None, "1", "1"].value == 0
    assert found[2, None, "1", "3"].reason == "the layers have 4 and 1 positions; compare them with positions=pooled"
    metric = Distances(["mean&full-cka_distance"], relations=["clients"], positions="samples")
    rows = metric.server(view).rows
    whole = pairs_of(rows, variant="mean&full, debiased, samples")
    assert {row.reason for row in whole.values()} == {"layers that belong to it cannot be compared"}


# --- Distances of one's own, a run


class Refuse(PreprocessingStep):
    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        raise ValueError("not today")


def test_measures_of_ones_own_may_have_steps_and_refuse() -> None:
    own = {
        "mine": RepresentationMetric("mine", RSA()),
        "never": RepresentationMetric("never", RSA(), preprocessing_steps=[Refuse()]),
    }
    rows = rows_of(Distances(["sum-mine", "rsa_distance", "never"], own=own, relations=["clients"]))
    mine, theirs = (
        pairs_of(rows, metric="mine", variant="debiased, pooled"),
        pairs_of(rows, metric="rsa_distance", variant="debiased, pooled"),
    )
    assert [row.value for row in mine.values()] == [row.value for row in theirs.values()]
    (refused,) = [row for row in rows if isinstance(row, Record) and row.metric == "never"]
    assert (refused.reason, refused.scope, math.isnan(refused.value)) == ("not today", "probe", True)


def test_a_mistake_is_told() -> None:
    with pytest.raises(ValueError, match="positions must be one of pooled, flattened, samples, got 'all'"):
        Distances(["cka_distance"], positions="all")
    with pytest.raises(ValueError, match="metric name 'nb-cka_distance' has 'nb', but representations have no biases"):
        Distances(["nb-cka_distance"])


def test_a_run_compares_representations_and_weights(quick_run: Callable[..., Path]) -> None:
    words = [
        "metrics=[distances,clusters]",
        "metrics.distances.names=[mean-cka_distance,l2_dst]",
        "metrics.clusters.distance=rsa_distance",
    ]
    run = quick_run(*words, "rounds=1")
    pairs = fedlayers.read(run).pairs
    assert (pairs.status == "ok").all()
    on_probe = pairs[pairs.metric == "cka_distance"]
    assert set(on_probe.scope) == {"probe"} and (on_probe.n > 3).all()
    assert set(on_probe.subject) == {"clients", "received", "aggregated"}
    assert set(pairs[pairs.metric == "cluster_distance"].variant) == {"rsa_distance of representations, pooled"}
