"""Clustered, CFL and IFCA: one step by hand, who is sent what, what the criteria say, what is refused."""

import itertools
import json
import logging
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.serverapp.strategy import FedAvg

from fedlayers.core.errors import UserError
from fedlayers.core.seeding import global_state
from fedlayers.flower.adapter import set_identity
from fedlayers.runs import strategy_state
from strategies.cfl import CFL, bipartition, inner_products, split
from strategies.cluster_models import ClusterModels
from strategies.clustered import Clustered, inherited, mixed, shares_of
from strategies.ifca import IFCA, shuffled
from tests.support.cluster_messages import Nodes, models_of, record, reply, send, step, values_of, weights

START = [1.0, 0.0, 0.0]
# Two clients go up and two go down; the first of each pair has three times the examples of the second.
FOUR = {1: ([1.0, 2.0, 0.0], 3), 2: ([1.0, 2.0, 4.0], 1), 3: ([1.0, -2.0, 0.0], 3), 4: ([1.0, -2.0, 4.0], 1)}
PAIRS = {1: 0, 2: 0, 3: 1, 4: 1}
MEANS = {0: [1.0, 2.0, 1.0], 1: [1.0, -2.0, 1.0]}


@pytest.fixture(autouse=True)
def identity() -> None:
    set_identity()


def clustered(**arguments: Any) -> Clustered:
    return Clustered(**{"method": "agglomerative", "number": 2, **arguments, **SAMPLING})


SAMPLING = {"min_train_nodes": 1, "min_available_nodes": 1, "min_evaluate_nodes": 1}
TWO_CLUSTERS: dict[str, Callable[[], ClusterModels]] = {
    "clustered": clustered,
    "cfl": lambda: CFL(eps1=3.0, eps2=1.0, gamma=0.5, **SAMPLING),
}


def four() -> list[Any]:
    return [reply(node, values, examples) for node, (values, examples) in FOUR.items()]


@pytest.mark.parametrize("name", TWO_CLUSTERS)
def test_a_step_by_hand(name: str) -> None:
    # Updates (±2, 0) of the big clients and (±2, 1/2) of the small ones: cosines 0.97 within and at most −0.88 across.
    strategy = TWO_CLUSTERS[name]()
    values = {**FOUR, 2: ([1.0, 2.0, 0.5], 1), 4: ([1.0, -2.0, 0.5], 1)}
    found = step(strategy, START, [reply(node, *what) for node, what in values.items()], nodes=4)
    assert strategy.clusters == PAIRS
    assert models_of(strategy) == {0: [1.0, 2.0, 0.125], 1: [1.0, -2.0, 0.125]}
    assert found == [1.0, 0.0, 0.125]


def with_two_clusters(**arguments: Any) -> Clustered:
    """Return a strategy after a round in which 1 and 2 became cluster 0, and 3 and 4 became cluster 1."""
    strategy = clustered(**{"every": 10, **arguments})
    strategy.clusters, strategy.named = dict(PAIRS), 2
    strategy.models = {cluster: weights(values) for cluster, values in MEANS.items()}
    return strategy


def test_every_client_is_sent_its_clusters_model_and_each_model_is_one_content() -> None:
    strategy = with_two_clusters()
    for contents in (
        send(strategy, START, nodes=5, server_round=2),
        {
            m.metadata.dst_node_id: m.content
            for m in strategy.configure_evaluate(2, record(START), ConfigRecord({}), Nodes(5))
        },
    ):
        sent = {node: values_of(content.array_records["arrays"]) for node, content in contents.items()}
        assert sent == {1: MEANS[0], 2: MEANS[0], 3: MEANS[1], 4: MEANS[1], 5: START}
        assert contents[1] is contents[2] and contents[3] is contents[4]
        assert all(content["config"]["server-round"] == 2 for content in contents.values())


@pytest.mark.parametrize("strategy", [with_two_clusters, IFCA], ids=["clustered", "ifca"])
def test_clients_are_sampled_as_in_flowers_fedavg(strategy: Callable[..., ClusterModels]) -> None:
    chosen = []
    for each in (
        strategy(fraction_train=0.5, fraction_evaluate=0.5),
        FedAvg(fraction_train=0.5, fraction_evaluate=0.5),
    ):
        with global_state(3, "sample", 1):
            first = list(each.configure_train(1, record(START), ConfigRecord({}), Nodes(9)))
        with global_state(3, "sample", 1):
            second = list(each.configure_evaluate(1, record(START), ConfigRecord({}), Nodes(9)))
        chosen += [[message.metadata.dst_node_id for message in messages] for messages in (first, second)]
    assert chosen[0] == chosen[1] == chosen[2] == chosen[3]
    assert len(chosen[0]) == 4


