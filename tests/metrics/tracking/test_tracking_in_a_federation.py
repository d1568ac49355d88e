"""Classes and attention as metrics of a federation: the trackers' functions, rows of each client and round."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record, Row, Spectrum
from fedlayers.figures.training.attention import attention_figures
from fedlayers.objectives.binary_cross_entropy import BinaryCrossEntropy
from metrics.class_performance.federated import ClassPerformance, groups_of
from metrics.class_performance.tiers import threshold_tiers
from metrics.training_dynamics.attention.federated import AttentionStatistics
from tests.support.metric_views import Rows, assert_in_range, client_view, network, server_view, some_rows, weights_of


def records_of(rows: Iterable[Row]) -> list[Record]:
    return [row for row in rows if isinstance(row, Record)]


def test_classes_have_the_scores_of_scikit_learn_and_tiers_by_own_counts() -> None:
    model, train, test = network(), some_rows(300, classes=3), some_rows(80, seed=1, classes=3)
    metric = ClassPerformance()
    found = metric.client(client_view(model, {"client_train": train, "client_test": test}))
    assert_in_range(metric, [row for row in records_of(found.rows) if row.metric.startswith(("class_f1", "tier_"))])
    with torch.no_grad():
        predicted = model(test.features).argmax(1)
    expected = f1_score(test.labels, predicted, average=None, labels=[0, 1, 2])
    rows = {row.subject: row for row in records_of(found.rows) if row.metric == "class_f1"}
    assert [rows[name].value for name in "abc"] == pytest.approx(expected.tolist())
    assert rows["d"].status == "missing" and rows["d"].reason == "no example of the class"
    schemes = {row.variant for row in records_of(found.rows) if row.metric == "tier_f1"}
    assert schemes == {"classes, own_percentile", "classes, own_threshold"}
    assert found.payload["counts"].tolist() == torch.bincount(train.labels, minlength=4).tolist()


def test_tiers_by_everybodys_counts_are_made_on_the_server() -> None:
    model, metric = network(), ClassPerformance()
    parts = {k: some_rows(60 * (k + 1), seed=k, classes=k + 2) for k in (0, 1)}
    views = {k: client_view(model, {"client_train": part, "client_test": part}) for k, part in parts.items()}
    payloads = {k: metric.client(view).payload for k, view in views.items()}
    weights = {k: weights_of(model) for k in parts}
    view = replace(server_view(model, weights, {0: 60, 1: 120}), payloads=payloads)
    rows = metric.server(view).rows
    total = sum(payload["counts"] for payload in payloads.values())
    tiers = threshold_tiers(dict(zip("abcd", np.asarray(total).tolist(), strict=True)))
    by_client = {(row.client, row.subject, row.variant) for row in records_of(rows) if row.metric == "tier_f1"}
    assert {subject for client, subject, variant in by_client if variant == "classes, threshold"} == set(tiers.values())
    assert {client for client, _, _ in by_client} == {0, 1}
    assert metric.server(replace(view, payloads={})).rows == []


def test_label_sets_have_a_variant_for_each_group() -> None:
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    rows = Rows(features, (features[:, :4] > 0).long())
    view = replace(
        client_view(network(), {"client_train": rows, "client_test": rows}),
        label_groups=("warm", "warm", "cold", "cold"),
        objective=BinaryCrossEntropy(),
    )
    found = ClassPerformance().client(view).rows
    assert {(row.variant, row.subject) for row in records_of(found) if row.metric == "class_f1"} == {
        ("warm", "a"), ("warm", "b"), ("cold", "c"), ("cold", "d"),
    }  # fmt: skip
    assert groups_of("abc", ()) == {"classes": [0, 1, 2]}


def test_attention_needs_a_model_that_attends_and_a_probe() -> None:
    metric = AttentionStatistics()
    with pytest.raises(
        UserError, match=r"metrics\.attention needs a model that attends, .* got Sequential; leave attention"
    ):
        metric.check_model(network())
    with pytest.raises(ValueError, match="there is no probe to measure attention on"):
        metric.client(client_view(network(), {}))
    with pytest.raises(ValueError, match="no module of the model shows attention weights"):
        metric.client(replace(client_view(network(), {}), probe=some_rows(9)))
    with pytest.raises(ValueError, match="examples must be 1 or more, got 0"):
        AttentionStatistics(examples=0)
    with pytest.raises(ValueError, match=r"splits must be one or more of train, val, test, got \['all'\]"):
        ClassPerformance(splits=["all"])


def test_attention_is_that_of_the_module_and_leaves_no_hooks() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    probe = Rows(torch.randn(5, 3, 6), torch.zeros(5, dtype=torch.long))
    metric = AttentionStatistics(examples=4)
    metric.check_model(model)
    rows = metric.client(replace(client_view(model, {}), probe=probe)).rows
    assert_in_range(metric, rows)
    x = probe.features[:4]
    _, weights = model.self_attn(x, x, x, average_attn_weights=False)
    expected = -(weights * weights.log()).sum(-1).mean((0, 2))
    entropy = {row.subject: row.value for row in records_of(rows) if row.metric == "attention_entropy"}
    assert [entropy["head 0"], entropy["head 1"]] == pytest.approx(expected.tolist(), abs=1e-6)
    assert not any(part._forward_hooks for part in model.modules())
    curves = [row for row in rows if isinstance(row, Spectrum)]
    first = {(row.subject, row.variant): row.y for row in curves if row.metric == "attention_weights"}
    for head in (0, 1):
        shown = [first[f"head {head}", f"query {query:04d}"] for query in range(3)]
        np.testing.assert_allclose(shown, weights[0, head].detach(), atol=1e-6)
    # One layer: half of it is the place itself.
    together = [row.y for row in curves if row.metric == "attention_rollout"]
    np.testing.assert_allclose(together, (weights[0].mean(0).detach() + torch.eye(3)) / 2, atol=1e-6)


def test_large_maps_are_kept_in_blocks() -> None:
    model = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    probe = Rows(torch.randn(2, 9, 6), torch.zeros(2, dtype=torch.long))
    rows = AttentionStatistics(places=4).client(replace(client_view(model, {}), probe=probe)).rows
    maps = [row for row in rows if isinstance(row, Spectrum) and row.metric == "attention_weights"]
    assert len(maps) == 2 * 4 and {len(row.y) for row in maps} == {4}
    assert [sum(row.y) for row in maps] == pytest.approx([1] * 8)


@pytest.mark.slow
def test_a_federation_measures_both_without_code(quick_run: Callable[..., Path]) -> None:
    tables = fedlayers.read(
        quick_run("metrics=[evaluation,classes,attention]", "model=vision_transformer", "clients=2", "rounds=1")
    )
    records = tables.records
    classes = records[(records["metric"] == "class_f1") & (records["moment"] == "after_local")]
    assert set(classes["client"]) == {0, 1} and classes["subject"].nunique() == 10
    tiers = records[records["metric"] == "tier_recall"]
    assert {"classes, percentile", "classes, own_threshold"} <= set(tiers["variant"].dropna())
    figures = attention_figures(tables)
    assert {name.rpartition("_")[0] for name in figures if "blocks.0" in name} == {
        "attention_map_e1", "attention_heads_e1", "attention_evolution",
    }  # fmt: skip
    [image] = figures["attention_map_e1_blocks.0.attention"]().axes[0].images
    # The server's, of the last moment, not those of all models one below the other.
    assert image.get_array().shape == (4, 4)
    heads = records[records["metric"] == "attention_entropy"]
    assert (heads["value"] >= 0).all() and heads["layer"].notna().all() and set(heads["moment"]) >= {"after_local"}
    assert not records[records["metric"].str.startswith(("class_", "attention_"))]["reason"].str.contains("Error").any()
