"""The number of clusters and their stability against planted ones, data without any and naive twins."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.distance_matrix import inner_products
from metrics.clusters.linkage import linkage_partitions
from metrics.clusters.number import NumberRule, partition_score, partition_scores
from metrics.clusters.permutation import permuted_distances
from metrics.clusters.rotation import rotated_distances
from metrics.clusters.stability import Stability, best_jaccard, bootstrap_stability, replicate_stability
from tests.support.planted_clusters import cosine, euclidean, manhattan, planted, same_partition

QUICK = NumberRule(references=19)
Generate = Callable[[np.random.Generator], np.ndarray]


def references(distances: np.ndarray, count: int, seed: int = 0) -> list[np.ndarray]:
    return list(itertools.islice(rotated_distances(distances, np.random.default_rng(seed)), count))


def share_with_clusters(generate: Generate, distance: Callable[[np.ndarray], np.ndarray], repetitions: int) -> float:
    """Return how often data without clusters is found to have some."""
    generator = np.random.default_rng(0)
    return float(np.mean([QUICK.choose(distance(generate(generator)), seed).number > 1 for seed in range(repetitions)]))


# --- the score of a partition


def naive_score(distances: np.ndarray, labels: np.ndarray) -> float:
    counts = np.bincount(labels)
    kept = np.flatnonzero(counts[labels] > 1)
    values = silhouette_samples(distances[np.ix_(kept, kept)], labels[kept], metric="precomputed")
    return sum(float(values[labels[kept] == label].mean()) for label in np.flatnonzero(counts > 1)) / len(counts)


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_mean_silhouette_of_clusters(seed: int) -> None:
    distances = euclidean(np.random.default_rng(seed).standard_normal((20, 3)))
    for number, labels in linkage_partitions(distances, 6).items():
        if (np.bincount(labels) > 1).sum() > 1:
            assert partition_score(distances, labels) == pytest.approx(naive_score(distances, labels), abs=1e-12)
            assert partition_scores(distances, 6)[number] == partition_score(distances, labels)


def test_scores_in_closed_form() -> None:
    line = euclidean(np.array([[0.0], [1], [4], [5], [1000]]))
    pairs = (7 / 9 + 5 / 7) / 2
    assert partition_score(line[:4, :4], np.array([0, 0, 1, 1])) == pytest.approx(pairs)
    # A client far away is a third cluster of score 0, and two others do not stand out from it.
    assert partition_score(line, np.array([0, 0, 1, 1, 2])) == pytest.approx(2 / 3 * pairs)
    assert partition_score(line, np.array([0, 0, 0, 0, 1])) == -1
    assert partition_score(line, np.arange(5)) == -1 == partition_score(line, np.zeros(5, int))


# --- references without clusters


def test_references_keep_the_spectrum_of_the_points() -> None:
    distances = euclidean(planted((6, 6, 6), 5)[0])
    expected = np.linalg.eigvalsh(inner_products(distances))
    for reference in references(distances, 3):
        assert (reference == reference.T).all() and not np.diag(reference).any()
        np.testing.assert_allclose(np.linalg.eigvalsh(inner_products(reference)), expected, atol=1e-8)


def test_references_of_squared_distances_keep_the_spectrum_of_the_points() -> None:
    distances = euclidean(planted((6, 6, 6), 5)[0])
    expected = np.linalg.eigvalsh(inner_products(distances))
    for reference in references(distances**2, 3):
        np.testing.assert_allclose(np.linalg.eigvalsh(inner_products(np.sqrt(reference))), expected, atol=1e-8)


def test_references_treat_all_clients_alike() -> None:
    distances = euclidean(planted((3, 5), 5)[0])
    mean = np.mean([np.square(reference) for reference in references(distances, 4000)], axis=0)
    # E ‖x_i − x_j‖² = 2 tr G / (n − 1).
    expected = 2 * np.trace(inner_products(distances)) / 7
    assert mean[np.triu_indices(8, 1)] == pytest.approx(expected, rel=0.06)


def test_permuted_distances_are_the_given_ones() -> None:
    distances = euclidean(planted((3, 5), 5)[0])
    pairs = np.triu_indices(8, 1)
    first, second = itertools.islice(permuted_distances(distances, np.random.default_rng(0)), 2)
    for reference in (first, second):
        assert (reference == reference.T).all() and not np.diag(reference).any()
        assert sorted(reference[pairs]) == sorted(distances[pairs]) and (reference != distances).any()
    assert (first != second).any()


def test_equally_distant_clients_stay_so() -> None:
    for reference in references(1 - np.eye(6), 3):
        np.testing.assert_allclose(reference, 1 - np.eye(6), atol=1e-12)


def test_distances_that_no_points_have_get_references_too() -> None:
    hub = np.full((8, 8), 2.0)
    hub[0] = hub[:, 0] = 0.1  # breaks the triangle inequality, even for square roots
    np.fill_diagonal(hub, 0.0)
    for reference in references(hub, 3):
        assert np.isfinite(reference).all() and (reference >= 0).all() and (reference == reference.T).all()


# --- the number


@pytest.mark.parametrize("distance", [euclidean, cosine])
@pytest.mark.parametrize("groups", range(1, 7))
def test_planted_numbers_are_found(groups: int, distance: Callable[[np.ndarray], np.ndarray]) -> None:
    for seed in range(3):
        sizes = np.random.default_rng(seed).integers(4, 16, groups)
        data, truth = planted(tuple(sizes.tolist()), 200, 3.0, seed)
        found = Agglomerative(rule=QUICK).find(distance(data), seed)
        assert found.number == groups and same_partition(found.labels, truth)
        assert (found.p <= 0.05) == (groups > 1) and found.reason == ""
        assert list(found.scores) == list(range(2, min(10, len(data) // 2) + 1))


@pytest.mark.parametrize("sizes", [(60, 3), (40, 10, 5, 3), (2, 2, 3, 2), (4, 4), (2, 2)])
def test_unequal_and_small_groups_are_found(sizes: tuple[int, ...]) -> None:
    data, truth = planted(sizes, 500, 4.0)
    assert same_partition(Agglomerative(rule=QUICK).labels(euclidean(data), 0), truth)


@pytest.mark.parametrize(
    ("generate", "distance"),
    [
        (lambda generator: generator.standard_normal((12, 2)), euclidean),
        (lambda generator: generator.standard_normal((12, 6)) * np.array([9, 3, 1, 1, 1, 1]), euclidean),
        (lambda generator: generator.standard_normal((12, 500)) + 0.3, euclidean),
        (lambda generator: generator.standard_normal((12, 500)) + 0.3, cosine),
    ],
    ids=["plane", "stretched", "wide", "angles"],
)
def test_normal_data_has_clusters_at_the_level_only(
    generate: Generate, distance: Callable[[np.ndarray], np.ndarray]
) -> None:
    # At most 0.05 for Euclidean distances by construction; more than this has probability 0.001 then.
    assert share_with_clusters(generate, distance, 60) <= binom.ppf(0.999, 60, 0.05) / 60


@pytest.mark.parametrize("distance", [euclidean, cosine, manhattan])
@pytest.mark.parametrize(
    "generate",
    [
        lambda generator: generator.standard_t(3, (20, 100)),
        lambda generator: generator.standard_normal((20, 100)) * generator.lognormal(0, 0.7, (20, 1)),
        lambda generator: generator.random((20, 10)),
    ],
    ids=["heavy-tailed", "of several scales", "uniform"],
)
def test_other_data_without_clusters_has_none(generate: Generate, distance: Callable[[np.ndarray], np.ndarray]) -> None:
    assert share_with_clusters(generate, distance, 15) <= binom.ppf(0.999, 15, 0.05) / 15


def test_normal_data_ranks_anywhere_among_its_rotations() -> None:
    generator, ranks = np.random.default_rng(1), []
    for seed in range(200):
        distances = euclidean(generator.standard_normal((8, 3)))
        scores = [max(partition_scores(one, 4).values()) for one in (distances, *references(distances, 9, seed))]
        ranks.append(sum(score >= scores[0] for score in scores[1:]))
    counts = np.bincount(ranks, minlength=10)
    # χ² with 9 degrees of freedom: 27.9 is its 99.9 % quantile.
    assert ((counts - 20) ** 2 / 20).sum() < 27.9


def test_clients_that_do_not_differ_are_one_cluster() -> None:
    for distances in (np.zeros((9, 9)), 1 - np.eye(9)):
        found = Agglomerative().find(distances, 0)
        assert found.number == 1 and found.p == 1 and max(found.scores.values()) <= 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_than_four_clients_are_one_cluster(n: int) -> None:
    found = Agglomerative().find(euclidean(np.arange(n)[:, None] ** 3.0), 0)
    assert found.number == 1 and math.isnan(found.p) and found.reason == f"4 clients or more are needed, got {n}"


def test_many_clients_are_tested_by_some() -> None:
    data, truth = planted((200, 120), 20, 3.0)
    found = Agglomerative(rule=QUICK).find(euclidean(data), 0)
    assert same_partition(found.labels, truth) and found.p == 0.05
    none = Agglomerative(rule=QUICK).find(euclidean(np.random.default_rng(0).standard_normal((320, 20))), 0)
    assert none.number == 1 and none.p > 0.05


def test_the_largest_number_is_kept() -> None:
    found = Agglomerative(rule=NumberRule(max_number=3, references=19)).find(euclidean(planted((5, 5, 5, 5))[0]), 0)
    assert found.number <= 3 and list(found.scores) == [2, 3]


def test_rules_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_number must be 2 or more, got 1"):
        NumberRule(max_number=1)
    for references_, level in ((18, 0.05), (99, 1.0), (99, 0.0)):
        with pytest.raises(ValueError, match=r"level must be in \[1 / \(1 \+ references\), 1\), got"):
            NumberRule(references=references_, level=level)


# --- stability


def test_jaccard_indices_by_hand() -> None:
    labels, found = np.array([0, 0, 0, 1, 1]), np.array([5, 5, 2, 2, 2])
    assert best_jaccard(labels, found, 3)[:2].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert math.isnan(best_jaccard(labels, found, 3)[2])


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_indices_are_those_of_sets(seed: int) -> None:
    labels, found = np.random.default_rng(seed).integers(4, size=(2, 20))
    sets = [[set(np.flatnonzero(of == k).tolist()) for k in range(4)] for of in (labels, found)]
    expected = [max(len(a & b) / len(a | b) for b in sets[1]) for a in sets[0]]
    assert best_jaccard(labels, found, 4).tolist() == pytest.approx(expected)


def test_far_clusters_are_stable_and_halves_of_one_are_not() -> None:
    data, _ = planted((15, 15), 20, 6.0)
    distances = euclidean(data)
    stable = Agglomerative(number=2).find(distances, 0, resamples=30).stability
    assert stable is not None and stable.reason == ""
    assert stable.jaccard.tolist() == [1, 1] and stable.jaccard_stderr.tolist() == [0, 0]
    assert stable.ari == 1 and stable.ari_stderr == 0 and stable.repetitions.tolist() == [30, 30]
    found = Agglomerative(number=5).find(distances, 0, resamples=30).stability
    assert found is not None and (found.jaccard < 0.9).sum() >= 3 and found.ari < 0.9
    assert (found.jaccard_stderr > 0).any() and found.ari_stderr > 0


def test_stability_means_and_errors_are_those_over_repetitions() -> None:
    data, _ = planted((6, 9, 5), 20, 1.0)
    distances, labels = euclidean(data), np.repeat([0, 1, 2], [6, 9, 5])
    drawn_of: list[np.ndarray] = []

    def partition(of: np.ndarray, number: int, seed: int) -> np.ndarray:
        drawn = np.array([int(np.flatnonzero(np.isin(distances, row).sum(1) >= len(of))[0]) for row in of])
        drawn_of.append(drawn)
        return drawn % number

    found = bootstrap_stability(distances, labels, partition, 0, 12)
    rows = np.array([best_jaccard(labels[drawn], drawn % 3, 3) for drawn in drawn_of])
    np.testing.assert_allclose(found.jaccard, rows.mean(0))
    np.testing.assert_allclose(found.jaccard_stderr, rows.std(0, ddof=1) / math.sqrt(12))
    aris = [adjusted_rand_score(labels[drawn], drawn % 3) for drawn in drawn_of]
    assert found.ari == pytest.approx(np.mean(aris))
    assert found.ari_stderr == pytest.approx(np.std(aris, ddof=1) / math.sqrt(12))
    # Clients are drawn with replacement and count once: 1 − (1 − 1 / n)ⁿ of them take part.
    assert np.mean([len(drawn) for drawn in drawn_of]) == pytest.approx(20 * (1 - 0.95**20), abs=1.5)


def test_a_cluster_of_one_client_is_judged_only_where_it_takes_part() -> None:
    data, _ = planted((10, 1), 20, 6.0)
    found = Agglomerative(number=2).find(euclidean(data), 0, resamples=40).stability
    assert found is not None and 10 < found.repetitions[1] < 40 == found.repetitions[0]
    assert found.jaccard[1] == 1


def test_replicates_are_compared_client_by_client() -> None:
    partition = Agglomerative(number=2).partition
    apart, labels = euclidean(planted((4, 4), 20, 6.0)[0]), np.repeat([0, 1], 4)
    same = replicate_stability([apart, 2 * apart], labels, partition, 0)
    assert same.jaccard.tolist() == [1, 1] and same.ari == 1 and same.repetitions.tolist() == [2, 2]
    crossed = apart[np.ix_([0, 1, 4, 5, 2, 3, 6, 7], [0, 1, 4, 5, 2, 3, 6, 7])]
    mixed = replicate_stability([apart, crossed], labels, partition, 0)
    # {0 1 2 3} against {0 1 4 5}: 2 of 6; R = 4, E = 12 · 12 / 28, M = 12.
    ari = (4 - 144 / 28) / (12 - 144 / 28)
    assert mixed.jaccard.tolist() == pytest.approx([2 / 3, 2 / 3]) and mixed.ari == pytest.approx((1 + ari) / 2)
    assert mixed.jaccard_stderr.tolist() == pytest.approx([1 / 3, 1 / 3])
    one = replicate_stability([apart], labels, partition, 0)
    assert one.jaccard.tolist() == [1, 1] and np.isnan(one.jaccard_stderr).all() and math.isnan(one.ari_stderr)


def assert_unknown(found: Stability, clusters: int, reason: str) -> None:
    assert found.reason == reason and found.repetitions.tolist() == [0] * clusters
    assert np.isnan([*found.jaccard, *found.jaccard_stderr, found.ari, found.ari_stderr]).all()


def test_stability_that_is_none_has_a_reason() -> None:
    partition, distances = Agglomerative(number=2).partition, euclidean(planted((4, 4))[0])
    whole = bootstrap_stability(distances, np.zeros(8, int), partition, 0)
    assert_unknown(whole, 1, "all clients are in one cluster")
    assert_unknown(replicate_stability([], np.repeat([0, 1], 4), partition, 0), 2, "there are no repetitions")
    with pytest.raises(ValueError, match=r"replicates must have shape \(8, 8\), got \(7, 7\)"):
        replicate_stability([distances[1:, 1:]], np.repeat([0, 1], 4), partition, 0)
