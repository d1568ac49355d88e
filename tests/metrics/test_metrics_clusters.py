"""Clusters of clients in a federation: planted ones are found, none where there are none, and what is told of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples
from torch import Tensor, nn

import fedlayers
from fedlayers.core.records import Pair, Record
from metrics.base import Measurement, ServerView
from metrics.client_clusters import ClientClusters
from metrics.client_distances import Distances
from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.louvain import Louvain
from tests.support.metric_views import (
    arrived,
    assert_in_range,
    client_view,
    network,
    server_view,
    some_rows,
    weights_of,
    with_sent,
)

pytestmark = pytest.mark.usefixtures("device")

GROUPS = {0: 1, 2: 0, 3: 1, 5: 0, 6: 2, 7: 2, 8: 1, 9: 0, 11: 2}
BEFORE = weights_of(network(1))


def moved(directions: Mapping[int, int], noise: float) -> dict[int, dict[str, Tensor]]:
    """Return clients whose updates have their group's direction, and some noise."""
    groups = {group: arrived(weights_of(network(50 + group))) for group in set(directions.values())}
    found = {}
    for client, group in directions.items():
        own = arrived(weights_of(network(100 + client)))
        found[client] = {name: BEFORE[name] + groups[group][name] + noise * own[name] for name in BEFORE}
    return found


def view_of(noise: float = 0.3, groups: Mapping[int, int] = GROUPS, **changes: Any) -> ServerView:
    view = server_view(network(), moved(groups, noise), dict.fromkeys(groups, 1))
    return replace(view, **{"before": BEFORE, "planted": groups, **changes})


def rows_of(found: Measurement, metric: str, of_clients: bool = False) -> list[Record]:
    rows = [row for row in found.rows if isinstance(row, Record) and row.metric == metric]
    return [row for row in rows if (row.client is not None) == of_clients]


@pytest.mark.parametrize("method", [None, Agglomerative(number=3), Louvain()], ids=["rule", "given", "louvain"])
def test_planted_groups_are_found(method: Any) -> None:
    metric = ClientClusters(method=method, resamples=20)
    found = metric.server(view_of())
    assert_in_range(metric, [row for row in found.rows if not isinstance(row, Pair)])
    (number,) = rows_of(found, "clusters")
    assert (number.value, number.n) == (3, 9)
    assert rows_of(found, "adjusted_rand_index")[0].value == rows_of(found, "purity")[0].value == 1
    labels = {row.client: row.value for row in rows_of(found, "cluster", of_clients=True)}
    assert labels == {client: {1: 0, 0: 1, 2: 2}[group] for client, group in GROUPS.items()}
    assert [row.value for row in rows_of(found, "cluster_size")] == [3, 3, 3]
    stability = rows_of(found, "cluster_stability")
    assert len(stability) == 3 and all(row.value > 0.6 and row.stderr is not None for row in stability)


