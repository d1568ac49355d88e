"""Where disagreement and shifts come from: classes, tiers, groups of clients, and the depth of the network."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.config.compose import compose_config
from fedlayers.execution.stand_alone_runs.alone import stand_alone_runs
from metrics.base import Measurement
from metrics.heterogeneity.metric import Heterogeneity
from metrics.shift.records import LabelledRecords
from metrics.shift.verdict import shift_verdicts
from tests.support.metric_views import (
    Rows,
    assert_in_range,
    client_view,
    network,
    server_view,
    some_rows,
    value_of,
    with_sent,
)


class Kept:
    """Stand-alone models that are at hand, the same one for every client."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def weights(self, client: int) -> Mapping[str, Tensor]:
        return self.model.state_dict()


def with_models(own: nn.Module, second: nn.Module | None = None) -> Heterogeneity:
    metric = Heterogeneity(records=100)
    metric.models = {"standalone": Kept(own)}
    if second is not None:
        metric.models["second"] = Kept(second)
    return metric


def measured(metric: Heterogeneity, rows: Rows, client: int = 0) -> Measurement:
    view = replace(client_view(network(), {"client_train": rows}, "after_aggregate"), client=client)
    return metric.client(view)


def blobs(seed: int, n: int = 200, exchanged: bool = False) -> Rows:
    """Return records around a centre for each of four classes, by option with the labels of 1 and 3 exchanged."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=random)
    features = 3 * torch.eye(4, 6)[labels] + torch.randn(n, 6, generator=random)
    return Rows(features, torch.tensor([0, 3, 2, 1])[labels] if exchanged else labels)


def test_classes_and_tiers_have_the_means_of_their_examples() -> None:
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor([50, 30, 15, 5]))
    rows = Rows(some_rows(100).features, labels)
    found = measured(with_models(network(5), network(6)), rows).rows
    with torch.no_grad():
        own, second, common = (network(seed)(rows.features).argmax(1) for seed in (5, 6, 0))
    hard, null = (own != common).double(), (own != second).double()
    for label, name in enumerate("abcd"):
        row = value_of(found, "disagreement_by_class", subject=name)
        assert row.value == pytest.approx(float(hard[labels == label].mean())) and row.n == int((labels == label).sum())
        assert row.chance == pytest.approx(float(null[labels == label].mean()))
    # Thirds of the classes by their counts: 50 is head, 30 and 15 medium, 5 tail.
    medium = value_of(found, "disagreement_by_tier", subject="medium", variant="own_percentile")
    assert medium.n == 45 and medium.value == pytest.approx(float(hard[(labels == 1) | (labels == 2)].mean()))
    assert_in_range(with_models(network()), found)


def broken(layer: str) -> nn.Module:
    """Return the common network with a layer that puts out nothing."""
    module = copy.deepcopy(network())
    module.get_submodule(layer).weight.data.zero_()  # type: ignore[operator]
    return module


@pytest.mark.parametrize(("layer", "place"), [("0", 0), ("2", 1), ("3", 2)])
def test_models_part_at_the_layer_that_is_broken_in_one_of_them(layer: str, place: int) -> None:
    own = broken(layer)
    found = measured(with_models(own, own), blobs(0)).rows
    assert value_of(found, "parting_layer").value == place
    values = [value_of(found, "disagreement_by_layer", layer=name) for name in ("0", "2", "3")]
    assert all(row.value == 0 for row in values[:place]) and all(row.value > 0.02 for row in values[place:])
    assert all(row.chance == 0 for row in values)


def test_models_that_do_not_differ_part_nowhere_and_few_records_say_nothing() -> None:
    found = measured(with_models(network(), network(3)), blobs(0)).rows
    assert "no layer part more than those of two seeds" in str(value_of(found, "parting_layer").reason)
    alone = measured(with_models(network(3)), blobs(0)).rows
    assert "metrics.heterogeneity.second=trained" in str(value_of(alone, "parting_layer").reason)
    assert value_of(alone, "disagreement_by_layer", layer="2").chance is None
    few = measured(with_models(network(3)), blobs(0, 10)).rows
    assert value_of(few, "parting_layer").reason == "20 examples or more are needed, got 10"


def test_groups_of_clients_have_the_share_of_all_their_examples_and_a_verdict() -> None:
    metric, own = with_models(network(5)), network(5)
    rows = {client: blobs(client, 100 + client, exchanged=client < 2) for client in range(6)}
    sent = {client: measured(metric, of_client, client) for client, of_client in rows.items()}
    view = server_view(network(), {}, {client: len(own) for client, own in rows.items()}, moment="after_aggregate")
    groups = {client: int(client < 2) for client in rows}
    found = metric.server(replace(with_sent(view, sent), planted=groups, clusters={0: 0, 1: 0, 2: 1})).rows
    with torch.no_grad():
        hard = {
            c: (own(one.features).argmax(1) != network()(one.features).argmax(1)).double() for c, one in rows.items()
        }
    odd = value_of(found, "disagreement_by_group", subject="planted group 1")
    assert odd.value == pytest.approx(float(torch.cat([hard[0], hard[1]]).mean())) and odd.n == 201
    assert value_of(found, "disagreement_by_group", subject="cluster 1").value == pytest.approx(float(hard[2].mean()))
    unknown = metric.server(replace(with_sent(view, sent), planted=groups)).rows
    reason = value_of(unknown, "disagreement_by_group", subject="cluster").reason
    assert "metrics=[clusters,heterogeneity]" in str(reason) and "metrics.clusters.rounds" in str(reason)
    tier = value_of(found, "disagreement_by_tier", client=3, subject="head", variant="percentile")
    assert tier.n is not None and tier.n < len(rows[3])
    assert value_of(found, "group_shift_named", subject="planted group 1", variant="concept").value == 1
    # Of two groups either differs from the other, and the larger one is not the odd one.
    larger = value_of(found, "shift_by_group", subject="planted group 0", variant="concept")
    assert larger.reason == "it is most of all examples: the others differ from it"
    assert value_of(found, "shift_by_group", subject="planted group 1", variant="label").value < 0.2
    assert_in_range(metric, found)


def test_the_classes_of_which_labels_were_exchanged_stand_out() -> None:
    metric = Heterogeneity(records=200)
    sent = {client: measured(metric, blobs(client, exchanged=client == 0), client) for client in range(6)}
    view = server_view(network(), {}, dict.fromkeys(range(6), 200), moment="after_aggregate")
    found = metric.server(with_sent(view, sent)).rows
    assert value_of(found, "shift_named", client=0, subject="concept").value == 1
    parts = [
        value_of(found, "shift_by_class", client=0, subject=name, variant="concept").value for name in ("a", "b", "c")
    ]
    assert parts[1] > 0.5 > 0.1 > max(parts[0], parts[2])
    clients = {c: LabelledRecords(m.payload["features"].astype(float), m.payload["labels"]) for c, m in sent.items()}
    verdict = shift_verdicts(clients, 4, seed=view.seed)[0]
    assert verdict.classes("concept") == (1, 3)
    assert "(concept shift, most in b and d, p = 0.0" in verdict.told("abcd") and "most in" not in verdict.sentence


def test_what_classes_add_to_other_proportions_is_their_distance() -> None:
    labels = {client: np.repeat(np.arange(3), [60, 20, 20] if client == 0 else [30, 40, 30]) for client in range(4)}
    random = np.random.default_rng(0)
    clients = {c: LabelledRecords.of(random.normal(size=(100, 2)), own) for c, own in labels.items()}
    found = shift_verdicts(clients, 3)[0]
    parts = [found.tests["label"].classes[label].effect for label in range(3)]
    assert parts == pytest.approx([0.15, 0.1, 0.05]) and sum(parts) == pytest.approx(found.tests["label"].effect)


def test_a_second_run_is_wanted_with_another_seed_of_training_only() -> None:
    words = ["metrics=[evaluation,heterogeneity]", "metrics.heterogeneity.second=trained", "results_dir=/nonexistent"]
    config = compose_config([*words, "algorithm=fedavg"])
    first, second = stand_alone_runs(config)
    assert (first.training.seed, second.training.seed) == (None, 1) and second.seed == config.seed
    assert replace(second, training=first.training) == first
    assert not stand_alone_runs(compose_config([*words, "algorithm=local"]))


def test_another_seed_of_training_leaves_the_data(quick_run: Callable[..., Path]) -> None:
    runs = [quick_run("rounds=1", *words) for words in ([], ["training.seed=0"], ["training.seed=3"])]
    tables = [fedlayers.read(run) for run in runs]
    values = [one.records["value"].to_numpy() for one in tables]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    columns = ["client", "scope", "label", "examples"]
    assert tables[0].partition[columns].equals(tables[2].partition[columns])
