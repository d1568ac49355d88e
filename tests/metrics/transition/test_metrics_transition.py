"""The metric that looks for a transition: what clients send, what the server makes of it, and what it refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedlayers.core.records import Record, Row
from metrics.base import Measurement, ServerView
from metrics.curvature import Curvature
from metrics.sensitivity import Sensitivity
from metrics.transition.metric import LayerTransition
from tests.support.metric_views import Rows, assert_in_range, client_view, network, server_view, some_rows, with_sent

Values = dict[tuple[str, int | None, str | None, str | None], Record]


def deep(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)]
        return nn.Sequential(*layers).eval()


def view_of_all(module: nn.Module, sent: Mapping[int, Measurement]) -> ServerView:
    view = server_view(module, {}, dict.fromkeys(sent, 100))
    return with_sent(view, sent)


def values(rows: Sequence[Row]) -> Values:
    return {(row.metric, row.client, row.layer, row.variant): row for row in rows if isinstance(row, Record)}


def planted(scores: Sequence[float], batches: int = 8, seed: int = 0) -> Measurement:
    noise = np.random.default_rng(seed).lognormal(0, 0.2, (len(scores), batches))
    return Measurement([], {"sensitivity": np.array(scores)[:, None] * noise})


def test_profiles_are_those_of_the_metrics_themselves() -> None:
    module, rows = network(), some_rows(60)
    view = client_view(module, {"client_train": rows})
    metric = LayerTransition(batches=5, batch_examples=12, resamples=100)
    found = values(metric.server(view_of_all(module, {0: metric.client(view)})).rows)
    known = values(Sensitivity(batches=5, batch_examples=12).client(view).rows)
    for layer in ("0", "3"):
        rise, cumulative = (
            found["layer_rise", 0, layer, "sensitivity"],
            known["sensitivity_cumulative", None, layer, None],
        )
        assert rise.value == pytest.approx((cumulative.value - 1) / 0.15) and rise.n == 5
    # What normalises is no place for a transition.
    assert ("layer_rise", 0, "2", "sensitivity") not in found


def test_curvature_is_the_trace_per_parameter() -> None:
    module, one = network(), some_rows(1)
    same = Rows(one.features.expand(400, -1), one.labels.expand(400))
    view = client_view(module, {"client_train": same})
    sent = LayerTransition(["curvature"], batches=200, batch_examples=2).client(view).payload["curvature"]
    known = values(Curvature(batch_examples=1, density_runs=0).client(view).rows)
    for place, layer in enumerate(("0", "3")):
        row = next(row for key, row in known.items() if key[0] == "hessian_trace_per_parameter" and key[2] == layer)
        assert sent[place].mean() == pytest.approx(row.value, abs=4 * sent[place].std() / 200**0.5)


def test_gradients_are_those_of_the_batches() -> None:
    module, rows = network(), some_rows(24)
    view = client_view(module, {"client_train": rows})
    found = LayerTransition(["gradients"], batches=2, batch_examples=12).client(view).payload["gradients"]
    assert found.shape == (2, 2, 1024)
    loss = nn.functional.cross_entropy(module(rows.features), rows.labels)
    first = [tensor for name, tensor in module.named_parameters() if name.startswith("0.")]
    whole = torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, first)])
    assert found[0].mean(0)[: len(whole)] == pytest.approx(whole.numpy(), abs=1e-6)
    assert not found[0, :, len(whole) :].any()


def test_a_planted_transition_is_told_for_every_client_and_for_all() -> None:
    module = deep()
    sent = {client: planted([1.0, 0.01, 0.02, 5.0], seed=client) for client in range(4)}
    sent[4] = planted([1.0, 0.01, 3.0, 5.0], seed=4)
    rows = LayerTransition().server(view_of_all(module, sent)).rows
    assert_in_range(LayerTransition(), rows)
    found = values(rows)
    chosen = {client: found["transition", client, layer, "sensitivity"] for client, layer in ((0, "3"), (4, "2"))}
    assert chosen[0].value == 3 and chosen[4].value == 2 and chosen[0].owner == "client"
    common = found["transition", None, "3", "sensitivity"]
    assert (common.value, common.layer_index, common.n) == (3, 3, 5)
    assert found["transition_agreement", None, None, "sensitivity"].value == 0.8
    # Three of five resampled clients may be the one that differs.
    assert found["transition_low", None, "3", "sensitivity"].value == 2
    assert found["transition_high", None, "3", "sensitivity"].value == 3
    assert 0.85 < found["transition_confidence", None, "3", "sensitivity"].value < 1


def test_none_is_missing_with_its_reason_and_clients_agree_on_it() -> None:
    sent = {client: planted([1.0, 1.0, 2.0, 4.0], seed=client) for client in range(3)}
    sent[3] = Measurement()
    found = values(LayerTransition().server(view_of_all(deep(), sent)).rows)
    common = found["transition", None, None, "sensitivity"]
    assert common.status == "missing" and "the profile rises from the start" in str(common.reason)
    assert found["transition_agreement", None, None, "sensitivity"].value == 1
    assert found["transition", 3, None, "sensitivity"].reason == "it cannot fill two batches"
    alone = values(LayerTransition().server(view_of_all(deep(), {0: Measurement()})).rows)
    assert alone["transition", None, None, "sensitivity"].reason == "it cannot fill two batches"


def test_one_client_is_all_there_is_to_hear() -> None:
    found = values(LayerTransition().server(view_of_all(deep(), {2: planted([1.0, 0.0, 0.0, 9.0])})).rows)
    assert found["transition", None, "3", "sensitivity"].value == found["transition", 2, "3", "sensitivity"].value == 3


def test_four_measures_and_what_most_of_them_say() -> None:
    measures = ["sensitivity", "curvature", "gradients", "similarity"]
    metric = LayerTransition(measures, batches=4, batch_examples=10, resamples=100)
    probe = some_rows(64, seed=9)
    modules = [deep(seed) for seed in range(3)]
    sent = {
        client: metric.client(replace(client_view(module, {"client_train": some_rows(40, seed=client)}), probe=probe))
        for client, module in enumerate(modules)
    }
    rows = metric.server(view_of_all(modules[0], sent)).rows
    assert_in_range(metric, rows)
    rises = [row for row in rows if isinstance(row, Record) and row.metric == "layer_rise" and row.client == 1]
    assert {(row.variant, row.scope) for row in rises} == {
        ("sensitivity", "client_train"), ("curvature", "client_train"), ("gradients", "client_train"),
        ("similarity", "probe"), ("combined", None),
    }  # fmt: skip
    last: dict[Any, float] = {row.variant: row.value for row in rises if row.layer == "4"}
    combined = last.pop("combined")
    assert combined == sorted(last.values())[1]
    again = metric.server(view_of_all(modules[0], sent)).rows
    assert again == rows


@pytest.mark.parametrize("measure", ["gradients", "similarity"])
def test_what_compares_clients_needs_two(measure: str) -> None:
    metric = LayerTransition([measure], batch_examples=10)
    view = replace(client_view(deep(), {"client_train": some_rows(40)}), probe=some_rows(64, seed=9))
    found = values(metric.server(view_of_all(deep(), {0: metric.client(view)})).rows)
    assert found["transition", None, None, measure].reason == "a single client has no other to compare with"


def test_a_small_probe_is_told() -> None:
    metric = LayerTransition(["similarity"])
    views = [replace(client_view(deep(seed), {}), probe=some_rows(20, seed=9)) for seed in range(2)]
    found = values(metric.server(view_of_all(deep(), dict(enumerate(map(metric.client, views))))).rows)
    assert "20 probe examples do not fill two blocks of 16" in str(found["transition", 1, None, "similarity"].reason)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"measures": []}, "measures must be a list of one or more of sensitivity, curvature, gradients, similarity"),
        ({"measures": "sensitivity"}, "measures must be a list of one or more"),
        ({"measures": ["drift"]}, r"similarity, got \['drift'\]"),
        (
            {"thresholds": {"drift": 2}},
            "thresholds must be of sensitivity, curvature, gradients, similarity, got 'drift'",
        ),
        ({"thresholds": {"sensitivity": 1}}, r"thresholds.sensitivity must be a number of more than 1, got 1"),
        (
            {"measures": ["gradients"], "thresholds": {"gradients": 2}},
            "must be a number of more than 0 and at most 1, got 2",
        ),
        ({"scope": "probe"}, "scope must be client_train, client_val or client_test, got 'probe'"),
        ({"batches": 1}, "batches must be 2 or more, got 1"),
        ({"batch_examples": 0}, "batch_examples must be 1 or more, got 0"),
        ({"resamples": 10}, "resamples must be 100 or more, got 10"),
        ({"error_rate": 0.5}, r"error_rate must be in \(0, 0.5\), got 0.5"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LayerTransition(**arguments)