def test_a_client_that_did_not_train_keeps_its_cluster_and_a_cluster_without_training_its_model() -> None:
    strategy = with_two_clusters(every=1)
    found = step(strategy, START, [reply(1, [1.0, 5.0, 1.0]), reply(2, [1.0, 7.0, 1.0])], nodes=4, server_round=2)
    assert {node: strategy.clusters[node] for node in (3, 4)} == {3: 1, 4: 1}
    assert models_of(strategy)[1] == MEANS[1]
    assert found == [1.0, 6.0, 1.0]


def test_a_cluster_keeps_its_name_and_a_new_one_gets_a_new_name() -> None:
    strategy = with_two_clusters(every=1, first_round=2, number=3)
    ends = {1: [1.0, 2.0, 9.0], 2: [9.0, 2.0, 1.0], 3: [1.0, -9.0, 1.0], 4: [1.0, -9.0, 1.1]}
    step(strategy, START, [reply(node, values) for node, values in ends.items()], nodes=4, server_round=2)
    assert strategy.clusters == {1: 0, 2: 2, 3: 1, 4: 1}
    assert models_of(strategy)[2] == ends[2]
    step(strategy, START, [reply(node, values) for node, values in ends.items()], nodes=4, server_round=3)
    assert set(strategy.models) == set(strategy.clusters.values())


@pytest.mark.parametrize(("every", "first_round", "due"), [(1, 1, [1, 2, 3, 4, 5]), (2, 3, [3, 5]), (3, 2, [2, 5])])
def test_clusters_are_found_when_they_are_due(every: int, first_round: int, due: list[int]) -> None:
    strategy, seen = clustered(every=every, first_round=first_round), []
    strategy._cluster = lambda server_round, replies: seen.append(server_round)  # type: ignore[method-assign]
    for server_round in range(1, 6):
        step(strategy, START, four(), nodes=4, server_round=server_round)
    assert seen == due


def test_before_the_first_clustering_all_are_sent_the_global_model() -> None:
    strategy = clustered(first_round=3)
    mean = step(strategy, START, four(), nodes=4)
    contents = send(strategy, mean, nodes=4, server_round=2)
    assert len({id(content) for content in contents.values()}) == 1
    assert values_of(contents[1].array_records["arrays"]) == mean == [1.0, 0.0, 1.0]
    assert strategy.rows() == []


def test_distances_may_be_between_weights() -> None:
    # From (10, 0) clients 1 and 3 go one way and 2 and 4 another; where they arrive, 1 is near 2 and 3 is near 4.
    ends = {1: [0.0, 11.0, 3.0], 2: [0.0, 5.0, 1.0], 3: [0.0, 20.0, 30.0], 4: [0.0, 0.0, 2.0]}
    found = {}
    for of in ("updates", "weights"):
        strategy = clustered(of=of)
        step(strategy, [0.0, 10.0, 0.0], [reply(node, values) for node, values in ends.items()], nodes=4)
        found[of] = strategy.clusters
    assert found["updates"] == {1: 0, 2: 1, 3: 0, 4: 1}
    assert found["weights"] == PAIRS


def test_clusters_hold_although_clients_move_alike_from_their_own_models() -> None:
    strategy = with_two_clusters(every=1, first_round=2)
    moves = {node: np.add(MEANS[cluster], [0.0, 0.0, 0.1 * (-1) ** int(node)]) for node, cluster in PAIRS.items()}
    step(strategy, START, [reply(int(node), end.tolist()) for node, end in moves.items()], nodes=4, server_round=2)
    assert strategy.clusters == PAIRS


def test_fewer_than_four_clients_are_not_clustered_unless_the_number_is_given() -> None:
    for number, found in ((None, PAIRS), (1, {**PAIRS, 3: 0})):
        strategy = with_two_clusters(every=1, number=number)
        step(strategy, START, four()[:3], nodes=4, server_round=2)
        assert strategy.clusters == found


