"""Quality of partitions against closed forms, naive twins and scikit-learn."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import silhouette_samples

from metrics.clusters.evaluation import (
    SimilarityContrast,
    adjusted_rand_index,
    embeddedness,
    purity,
    silhouettes,
    similarity_contrast,
    why_undefined,
)
from metrics.clusters.labels import canonical_labels
from tests.support.planted_clusters import cosine, euclidean, shuffled

PAIRS = np.array([0, 0, 1, 1])
# Two pairs, one apart within and four between.
LINE = np.abs(np.subtract.outer([0.0, 1.0, 4.0, 5.0], [0.0, 1.0, 4.0, 5.0]))


def random_points(seed: int, n: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 5))


def random_labels(seed: int, n: int = 24, clusters: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(clusters, size=n)


def random_similarities(seed: int, n: int = 24) -> np.ndarray:
    found: np.ndarray = np.exp(-euclidean(random_points(seed, n)))
    return found


def test_labels_are_numbered_by_first_members() -> None:
    assert canonical_labels(np.array([7, 2, 7, 9, 2])).tolist() == [0, 1, 0, 2, 1]
    assert canonical_labels(np.array(["b", "a", "b"])).tolist() == [0, 1, 0]
    assert canonical_labels(np.array([], dtype=int)).tolist() == []


def test_silhouettes_of_two_pairs_on_a_line() -> None:
    # The outer clients: a = 1, b = (4 + 5) / 2; the inner ones: a = 1, b = (3 + 4) / 2.
    assert silhouettes(LINE, PAIRS).tolist() == pytest.approx([7 / 9, 5 / 7, 5 / 7, 7 / 9])


@pytest.mark.parametrize("distance", [euclidean, cosine])
@pytest.mark.parametrize("seed", range(5))
def test_silhouettes_are_those_of_scikit_learn(distance: Callable[[np.ndarray], np.ndarray], seed: int) -> None:
    distances, labels = distance(random_points(seed)), random_labels(seed)
    labels[0] = 17  # a client alone
    np.fill_diagonal(distances, 0.0)
    expected = silhouette_samples(distances, labels, metric="precomputed")
    np.testing.assert_allclose(silhouettes(distances, labels), expected, atol=1e-12)
    assert silhouettes(distances, labels)[0] == 0


def test_silhouettes_do_not_depend_on_scale_names_and_order() -> None:
    distances, labels = euclidean(random_points(0)), random_labels(0)
    values = silhouettes(distances, labels)
    np.testing.assert_allclose(silhouettes(1e6 * distances, labels), values, atol=1e-12)
    np.testing.assert_allclose(silhouettes(distances, 10 - 3 * labels), values, atol=1e-12)
    moved, order = shuffled(distances)
    np.testing.assert_allclose(silhouettes(moved, labels[order]), values[order], atol=1e-12)


def test_equal_clients_have_no_silhouette_to_speak_of() -> None:
    assert silhouettes(np.zeros((4, 4)), PAIRS).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros(0, int), "2 clients or more are needed, got 0"),
        (np.zeros(1, int), "2 clients or more are needed, got 1"),
        (np.zeros(3, int), "all clients are in one cluster"),
    ],
)
def test_what_is_no_partition_has_a_reason_and_no_value(labels: np.ndarray, reason: str) -> None:
    n = len(labels)
    assert why_undefined(labels) == reason
    assert np.isnan(silhouettes(1 - np.eye(n), labels)).all()
    assert np.isnan(embeddedness(np.ones((n, n)), labels)).all()
    contrast = similarity_contrast(np.ones((n, n)), labels)
    assert contrast.reason == reason
    assert all(math.isnan(value) for value in (contrast.intra, contrast.inter, contrast.ratio))
    assert why_undefined(PAIRS) == ""


def test_embeddedness_among_equally_similar_clients() -> None:
    assert embeddedness(np.ones((5, 5)), np.array([0, 0, 0, 1, 1])).tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]
    alone = embeddedness(np.ones((3, 3)), np.array([0, 0, 1]))
    assert alone.tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("seed", range(3))
def test_embeddedness_is_the_share_inside(seed: int) -> None:
    similarities, labels = random_similarities(seed), random_labels(seed)
    others = [[j for j in range(24) if j != i] for i in range(24)]
    expected = [
        sum(similarities[i, j] for j in others[i] if labels[j] == labels[i])
        / sum(similarities[i, j] for j in others[i])
        for i in range(24)
    ]
    np.testing.assert_allclose(embeddedness(similarities, labels), expected, rtol=1e-12)
    np.testing.assert_allclose(embeddedness(7 * similarities, labels), expected, rtol=1e-12)


def test_embeddedness_leaves_its_input_alone_and_knows_no_negative_share() -> None:
    similarities = np.ones((4, 4))
    embeddedness(similarities, PAIRS)
    assert (similarities == 1).all()
    lonely = np.zeros((4, 4))
    lonely[0, 1] = lonely[1, 0] = 0.5
    found = embeddedness(lonely, PAIRS)
    assert found[:2].tolist() == [1, 1] and np.isnan(found[2:]).all()
    with pytest.raises(ValueError, match="embeddedness needs similarities of 0 or more, got -0"):
        embeddedness(-lonely, PAIRS)


def test_contrast_of_two_pairs() -> None:
    similarities = np.array([[9, 0.8, 0.2, 0.1], [0.8, 9, 0.3, 0.2], [0.2, 0.3, 9, 0.4], [0.1, 0.2, 0.4, 9]])
    found = similarity_contrast(similarities, PAIRS)
    assert found.intra == pytest.approx(0.6) and found.inter == pytest.approx(0.2)
    assert found.ratio == pytest.approx(3) and found.reason == ""


@pytest.mark.parametrize("seed", range(3))
def test_contrast_counts_every_pair_once(seed: int) -> None:
    similarities, labels = random_similarities(seed), random_labels(seed)
    inside: list[float] = []
    between: list[float] = []
    for i, j in itertools.combinations(range(24), 2):
        (inside if labels[i] == labels[j] else between).append(similarities[i, j])
    found = similarity_contrast(similarities, labels)
    assert found.intra == pytest.approx(np.mean(inside)) and found.inter == pytest.approx(np.mean(between))


def test_contrast_without_pairs_inside_or_similarity_between() -> None:
    alone = similarity_contrast(np.full((3, 3), 0.5), np.arange(3))
    assert math.isnan(alone.intra) and math.isnan(alone.ratio) and alone.inter == 0.5
    assert alone.reason == "every client is alone in its cluster"
    apart = similarity_contrast(np.kron(np.eye(2), np.ones((2, 2))), PAIRS)
    assert (apart.intra, apart.inter) == (1, 0) and math.isnan(apart.ratio)
    assert apart.reason == "the mean similarity between clusters is not above 0"
    assert similarity_contrast(np.ones((4, 4)), PAIRS) == SimilarityContrast(1, 1, 1)


def test_adjusted_rand_index_by_hand() -> None:
    # R = 1, A = 2, B = 3, C(4, 2) = 6, E = 1, M = 2.5.
    assert adjusted_rand_index(PAIRS, np.array([0, 0, 0, 1])) == pytest.approx(0.0)
    # R = 3, A = 4, B = 6, C(5, 2) = 10, E = 2.4, M = 5.
    found = adjusted_rand_index(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1]))
    assert found == pytest.approx((3 - 2.4) / (5 - 2.4))


def pairs_within(counts: np.ndarray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def naive_adjusted_rand_index(found: np.ndarray, planted: np.ndarray) -> float:
    """Return the index by the definition of Hubert & Arabie, over the table of intersections."""
    table = np.array([[(planted[found == a] == b).sum() for b in np.unique(planted)] for a in np.unique(found)])
    both, first, second = (pairs_within(counts) for counts in (table, table.sum(1), table.sum(0)))
    by_chance = first * second / (len(found) * (len(found) - 1) / 2)
    return (both - by_chance) / ((first + second) / 2 - by_chance)


@pytest.mark.parametrize("seed", range(10))
def test_adjusted_rand_index_is_that_of_the_definition(seed: int) -> None:
    found, planted = random_labels(seed), random_labels(seed + 100, clusters=3)
    found[: seed * 2] = planted[: seed * 2]
    expected = naive_adjusted_rand_index(found, planted)
    assert adjusted_rand_index(found, planted) == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_index(planted, 5 - found) == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_index(found, np.array(["x", "a", "c", "b"])[planted]) == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_index(found, 9 - found) == 1
    assert adjusted_rand_index(found, np.zeros(24, int)) == 0 == adjusted_rand_index(np.arange(24), planted)


def test_adjusted_rand_index_is_0_on_average() -> None:
    fixed = np.repeat(np.arange(3), 5)
    generator = np.random.default_rng(0)
    values = [adjusted_rand_index(fixed, generator.permutation(fixed)) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(400)


@pytest.mark.parametrize("labels", [np.zeros(4, int), np.arange(4), np.zeros(1, int), np.zeros(0, int)])
def test_trivial_partitions_have_nothing_to_agree_on(labels: np.ndarray) -> None:
    assert math.isnan(adjusted_rand_index(labels, labels))


def test_purity_of_a_textbook() -> None:
    # Manning, Raghavan & Schütze 2008, figure 16.4: clusters of 6, 6 and 5 with majorities of 5, 4 and 3.
    clusters = np.repeat([0, 1, 2], [6, 6, 5])
    groups = np.array([*"xxxxxo", *"xooood", *"xxddd"])
    assert purity(clusters, rankdata(groups, "dense")) == pytest.approx(12 / 17)
    assert purity(clusters, groups) == pytest.approx(12 / 17)


@pytest.mark.parametrize("seed", range(3))
def test_purity_counts_majorities(seed: int) -> None:
    found, planted = random_labels(seed), random_labels(seed + 10, clusters=3)
    expected = sum(np.bincount(planted[found == cluster]).max() for cluster in np.unique(found)) / 24
    assert purity(found, planted) == pytest.approx(expected)
    assert purity(planted, planted) == 1 == purity(np.arange(24), planted)
    assert purity(np.zeros(24), planted) == np.bincount(planted).max() / 24
    assert math.isnan(purity(found[:0], planted[:0]))


@pytest.mark.parametrize("compare", [adjusted_rand_index, purity])
def test_partitions_of_different_clients_do_not_compare(compare: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="both partitions must label the same clients, got 4 and 3"):
        compare(PAIRS, PAIRS[:3])
