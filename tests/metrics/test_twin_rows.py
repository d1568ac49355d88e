"""A value that two metrics measure stands once in the tables, as the one says it that knows more."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest

from fedlayers.core.records import Pair, Record, Resource, Row, missing
from metrics.answers.twin_rows import without_twins
from metrics.base import Metric
from metrics.client_distances import Distances
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.shape import ShapeMetric
from metrics.measure import measure_clients, measure_server
from metrics.similarity import Similarity
from tests.support.metric_views import client_view, network, server_view, some_rows, weights_of

pytestmark = pytest.mark.usefixtures("device")

BARE = Pair("gap", 0.5, client=0, other=1, n=60)
RICH = replace(BARE, value=0.5 + 1e-7, stderr=0.1)
NONE = replace(missing("gap", "not today"), client=0)


@pytest.mark.parametrize(
    ("rows", "stays"),
    [
        ([[BARE], [RICH]], [RICH]),
        ([[RICH], [BARE]], [RICH]),
        ([[BARE], [BARE], [RICH]], [RICH]),
        ([[BARE], [replace(BARE, value=math.nan, status="missing", reason="no")]], [BARE]),
        ([[NONE], [replace(NONE)]], [NONE]),
        # Of another pair, with another value, of the same metric, times.
        ([[BARE], [replace(RICH, other=2)]], [BARE, replace(RICH, other=2)]),
        ([[BARE], [replace(RICH, value=0.6)]], [BARE, replace(RICH, value=0.6)]),
        ([[BARE, BARE]], [BARE, BARE]),
        ([[Resource("gap", 1.0, "s")], [Resource("gap", 1.0, "s")]], [Resource("gap", 1.0, "s")] * 2),
    ],
)
def test_the_row_that_says_more_stays(rows: list[list[Row]], stays: list[Row]) -> None:
    found = without_twins(rows)
    assert [repr(row) for row in found] == [repr(row) for row in stays]


def test_a_distance_that_is_measured_as_a_similarity_too_is_there_once() -> None:
    comparisons = {"cka": CKA(), "biased": CKA("biased"), "procrustes": Procrustes(), "shape_0": ShapeMetric(0.0)}
    relations = ["clients", "received"]
    names = ["cka_distance", "cka_biased_distance", "procrustes_distance", "shape_0_distance", "rsa_distance"]
    metrics: dict[str, Metric] = {
        "distances": Distances(names, relations=relations),
        "similarity": Similarity(comparisons, relations=relations),
    }
    views = {k: replace(client_view(network(k), {}), probe=some_rows(60, seed=5)) for k in range(3)}
    sent = {client: measure_clients(metrics, view, 1, "raise")[1] for client, view in views.items()}
    (name,) = sent[0].shared
    view = server_view(network(), {k: weights_of(network(k)) for k in views}, dict.fromkeys(views, 1))
    view = replace(view, shared={name: {k: one.shared[name] for k, one in sent.items()}})
    view.global_views = {"received": lambda: replace(client_view(network(7), {}), probe=some_rows(60, seed=5))}
    rows, _ = measure_server(metrics, view, {}, 1, "raise")
    pairs = [row for row in rows if isinstance(row, Pair)]
    counts = Counter((row.metric, row.variant, row.subject, row.layer, row.client, row.other) for row in pairs)
    assert max(counts.values()) == 1
    layers, estimators = ("0", "2", "3"), ("debiased, pooled", "biased, pooled")
    for estimator, layer, (a, b) in itertools.product(estimators, layers, itertools.combinations(views, 2)):
        assert counts["cka_distance", estimator, "clients", layer, a, b] == 1
    known = {(row.metric, row.layer is None) for row in pairs if row.chance is None and row.metric != "rsa_distance"}
    # Of layers there are the similarity's rows, with chance; whole models have distances alone.
    assert known == {(row, True) for row in ("cka_distance", "procrustes_distance", "shape_distance")}


def test_a_layer_without_output_is_missing_once() -> None:
    broken = network(1)
    broken.get_parameter("3.bias").data.fill_(math.nan)
    metrics: dict[str, Metric] = {"d": Distances(["cka_distance"]), "s": Similarity({"cka": CKA()})}
    rows, _ = measure_clients(metrics, replace(client_view(broken, {}), probe=some_rows(60)), 1)
    names = [(row.metric, row.layer) for row in rows if isinstance(row, Record)]
    assert sorted(names) == [("cka", "3"), ("cka_distance", "3")]