def test_with_fewer_clients_than_clusters_everyone_is_alone() -> None:
    strategy = clustered(number=3)
    step(strategy, START, four()[:2], nodes=4)
    assert strategy.clusters == {1: 0, 2: 1}


def test_a_client_that_diverged_leaves_the_clusters_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    strategy = with_two_clusters(every=1)
    with caplog.at_level(logging.WARNING):
        step(strategy, START, [reply(1, [float("nan")] * 3), *four()[1:]], nodes=4, server_round=2)
    assert strategy.clusters == PAIRS
    assert "round 2: some distances between clients are not finite; clusters stay" in caplog.text
    assert np.isnan(models_of(strategy)[0]).all() and np.isfinite(models_of(strategy)[1]).all()


# Clusters are at (0, 2, 1) and (0, −2, 1) from the global model.
@pytest.mark.parametrize(("end", "cluster"), [([1.0, 3.0, 0.5], 0), ([1.0, -1.0, 0.0], 1)])
def test_a_new_client_joins_the_nearest_cluster_and_counts_in_its_mean(end: list[float], cluster: int) -> None:
    strategy = with_two_clusters()
    step(strategy, START, [*four(), reply(5, end, 4)], nodes=5, server_round=2)
    assert strategy.clusters == {**PAIRS, 5: cluster}
    mean = (np.array(MEANS[cluster]) + np.array(end)) / 2
    assert models_of(strategy)[cluster] == mean.tolist()


def test_a_weighted_start_by_hand() -> None:
    strategy = with_two_clusters(start="weighted", beta=2.0, of="weights", distance="model_l2_dst")
    mean = step(strategy, START, [*four(), reply(5, [1.0, 2.0, 2.0])], nodes=5, server_round=2)
    # At distance 1 from cluster 0 and √17 from cluster 1.
    share = 1 / (1 + np.exp(-2 * (np.sqrt(17) - 1)))
    assert strategy.mixtures == {5: pytest.approx({0: share, 1: 1 - share})}
    assert 5 not in strategy.clusters and models_of(strategy) == MEANS
    sent = values_of(send(strategy, mean, nodes=6, server_round=3)[5].array_records["arrays"])
    assert sent == pytest.approx([1.0, 2 * share - 2 * (1 - share), 1.0], rel=1e-6)
    due = with_two_clusters(every=1)
    due.mixtures = {5: {0: 1.0}}
    step(due, START, four(), nodes=5, server_round=2)
    assert due.mixtures == {}


def test_with_a_global_start_a_new_client_waits_for_the_next_clustering() -> None:
    strategy = with_two_clusters(start="global")
    mean = step(strategy, START, [*four(), reply(5, [1.0, 3.0, 0.5])], nodes=5, server_round=2)
    assert strategy.clusters == PAIRS
    assert values_of(send(strategy, mean, nodes=5, server_round=3)[5].array_records["arrays"]) == mean


def test_a_new_client_that_diverged_joins_nobody() -> None:
    strategy = with_two_clusters()
    step(strategy, START, [*four(), reply(5, [float("inf")] * 3)], nodes=5, server_round=2)
    assert strategy.clusters == PAIRS