def test_distances_and_silhouettes_are_those_of_the_updates() -> None:
    found = ClientClusters(resamples=0).server(view_of())
    clients = sorted(GROUPS)
    vectors = [
        torch.cat([(moved(GROUPS, 0.3)[client][name] - BEFORE[name]).flatten() for name in BEFORE]).double().numpy()
        for client in clients
    ]
    cosine = np.array([[1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors])
    pairs = {(row.client, row.other): row.value for row in found.rows if isinstance(row, Pair)}
    assert len(pairs) == 36
    for (a, b), value in pairs.items():
        assert b is not None and a is not None
        assert value == pytest.approx(cosine[clients.index(a), clients.index(b)], abs=1e-6)
    np.fill_diagonal(cosine, 0)
    expected = silhouette_samples(cosine, [GROUPS[client] for client in clients], metric="precomputed")
    assert [r.value for r in rows_of(found, "silhouette", of_clients=True)] == pytest.approx(list(expected), abs=1e-5)
    assert found.kept["distances"] == pytest.approx(cosine, abs=1e-6)
    assert not rows_of(found, "cluster_stability")


def test_clients_without_groups_are_one_cluster_and_its_quality_is_missing() -> None:
    alone = dict.fromkeys(GROUPS, 0)
    found = ClientClusters(resamples=5).server(view_of(noise=1.0, groups=alone))
    (number,) = rows_of(found, "clusters")
    assert number.value == 1 and number.p is not None and number.p > 0.05
    for metric in ("silhouette", "embeddedness", "intra_similarity"):
        (row,) = rows_of(found, metric)
        assert (row.status, row.reason) == ("missing", "all clients are in one cluster")
    (agreement,) = rows_of(found, "adjusted_rand_index")
    assert agreement.reason == "both partitions are one cluster, or both leave every client alone"


def test_weights_instead_of_updates_and_another_distance() -> None:
    metric = ClientClusters("trusted_dst", of="weights", resamples=0)
    found = metric.server(view_of())
    assert {row.variant for row in found.rows if isinstance(row, Record)} == {"trusted_dst of weights"}
    matrix = found.kept["distances"]
    assert matrix == pytest.approx(matrix.T)


def test_without_planted_groups_nothing_is_compared() -> None:
    found = ClientClusters(resamples=0).server(view_of(planted={}))
    assert not rows_of(found, "purity")


def test_a_diverged_client_leaves_no_clusters_but_a_reason() -> None:
    weights = moved(GROUPS, 0.3)
    weights[5] = {name: tensor * np.nan for name, tensor in weights[5].items()}
    (row,) = ClientClusters().server(view_of(weights=weights)).rows
    assert isinstance(row, Record)
    assert row.status == "missing" and row.reason and "not finite" in row.reason


def on_probe(metric: ClientClusters, noise: float = 0.3, **changes: Any) -> ServerView:
    """Return clients whose networks have their group's weights, and some noise, with what they send."""
    weights, sent = moved(GROUPS, noise), {}
    for client, own in weights.items():
        module = network()
        module.load_state_dict(own)
        view = replace(client_view(module, {}), probe=some_rows(60, seed=5))
        sent[client] = metric.client(view)
    return replace(with_sent(view_of(noise, weights=weights), sent), **changes)


def test_planted_groups_are_found_by_what_clients_compute() -> None:
    metric = ClientClusters("mean-cka_distance", resamples=5)
    assert metric.uses_probe and not ClientClusters().uses_probe
    found = metric.server(on_probe(metric))
    assert_in_range(metric, found.rows)
    assert rows_of(found, "adjusted_rand_index")[0].value == 1
    address = {(row.variant, row.scope) for row in found.rows if isinstance(row, Record)}
    assert address == {("mean-cka_distance of representations, pooled", "probe")}
    assert {row.n for row in found.rows if isinstance(row, Pair)} == {60}
    distances = Distances(["mean-cka_distance"], relations=["clients"]).server(on_probe(metric)).kept
    assert found.kept["distances"] == pytest.approx(distances["mean-cka_distance"], rel=1e-12)
    # There are no updates of representations.
    again = ClientClusters("mean-cka_distance", of="weights", resamples=5).server(on_probe(metric))
    assert (again.kept["distances"] == found.kept["distances"]).all()


def test_a_client_without_representations_leaves_no_clusters_but_a_reason() -> None:
    metric = ClientClusters("cka_distance")
    view = on_probe(metric)
    ((name, shared),) = view.shared.items()
    nothing = {client: sent for client, sent in shared.items() if client != 5}
    (row,) = metric.server(replace(view, shared={name: nothing}, cache={})).rows
    assert isinstance(row, Record) and (row.metric, row.scope) == ("clusters", "probe")
    assert row.reason == (
        "a distance between clients is missing, 0 and 5: layer 0: there is no output of it on the probe"
    )
    both = ClientClusters("mean&full-cka_distance", positions="samples")
    convolution = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.Flatten(), nn.Linear(12, 4)).eval()
    sent = both.client(replace(client_view(convolution, {}), probe=some_rows(60)))
    odd = with_sent(server_view(convolution, {}, {0: 1, 1: 1}), {0: sent, 1: sent})
    (row,) = both.server(odd).rows
    assert isinstance(row, Record)
    assert row.reason == "a distance between clients is missing: layers that belong to it cannot be compared"
    (row,) = metric.server(replace(view, shared={}, cache={})).rows
    assert isinstance(row, Record) and row.reason == "no client sent representations of the probe at round 1"


def test_a_small_probe_is_remarked_where_there_is_one() -> None:
    view = replace(client_view(network(), {}), probe=some_rows(20))
    assert ClientClusters().remarks(view) == [] and not ClientClusters().client(view).shared
    assert "the probe has 20 examples" in ClientClusters("cka_distance").remarks(view)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "all"}, "positions must be one of pooled, flattened, samples, got 'all'"),
        ({"distance": "fb-cka_distance"}, "metric name 'fb-cka_distance' has 'fb', but representations have no biases"),
        ({"distance": "nearness"}, "there is no metric 'nearness'"),
        ({"of": "hopes"}, "of must be one of updates, weights, got 'hopes'"),
        ({"resamples": -1}, "resamples must be 0 or more, got -1"),
        ({"moments": ["final"]}, r"moments must be after_local, when .* got 'final'"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClientClusters(**arguments)


def test_a_run_finds_the_groups_that_the_data_were_planted_with(quick_run: Callable[..., Path]) -> None:
    run = quick_run("metrics=[clusters]", "plant.kind=rotation", "clients=12", "examples_per_client=100", "rounds=1")
    tables = fedlayers.read(run)
    whole = tables.records[tables.records.client.isna()].set_index("metric").value
    assert whole["clusters"] == 4
    assert whole["adjusted_rand_index"] == 1
    assert (tables.pairs.metric == "cluster_distance").sum() == 66
