"""Names that distances of representations had: understood where distances are chosen and where runs are read."""

import pytest

from fedlayers.core.quantities import RENAMED, Quantities, told
from metrics.client_clusters import ClientClusters
from metrics.client_distances import Distances
from metrics.compare.measures.cka import CKA
from metrics.distances.built_in import built_in_metrics
from metrics.distances.metric_set import MetricSet
from metrics.distances.representations import RepresentationMetric

OF_REPRESENTATIONS = {one.name: one for one in built_in_metrics() if isinstance(one, RepresentationMetric)}


def test_every_distance_of_representations_is_named_after_its_comparison() -> None:
    for now in RENAMED.values():
        metric = OF_REPRESENTATIONS[now.name]
        assert metric.quantity == now.quantity
        assert now.estimator == metric.variant.split(", ")[0] or not now.estimator
        stated = {fact.name: fact for fact in metric.comparison.facts}
        # Where the comparison reports the very quantity, its facts count, and else its name is kept.
        assert stated.get(metric.quantity, metric.facts) == metric.facts
        assert metric.quantity in stated or metric.quantity == f"{metric.comparison.facts[0].name}_distance"


@pytest.mark.parametrize("old", RENAMED)
@pytest.mark.parametrize("before", ["", "sum-", "mean&full-"])
def test_old_names_are_understood_with_what_stands_before_them(old: str, before: str) -> None:
    metrics = MetricSet(built_in_metrics())
    assert metrics.get_metric(f"{before}{old}") is metrics.get_metric(f"{before}{RENAMED[old].name}")
    assert list(Distances([f"{before}{old}"]).metrics) == [f"{before}{RENAMED[old].name}"]
    assert ClientClusters(f"{before}{old}").metric.name == f"{before}{RENAMED[old].name}"


def test_a_name_and_its_old_one_are_the_same_distance() -> None:
    with pytest.raises(ValueError, match="metric 'sum-cka_distance' is named twice; leave one"):
        Distances(["sum-cka_distance", "l2_dst", "sum-cka_dst"])
    # One's own may be called so.
    own = {"cka_dst": RepresentationMetric("cka_dst", CKA("biased"))}
    assert Distances(["cka_dst"], own=own).metrics == own


def test_rows_of_before_are_read_like_those_of_now() -> None:
    stated = Quantities.of(Distances(["cka_biased_distance"]).facts)
    assert stated["cka_biased_dst"].unit == stated["cka_distance"].unit == "rad"
    assert stated["rsa_dst"].unit == ""


def test_old_names_are_told_once() -> None:
    assert told(["l2_dst", "cka_distance", "mine"]) == []
    assert told(["mean-shape_0_dst", "sum-shape_0_dst", "rsa_dst"]) == [
        "the distance shape_0_dst is called shape_0_distance now, and its rows in the tables shape_distance, alpha=0",
        "the distance rsa_dst is called rsa_distance now, and its rows in the tables rsa_distance",
    ]