def test_shares_are_of_the_three_nearest_and_fall_with_distance() -> None:
    found = shares_of({0: 3.0, 1: 1.0, 2: 9.0, 3: 2.0}, beta=1.0)
    exact = np.exp([-1.0, -2.0, -3.0])
    assert found == pytest.approx(dict(zip((1, 3, 0), exact / exact.sum(), strict=True)))
    assert shares_of({0: 5.0, 1: 7.0}, beta=0.0) == {0: 0.5, 1: 0.5}
    assert shares_of({0: 5e3, 1: 5e3 + 1}, beta=1.0)[0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_mixture_of_equal_models_is_that_model() -> None:
    model = weights([0.1, 0.7, 0.2])
    assert mixed({0: model, 1: model}, {0: 0.25, 1: 0.75})["a"].tolist() == model["a"].tolist()


def test_as_many_clients_as_possible_keep_their_clusters_name() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        labels = generator.integers(0, 3, 9).tolist()
        before = [None if name == 3 else name for name in generator.integers(0, 4, 9).tolist()]
        found, new = inherited(labels, before), sorted(set(labels))

        def kept(names: dict[int, int | None]) -> int:
            return sum(names[label] == old is not None for label, old in zip(labels, before, strict=True))  # noqa: B023

        options = itertools.permutations([0, 1, 2, None, None, None], len(new))
        assert kept(found) == max(kept(dict(zip(new, option, strict=True))) for option in options)
        used = [name for name in found.values() if name is not None]
        assert len(used) == len(set(used))


# --- CFL


def random_cosines(generator: np.random.Generator, count: int) -> np.ndarray:
    rows = generator.standard_normal((count, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T)


@pytest.mark.parametrize("count", [2, 3, 6, 8])
def test_a_bipartition_has_the_smallest_largest_similarity_of_all(count: int) -> None:
    generator = np.random.default_rng(count)
    for _ in range(20):
        similarities = random_cosines(generator, count)
        second = np.flatnonzero(bipartition(similarities)).tolist()
        assert 0 < len(second) < count and 0 not in second

        def across(part: tuple[int, ...]) -> float:
            rest = [member for member in range(count) if member not in part]
            return float(similarities[np.ix_(part, rest)].max())  # noqa: B023

        parts = [part for size in range(1, count) for part in itertools.combinations(range(1, count), size)]
        assert across(tuple(second)) == min(map(across, parts))


def test_a_bipartition_of_equal_similarities_leaves_one_member_apart() -> None:
    assert bipartition(np.full((4, 4), 0.5) + np.eye(4) / 2).sum() in (1, 3)


# Updates (2, 0), (2, 1), (−2, 0), (−2, 1): mean (0, 1/2), longest √5, largest cosine across −3/5, so the gap is √0.8.
UPDATES = np.array([[2.0, 0.0], [2.0, 1.0], [-2.0, 0.0], [-2.0, 1.0]])


@pytest.mark.parametrize(
    ("eps1", "eps2", "gamma", "leave"),
    [
        (0.51, 2.2, 0.89, [2, 3]),
        (0.5, 2.2, 0.89, None),
        (0.51, 2.25, 0.89, None),
        (0.51, 2.2, 0.9, None),
        (0.0, 0.0, 0.0, None),
    ],
)
def test_a_cluster_is_split_if_all_three_conditions_hold(
    eps1: float, eps2: float, gamma: float, leave: list[int] | None
) -> None:
    assert split(UPDATES @ UPDATES.T, np.full(4, 0.25), eps1, eps2, gamma) == leave


def test_a_client_that_stands_still_has_no_direction_to_split_by() -> None:
    updates = np.array([[2.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
    assert split(updates @ updates.T, np.full(3, 1 / 3), 1.0, 0.0, 0.0) is None


def test_inner_products_are_those_of_all_weights_together() -> None:
    generator = np.random.default_rng(0)
    updates = [{"b": generator.standard_normal(()), "a": generator.standard_normal((3, 4))} for _ in range(5)]
    dense = np.array([np.append(update["a"], update["b"]) for update in updates])
    np.testing.assert_allclose(inner_products(updates), dense @ dense.T, rtol=1e-12)


def test_a_cluster_in_which_a_client_failed_is_not_split() -> None:
    strategy = CFL(eps1=9.0, eps2=0.0, gamma=0.0, **SAMPLING)
    step(strategy, START, four()[:3], nodes=4)
    assert set(strategy.clusters.values()) == {0} and set(strategy.clusters) == {1, 2, 3, 4}
    step(strategy, START, four(), nodes=4, server_round=2)
    assert len(set(strategy.clusters.values())) == 2


# --- IFCA


def test_ifca_averages_what_comes_back_for_each_model() -> None:
    strategy = IFCA(k=3, **SAMPLING)
    random.seed(0)
    sent = send(strategy, [1.0, 2.0, 3.0], nodes=4)
    stacked = {name: array.numpy() for name, array in sent[1].array_records["arrays"].items()}
    assert {name: array.shape for name, array in stacked.items()} == {"b": (3,), "a": (3, 2)}
    assert len({id(content) for content in sent.values()}) == 1
    third = values_of({name: array[2] for name, array in stacked.items()})
    choices = [0, 0, 1, 1]
    replies = [
        reply(n, values, examples, cluster=c) for (n, (values, examples)), c in zip(FOUR.items(), choices, strict=True)
    ]
    found = values_of(strategy.aggregate_train(1, replies)[0])
    assert models_of(strategy) == {**MEANS, 2: third}
    assert found == [1.0, 0.0, 1.0]
    assert [(row.client, row.value) for row in strategy.rows()] == [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0)]
    following = send(strategy, found, nodes=4, server_round=2)[3].array_records["arrays"]
    assert following["a"].numpy().tolist() == [MEANS[0][1:], MEANS[1][1:], third[1:]]


def test_other_models_start_with_the_same_numbers_in_another_order() -> None:
    first = {"a": np.arange(60.0).reshape(3, 20), "b": np.zeros(4)}
    models = [shuffled(first, 7, model) for model in range(3)]
    assert all(np.array_equal(models[0][name], first[name]) for name in first)
    for model in models[1:]:
        assert sorted(model["a"].ravel()) == list(range(60)) and model["a"].shape == (3, 20)
        assert (model["b"] == 0).all()
    assert len({model["a"].tobytes() for model in [*models, shuffled(first, 8, 1)]}) == 4
    assert np.array_equal(shuffled(first, 7, 1)["a"], models[1]["a"])


# --- state, mistakes


@pytest.mark.parametrize(
    "make", [with_two_clusters, TWO_CLUSTERS["cfl"], lambda: IFCA(k=2, **SAMPLING)], ids=["clustered", "cfl", "ifca"]
)
def test_state_survives_a_checkpoint(make: Callable[[], ClusterModels]) -> None:
    strategy = make()
    replies = [reply(node, values, n, cluster=node % 2) for node, (values, n) in FOUR.items()]
    mean = step(strategy, START, replies, nodes=5)
    arrays, scalars = strategy_state.dump(strategy)
    other = make()
    strategy_state.load(other, arrays, json.loads(json.dumps(scalars)))
    contents = [send(each, mean, nodes=5, server_round=2) for each in (strategy, other)]
    for node in range(1, 6):
        first, second = (content[node].array_records["arrays"] for content in contents)
        assert list(first) == list(second) == ["b", "a"]
        assert all(first[name].data == second[name].data for name in first)


@pytest.mark.parametrize("strategy", [clustered(), CFL(), IFCA()], ids=lambda s: type(s).__name__)
def test_no_reply_gives_no_weights(strategy: ClusterModels) -> None:
    assert strategy.aggregate_train(1, []) == (None, None)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Clustered(every=0), r"algorithm.every must be 1 or more, got 0"),
        (lambda: Clustered(first_round=0), r"algorithm.first_round must be 1 or more, got 0"),
        (lambda: Clustered(of="losses"), r"algorithm.of must be updates or weights, got 'losses'"),
        (lambda: Clustered(distance="l7_dst"), r"algorithm.distance must be the name of a distance, got 'l7_dst': "),
        (lambda: Clustered(distance="cka_dst"), r"algorithm.distance must be the name of a distance, got 'cka_dst': "),
        (lambda: Clustered(method="kmeans"), r"algorithm.method must be one of louvain, agglomerative, spectral, got"),
        (lambda: Clustered(method="spectral", number=0), r"algorithm.number must be 1 or more, or null .*, got 0"),
        (lambda: Clustered(number=2), r"algorithm.number must be null with algorithm.method=louvain, .*, got 2"),
        (lambda: Clustered(start="best"), r"algorithm.start must be nearest, weighted or global, got 'best'"),
        (lambda: Clustered(beta=-1.0), r"algorithm.beta must be 0 or more, got -1.0"),
        (lambda: CFL(eps1=float("nan")), r"algorithm.eps1 must be 0 or more \(0 is FedAvg\), got nan"),
        (lambda: CFL(eps2=-1.0), r"algorithm.eps2 must be 0 or more, got -1.0"),
        (lambda: CFL(gamma=2.0), r"algorithm.gamma must be in \[0, 1\], got 2.0"),
        (lambda: CFL(fraction_train=0.5), r"fraction must be 1 with algorithm=cfl, got 0.5; it compares the updates"),
        (lambda: IFCA(k=0), r"algorithm.k must be 1 or more \(1 is FedAvg\), got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], ClusterModels], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()
