"""Names of metrics, what they stand for, and the set that makes variants of them."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import ClientMetric, LayerMatrixMetric, LayerMetric, ModelMetric
from metrics.distances.families.aggregation import AGGREGATIONS, aggregated
from metrics.distances.metric_set import MetricSet
from metrics.distances.names import Argument, MetricName, parse_name
from metrics.distances.steps.elementary import Flatten2DStep, NoBiasStep, WeightBiasFusion2DStep
from metrics.distances.weights.participant import Model
from tests.support.distance_metrics import check_contract, small_clients

NO_BIAS, FUSION, FLAT = NoBiasStep(), WeightBiasFusion2DStep(), Flatten2DStep()


def built_in() -> MetricSet:
    return MetricSet(built_in_metrics())


def layer_metric(metrics: MetricSet, name: str) -> LayerMetric:
    metric = metrics.get_metric(name)
    assert isinstance(metric, LayerMetric)
    return metric


# --- Grammar


@pytest.mark.parametrize(
    "name, expected",
    [
        ("l2_dst", MetricName((), "l2_dst")),
        ("l0.5_dst", MetricName((), "l0.5_dst")),
        ("nb-l2_dst", MetricName((Argument("nb"),), "l2_dst")),
        ("sum&diag-l2_dst", MetricName((Argument("sum", ("diag",)),), "l2_dst")),
        ("nb-mean&full-fb-x", MetricName((Argument("nb"), Argument("mean", ("full",)), Argument("fb")), "x")),
    ],
)
def test_names_are_taken_apart(name: str, expected: MetricName) -> None:
    assert parse_name(name) == expected
    assert "-".join([*map(str, expected.arguments), expected.base]) == name


@pytest.mark.parametrize(
    "name, message",
    [
        ("", r"metric name '' has an empty part"),
        ("-l2_dst", r"metric name '-l2_dst' has an empty part"),
        ("nb--l2_dst", r"'nb--l2_dst' has an empty part: parts are joined by single '-'"),
        ("nb-", r"'nb-' has an empty part"),
        ("&diag-l2_dst", r"'&diag-l2_dst' has the unknown argument ''; known: nb, fb, sum"),
        ("men-l2_dst", r"'men-l2_dst' has the unknown argument 'men'; did you mean 'mean'\? known: nb, fb, sum"),
        ("zzz-l2_dst", r"the unknown argument 'zzz'; known: nb, fb, sum, mean, mean_squared, mean_sqroot, product$"),
        ("Mean-l2_dst", r"the unknown argument 'Mean'; did you mean 'mean'"),
        ("mean&dia-l2_dst", r"'mean&dia-l2_dst' has the unknown flag 'dia'; did you mean 'diag'\? known: diag, full"),
        ("mean&-l2_dst", r"has the unknown flag ''; known: diag, full"),
        ("nb&diag-l2_dst", r"'nb&diag-l2_dst' has flags on 'nb', only aggregations have flags"),
        ("fb&full-l2_dst", r"has flags on 'fb', only aggregations"),
        ("l2_dst&diag", r"'l2_dst&diag' has flags on 'l2_dst', only aggregations have flags"),
        ("mean&diag&full-l2_dst", r"has several flags on 'mean'; leave one of diag, full"),
        ("mean&diag&diag-l2_dst", r"has several flags on 'mean'"),
        ("nb-nb-l2_dst", r"'nb-nb-l2_dst' has 'nb' twice in a row; leave one"),
        ("fb-fb-l2_dst", r"has 'fb' twice in a row"),
        ("mean-mean&diag-l2_dst", r"has 'mean' twice in a row"),
    ],
)
def test_what_is_no_name_is_refused_with_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_name(name)
    metrics = built_in()
    with pytest.raises(ValueError, match=message):
        metrics.get_metric(name)
    assert len(metrics) == len(built_in_metrics())


# --- Variants


@pytest.mark.parametrize(
    "name, steps",
    [
        ("nb-cosine_dst", [NO_BIAS]),
        ("fb-cosine_dst", [FUSION]),
        ("fb-trusted_dst", [FUSION]),
        ("nb-fb-cosine_dst", [NO_BIAS, FUSION]),
        ("nb-mean-fb-cosine_dst", [NO_BIAS, FUSION]),
        ("mean-nb-cosine_dst", [NO_BIAS]),
        ("nb-procrustes_dst", [NO_BIAS, FUSION]),
        ("fb-procrustes_dst", [FUSION]),  # begins with it already
        ("nb-fb-procrustes_dst", [NO_BIAS, FUSION]),
        ("nb-mean-nb-cosine_dst", [NO_BIAS]),
        ("nb-flat", [NO_BIAS, FLAT]),
        ("fb-flat", [FUSION, FLAT]),
    ],
)
def test_steps_are_put_first_the_innermost_before_the_others(name: str, steps: list[Any]) -> None:
    metrics = built_in()
    metrics.add(ModelMetric("flat", preprocessing_steps=[FLAT]))
    assert metrics.get_metric(name).preprocessing_steps == steps


def test_fusing_before_dropping_is_refused() -> None:
    # The fused biases would no longer be found, and a name with nb would not say what it is.
    for name in ("fb-nb-l2_dst", "fb-sum-nb-l2_dst", "fb-nb-procrustes_dst"):
        with pytest.raises(ValueError, match=rf"metric name '{name}' fuses biases before 'nb' can drop them"):
            built_in().get_metric(name)


def test_a_variant_without_biases_gives_what_models_without_biases_give() -> None:
    metrics, clients = built_in(), small_clients(4)
    bare = NO_BIAS(clients)
    for name in ("l2_dst", "model_l2_dst", "trusted_dst", "edc_dst", "procrustes_dst"):
        found = metrics.get_metric(f"nb-{name}").client_distance_matrix(clients)
        assert found == pytest.approx(metrics.get_metric(name).client_distance_matrix(bare), abs=1e-15)
        assert not np.allclose(found, metrics.get_metric(name).client_distance_matrix(clients))
    # Where the bias is dropped does not matter to the aggregation.
    both = [metrics.get_metric(name).client_distance_matrix(clients) for name in ("mean-nb-l2_dst", "nb-mean-l2_dst")]
    assert (both[0] == both[1]).all()


@pytest.mark.parametrize("flag, pairwise", [("", True), ("&diag", True), ("&full", False)])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_aggregations_and_their_flags(aggregation: str, flag: str, pairwise: bool) -> None:
    metrics, clients = built_in(), small_clients(3)
    metric = layer_metric(metrics, f"{aggregation}{flag}-l2_dst")
    assert (metric.aggregation, metric.pairwise) == (aggregation, pairwise)
    found = metric.client_distance_matrix(clients)
    for i, j in itertools.combinations(range(3), 2):
        cells = metric.layer_distance_matrix(clients[i].model, clients[j].model)
        assert np.isfinite(cells).sum() == (4 if pairwise else 6)
        assert found[i, j] == pytest.approx(aggregated(cells, aggregation), rel=1e-12)
    check_contract(metric, clients)


def test_the_outermost_aggregation_counts() -> None:
    metrics = built_in()
    assert layer_metric(metrics, "sum-mean&full-l2_dst").aggregation == "sum"
    assert not layer_metric(metrics, "sum-mean&full-l2_dst").pairwise
    assert layer_metric(metrics, "sum&diag-mean&full-l2_dst").pairwise


class OwnMatrix(LayerMetric):
    def _layer_distance_matrix(self, a: Model, b: Model) -> np.ndarray:
        return np.ones((len(a), len(b)))


@pytest.mark.parametrize(
    "name, message",
    [
        ("mean-trusted_dst", r"metric name 'mean-trusted_dst' has 'mean', but there are no layers to aggregate"),
        ("nb-sum-edc_dst", r"'sum-edc_dst' has 'sum', but there are no layers"),
        ("mean&diag-whole", r"'mean&diag-whole' has 'diag', but its layers are not compared pair by pair"),
        ("mean&diag-own", r"metric 'mean&diag-own' compares no pairs: it has a _layer_distance_matrix of its own"),
        ("mean-above", r"metric 'mean-above' aggregates no layers: it has a _model_distance of its own"),
        ("l2_dts", r"there is no metric 'l2_dts'; did you mean 'l2_dst'\? known: cosine_dst, "),
        ("nb-mean-l2_dts", r"there is no metric 'l2_dts' of 'nb-mean-l2_dts'; did you mean 'l2_dst'"),
        ("???", r"there is no metric '\?\?\?'; known: cosine_dst, model_cosine_dst, "),
    ],
)
def test_what_does_not_apply_is_refused_and_nothing_is_added(name: str, message: str) -> None:
    metrics = built_in()
    above = LayerMetric("above")
    vars(above)["_model_distance"] = lambda a, b: 0.0
    for metric in (LayerMatrixMetric("whole"), OwnMatrix("own"), above):
        metrics.add(metric)
    before = metrics.names
    with pytest.raises(ValueError, match=message):
        metrics.get_metric(name)
    assert metrics.names == before
    assert isinstance(metrics.get_metric("mean-whole"), LayerMatrixMetric)
    assert isinstance(metrics.get_metric("mean-own"), LayerMetric)


def test_assigned_functions_live_on_in_variants() -> None:
    metric = LayerMetric("size", pairwise=True)
    vars(metric)["_layer_distance"] = lambda a, b: float(np.abs(a.vector()).sum())
    a, b = small_clients(2)
    variant = MetricSet([metric]).get_metric("sum-size")
    assert isinstance(variant, LayerMetric)
    assert variant.client_distance(a, b) == pytest.approx(4 * metric.client_distance(a, b))


# --- The set


def test_a_metric_is_made_once_and_what_it_is_made_from_stays() -> None:
    metrics, clients = built_in(), small_clients(3)
    base = layer_metric(metrics, "l2_dst")
    before = base.client_distance_matrix(clients)
    variant = layer_metric(metrics, "nb-sum&full-l2_dst")
    assert metrics.get_metric("nb-sum&full-l2_dst") is variant and variant.name == "nb-sum&full-l2_dst"
    assert metrics.get_metric("l2_dst") is base
    assert (base.name, base.preprocessing_steps, base.aggregation, base.pairwise) == ("l2_dst", [], "mean", True)
    assert (base.client_distance_matrix(clients) == before).all()
    # The metric on the way is kept, too, without the outer argument.
    between = metrics.get_metric("sum&full-l2_dst")
    assert not between.preprocessing_steps and metrics.names[-2:] == ("sum&full-l2_dst", "nb-sum&full-l2_dst")


def test_a_set_is_gone_through_in_order_also_while_it_grows() -> None:
    metrics = MetricSet([ClientMetric("one"), ModelMetric("two")])
    assert len(metrics) == 2 and metrics.names == ("one", "two")
    assert "one" in metrics and "nb-one" not in metrics and 1 not in metrics
    for metric in metrics:
        metrics.get_metric(f"nb-{metric.name}")
    assert [metric.name for metric in metrics] == ["one", "two", "nb-one", "nb-two"]


@pytest.mark.parametrize("name", ["", "l2-dst", "l2&dst", "-", "&"])
def test_names_that_could_not_be_read_back_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"must not be empty nor hold '-' or '&', which build variants, got '{name}'"):
        MetricSet([ClientMetric(name)])


def test_a_name_is_given_once() -> None:
    metrics = MetricSet([ClientMetric("one")])
    with pytest.raises(ValueError, match="there is a metric of the name 'one' already"):
        metrics.add(ModelMetric("one"))
    assert not isinstance(metrics.get_metric("one"), ModelMetric)


def test_chosen_metrics_are_a_set_of_the_same_metrics() -> None:
    metrics = built_in()
    names: Sequence[str] = ("nb-sum-l2_dst", "cosine_dst", "trusted_dst")
    chosen = metrics.get_metrics(names)
    assert chosen.names == names and chosen.default is metrics.default
    assert all(chosen.get_metric(name) is metrics.get_metric(name) for name in names)
    # What a chosen variant was made from is not needed for the next one.
    assert chosen.get_metric("mean-nb-sum-l2_dst").preprocessing_steps == [NO_BIAS]
    assert metrics.get_metrics([]).names == ()
    with pytest.raises(ValueError, match="there is no metric 'l2'"):
        metrics.get_metrics(["cosine_dst", "l2"])
    with pytest.raises(ValueError, match="metric 'cosine_dst' is named twice; leave one"):
        metrics.get_metrics(["cosine_dst", "l2_dst", "cosine_dst"])


def test_the_default_is_relative_trust_unless_another_is_asked_for() -> None:
    assert built_in().default.name == "trusted_dst"
    assert MetricSet(built_in_metrics(), default="nb-l2_dst").default.name == "nb-l2_dst"
    with pytest.raises(ValueError, match="there is no metric 'trusted_dst'; known: one"):
        MetricSet([ClientMetric("one")]).default
