"""Similarities and methods of clustering against closed forms, exhaustive search, scikit-learn and networkx."""

from collections.abc import Iterator

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy.linalg import qr
from sklearn.cluster import AgglomerativeClustering, SpectralClustering

from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.cluster import Clustering
from metrics.clusters.distance_matrix import checked_distances, client_order, inner_products, is_euclidean
from metrics.clusters.evaluation import adjusted_rand_index
from metrics.clusters.linkage import LINKAGES, Linkage, linkage_partitions
from metrics.clusters.louvain import Louvain, louvain_labels, modularity
from metrics.clusters.number import NumberRule
from metrics.clusters.similarity import (
    Angular,
    Cosine,
    CubedMinMax,
    CubedQuantile,
    Gaussian,
    GaussianMedian,
    Inverse,
    SimilarityOfDistance,
)
from metrics.clusters.spectral import Spectral, eigengap_number, laplacian_spectrum, spectral_labels
from tests.support.planted_clusters import cosine, euclidean, manhattan, planted, same_partition, shuffled

QUICK = NumberRule(references=19)
SIMILARITIES = (Gaussian(2.0), GaussianMedian(), Inverse(2.0), Cosine(), Angular(), CubedQuantile(), CubedMinMax())
CLUSTERINGS = (
    Agglomerative(rule=QUICK),
    Agglomerative("complete", rule=QUICK),
    Spectral(rule=QUICK),
    Spectral(number="eigengap"),
    Louvain(rule=QUICK),
    Louvain(rule=None),
)


def named(value: object) -> str | None:
    """Return how a test calls a parameter; None leaves it to pytest."""
    if isinstance(value, SimilarityOfDistance):
        return value.name
    return f"{type(value).__name__}-{value.number}-{value.rule}" if isinstance(value, Clustering) else None


def points(n: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4))


def blocks(*sizes: int) -> np.ndarray:
    """Return edges of weight 1 within groups, none between."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    found: np.ndarray = (groups[:, None] == groups) - np.eye(len(groups))
    return found


def three_clients() -> np.ndarray:
    return np.array([[0.0, 0.5, 2.0], [0.5, 0.0, 1.0], [2.0, 1.0, 0.0]])


# --- the matrix of distances


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, 1, np.nan), "distances must be finite, got nan from client 0 to client 1 and 0.5 back"),
        ((2, 1, np.inf), "distances must be finite, got inf from client 2 to client 1 and 1 back"),
        ((1, 2, 3.0), "distances must be symmetric, got 3 from client 1 to client 2 and 1 back"),
        ((1, 1, 0.5), "distances of clients to themselves must be 0, got 0.5 from client 1 to client 1"),
        ((1, 1, -0.5), "distances must be 0 or more, got -0.5 from client 1 to client 1"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(change: tuple[int, int, float], message: str) -> None:
    distances = three_clients()
    distances[change[:2]] = change[2]
    with pytest.raises(ValueError, match=message):
        Agglomerative(number=2).labels(distances, 0)
    with pytest.raises(ValueError, match=message):
        Cosine()(distances)


@pytest.mark.parametrize("shape", [(2, 3), (4,), (0, 0)])
def test_a_matrix_of_distances_is_square(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"distances must have shape \(n, n\) with n of 1 or more, got"):
        checked_distances(np.zeros(shape))


def test_rounding_is_averaged_away_and_the_input_kept() -> None:
    given = three_clients()
    given[0, 1] += 1e-12
    given[2, 2] = -1e-12
    before = given.copy()
    found = checked_distances(given)
    assert (found == found.T).all() and not np.diag(found).any() and found[0, 1] == pytest.approx(0.5 + 5e-13, abs=0)
    assert (given == before).all()


def test_inner_products_are_those_of_the_centred_points() -> None:
    centred = points() - points().mean(0)
    np.testing.assert_allclose(inner_products(euclidean(points())), centred @ centred.T, atol=1e-12)


def test_points_have_euclidean_distances_only() -> None:
    assert is_euclidean(euclidean(points())) and is_euclidean(np.zeros((3, 3)))
    assert is_euclidean(euclidean(points()).astype(np.float32).astype(np.float64))
    assert not is_euclidean(euclidean(points()) ** 2) and is_euclidean(np.sqrt(manhattan(points())))


def test_the_order_of_clients_is_a_property_of_the_distances() -> None:
    distances = euclidean(points())
    moved, order = shuffled(distances)
    assert (order[client_order(moved)] == client_order(distances)).all()


# --- similarities


@pytest.mark.parametrize(
    ("similarity", "name", "values"),
    [
        (Gaussian(0.5), "gaussian_0.5", [np.exp(-0.5), np.exp(-8), np.exp(-2)]),
        (GaussianMedian(1.0), "gaussian_median_1", [np.exp(-1 / 8), np.exp(-2), np.exp(-1 / 2)]),
        (GaussianMedian(), "gaussian_median_3", [np.exp(-9 / 8), np.exp(-18), np.exp(-9 / 2)]),
        (Inverse(0.5), "inverse_0.5", [1 / 2, 1 / 5, 1 / 3]),
        (Cosine(), "cosine", [0.5, -1, 0]),
        (Angular(), "angular", [2 / 3, 0, 1 / 2]),
        (CubedMinMax(), "cubed_min_max", [1, 0, (2 / 3) ** 3]),
        (CubedQuantile(), "cubed_quantile_0.9", [(1 - 0.5 / 1.8) ** 3, 0, (1 - 1 / 1.8) ** 3]),
        (CubedQuantile(1.0), "cubed_quantile_1", [0.75**3, 0, 0.5**3]),
    ],
    ids=named,
)
def test_similarities_in_closed_form(similarity: SimilarityOfDistance, name: str, values: list[float]) -> None:
    found = similarity(three_clients())
    assert similarity.name == name
    assert [found[0, 1], found[0, 2], found[1, 2]] == pytest.approx(values, abs=1e-12)
    assert (found == found.T).all() and (np.diag(found) == 1).all()


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=named)
def test_similarities_fall_with_the_distance(similarity: SimilarityOfDistance) -> None:
    distances = cosine(points())
    pairs = np.triu_indices(30, 1)
    order = distances[pairs].argsort()
    assert (np.diff(similarity(distances)[pairs][order]) <= 1e-15).all()
    assert (similarity(np.zeros((3, 3))) == 1).all() and similarity(np.zeros((1, 1))).tolist() == [[1.0]]


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=named)
def test_those_that_depend_on_the_round_do_not_depend_on_the_unit(similarity: SimilarityOfDistance) -> None:
    distances = cosine(points()) / 4
    of_the_round = isinstance(similarity, GaussianMedian | CubedQuantile | CubedMinMax)
    assert np.allclose(similarity(distances), similarity(2 * distances)) == of_the_round
    some = similarity(distances[:9, :9])
    assert np.allclose(some, similarity(distances)[:9, :9]) != of_the_round


def test_one_far_client_changes_similarities_by_extremes_only() -> None:
    near, far = euclidean(points()), euclidean(np.vstack([points(), np.full(4, 1e3)]))
    assert CubedMinMax()(far)[:30, :30].min() > 0.95 and CubedMinMax()(near).min() == 0
    assert np.abs(CubedQuantile()(far)[:30, :30] - CubedQuantile()(near)).max() < 0.1
    assert np.abs(GaussianMedian()(far)[:30, :30] - GaussianMedian()(near)).max() < 0.1


def test_equal_distances_are_equal_similarities() -> None:
    assert (CubedMinMax()(1 - np.eye(4)) == 1).all()
    assert (CubedQuantile()(1 - np.eye(4)) == np.eye(4)).all()


def test_the_angle_of_nearly_equal_directions_is_not_lost() -> None:
    angle = 1e-9
    distances = 2 * np.sin(angle / 2) ** 2 * (1 - np.eye(2))
    assert 1 - Angular()(distances)[0, 1] == pytest.approx(angle / np.pi, rel=1e-6)
    assert Angular()((2 + 1e-10) * (1 - np.eye(2)))[0, 1] == 0


def test_edges_below_the_least_are_left_out() -> None:
    assert Cosine(least=0.2).edges(three_clients()).tolist() == [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]
    assert (np.diag(Inverse(1e-3, least=0.5)(three_clients())) == 1).all()


def test_edges_have_no_negative_weights() -> None:
    with pytest.raises(ValueError, match=r"edges must have weights of 0 or more, got -1 from cosine: least=0 leaves"):
        Louvain(Cosine(), rule=None).labels(three_clients(), 0)
    assert Louvain(Cosine(least=0), rule=None).labels(three_clients(), 0).tolist() == [0, 0, 1]


def test_similarities_out_of_range_are_refused() -> None:
    for similarity in (Cosine(), Angular()):
        with pytest.raises(ValueError, match=r"cosine distances must be in \[0, 2\], got 4"):
            similarity(2 * three_clients())
    for make in (Gaussian, Inverse):
        for scale in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="scale must be a distance above 0, got"):
                make(scale)
    with pytest.raises(ValueError, match="sharpness must be above 0, got 0"):
        GaussianMedian(0)
    for quantile in (0.0, 1.1):
        with pytest.raises(ValueError, match=r"quantile must be in \(0, 1\], got"):
            CubedQuantile(quantile)


# --- agglomerative


@pytest.mark.parametrize("linkage", LINKAGES)
def test_merges_are_those_of_scikit_learn(linkage: Linkage) -> None:
    distances = euclidean(points())
    found = linkage_partitions(distances, 30, linkage)
    assert list(found) == list(range(30, 0, -1))
    for number in (1, 2, 3, 5, 8, 29, 30):
        ward = linkage == "ward"
        twin = AgglomerativeClustering(number, metric="euclidean" if ward else "precomputed", linkage=linkage)
        assert same_partition(found[number], twin.fit_predict(points() if ward else distances))
        assert same_partition(Agglomerative(linkage, number).labels(distances, 0), found[number])


def test_linkages_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"linkage ward needs Euclidean distances, got some that no points have"):
        Agglomerative("ward", 2).labels(cosine(points()), 0)
    with pytest.raises(ValueError, match="linkage must be one of average, complete, single, ward, got 'centroid'"):
        Agglomerative("centroid", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="number or rule must say how many clusters there are, got None for both"):
        Agglomerative(rule=None)


# --- Louvain


def partitions(n: int) -> Iterator[list[int]]:
    """Yield the canonical labels of all partitions of n clients."""
    if n == 0:
        yield []
    for labels in partitions(n - 1) if n else ():
        yield from ([*labels, new] for new in range(max(labels, default=-1) + 2))


@pytest.mark.parametrize("resolution", [0.5, 1.0, 1.7])
def test_modularity_is_that_of_networkx(resolution: float) -> None:
    weights = GaussianMedian().edges(euclidean(points()))
    labels = np.random.default_rng(0).integers(4, size=30)
    communities = [set(np.flatnonzero(labels == label).tolist()) for label in range(4)]
    expected = nx.community.modularity(nx.from_numpy_array(weights), communities, resolution=resolution)
    assert modularity(weights, labels, resolution) == pytest.approx(expected, abs=1e-12)
    assert modularity(blocks(3, 3), np.repeat([0, 1], 3)) == pytest.approx(0.5)
    assert np.isnan(modularity(np.zeros((3, 3)), np.arange(3)))


@pytest.mark.parametrize("seed", range(4))
def test_louvain_finds_the_highest_modularity_of_small_graphs(seed: int) -> None:
    weights = CubedQuantile().edges(euclidean(points(8, seed)))
    best = max(modularity(weights, np.array(labels)) for labels in partitions(8))
    found = louvain_labels(weights, 1.0, 10, np.random.default_rng(0))
    assert modularity(weights, found) == pytest.approx(best, abs=1e-12)


def test_louvain_on_the_karate_club() -> None:
    weights = nx.to_numpy_array(nx.karate_club_graph(), weight=None)
    found = louvain_labels(weights, 1.0, 20, np.random.default_rng(0))
    # The maximum, proven by Brandes et al. 2008, On modularity clustering, IEEE TKDE 20.
    assert modularity(weights, found) == pytest.approx(0.4198, abs=5e-5) and found.max() == 3


@pytest.mark.parametrize("seed", range(3))
def test_louvain_is_as_good_as_that_of_networkx(seed: int) -> None:
    weights = GaussianMedian().edges(euclidean(points(60, seed)))
    graph = nx.from_numpy_array(weights)
    theirs = max(
        nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=start)) for start in range(10)
    )
    ours = modularity(weights, louvain_labels(weights, 1.0, 10, np.random.default_rng(0)))
    assert ours > theirs - 0.005


def test_louvain_with_parts_and_without_edges() -> None:
    generator = np.random.default_rng(0)
    assert louvain_labels(blocks(2, 3, 4), 1.0, 3, generator).tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert louvain_labels(blocks(2, 1, 2), 1.0, 3, generator).tolist() == [0, 0, 1, 2, 2]
    assert louvain_labels(np.zeros((3, 3)), 1.0, 3, generator).tolist() == [0, 1, 2]
    assert louvain_labels(blocks(6), 5.0, 3, generator).max() == 5
    assert louvain_labels(blocks(3, 3) + 0.1, 0.01, 3, generator).max() == 0


def test_louvain_ends_where_gains_are_rounding() -> None:
    graph = nx.Graph([(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (2, 3), (2, 5), (3, 4), (4, 6)])
    weights = nx.to_numpy_array(graph, nodelist=range(7))
    best = max(modularity(weights, np.array(labels)) for labels in partitions(7))
    for start in range(20):
        found = louvain_labels(weights, 1.0, 10, np.random.default_rng(start))
        assert modularity(weights, found) == pytest.approx(best, abs=1e-12)


def test_louvain_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution must be above 0, got 0"):
        Louvain(resolution=0)
    with pytest.raises(ValueError, match="restarts must be 1 or more, got 0"):
        Louvain(restarts=0)


# --- spectral


@pytest.mark.parametrize("seed", range(4))
def test_spectral_clusters_are_those_of_scikit_learn(seed: int) -> None:
    weights = GaussianMedian(1.0).edges(euclidean(points(40, seed)))
    for number in (2, 3, 5):
        twin = SpectralClustering(number, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
        assert same_partition(spectral_labels(weights, number), twin.fit_predict(weights + np.eye(40)))


def test_the_laplacian_has_the_spectrum_of_networkx() -> None:
    weights = Inverse(1.0).edges(euclidean(points()))
    values, vectors = laplacian_spectrum(weights, 30)
    np.testing.assert_allclose(values, nx.normalized_laplacian_spectrum(nx.from_numpy_array(weights)), atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(30), atol=1e-10)


def test_parts_of_a_graph_are_its_spectral_clusters() -> None:
    weights = blocks(4, 1, 3)
    assert laplacian_spectrum(weights, 4)[0] == pytest.approx([0, 0, 0, 4 / 3])
    assert eigengap_number(weights) == 3 and eigengap_number(np.zeros((1, 1))) == 1 == eigengap_number(blocks(2))
    assert spectral_labels(weights, 3).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]


def rows_nearest_to_directions(rows: np.ndarray) -> np.ndarray:
    """Return the directions of Damle, Minden & Ying, section 3.1, that the rows have most of."""
    number = rows.shape[1]
    picked = qr(rows.T, pivoting=True, mode="r")[1][:number]
    left, _, right = np.linalg.svd(rows[picked].T)
    found: np.ndarray = np.abs(rows @ (left @ right)).argmax(1)
    return found


@pytest.mark.parametrize("weights", [blocks(4, 1, 3), blocks(6), GaussianMedian().edges(euclidean(points()))])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_spectral_clusters_are_those_of_the_paper(weights: np.ndarray, number: int) -> None:
    degrees = weights.sum(1)
    rows = laplacian_spectrum(weights, number)[1] / np.sqrt(np.where(degrees > 0, degrees, 1))[:, None]
    assert same_partition(spectral_labels(weights, number), rows_nearest_to_directions(rows))


def test_spectral_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="number must be 1 or more, eigengap or None, got 'gap'"):
        Spectral(number="gap")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="number or rule must say how many clusters there are"):
        Spectral(rule=None)


# --- all of them


@pytest.mark.parametrize("clustering", CLUSTERINGS, ids=named)
@pytest.mark.parametrize("distance", [euclidean, cosine, manhattan])
def test_planted_clusters_are_found(clustering: Clustering, distance: object) -> None:
    assert callable(distance)
    data, groups = planted((5, 9, 4, 7))
    moved, order = shuffled(distance(data))
    found = clustering.find(moved, seed=1)
    assert found.number == 4 and adjusted_rand_index(found.labels, groups[order]) == 1
    assert list(dict.fromkeys(found.labels.tolist())) == [0, 1, 2, 3]
    assert np.isnan(found.p) == bool(found.reason) and (found.p == 0.05) == (found.reason == "")


@pytest.mark.parametrize("clustering", CLUSTERINGS, ids=named)
def test_clusters_do_not_depend_on_the_order_of_clients_nor_on_a_second_call(clustering: Clustering) -> None:
    data, _ = planted((5, 9, 4, 7), separation=1.2)
    distances = euclidean(data)
    moved, order = shuffled(distances)
    first, second = clustering.find(distances, 3, resamples=4), clustering.find(moved, 3, resamples=4)
    assert same_partition(first.labels[order], second.labels) and first.scores == pytest.approx(second.scores)
    assert first.p == second.p or first.reason == second.reason != ""
    assert first.stability is not None and second.stability is not None
    assert sorted(first.stability.jaccard) == pytest.approx(sorted(second.stability.jaccard), nan_ok=True)
    assert (clustering.labels(distances, 3) == first.labels).all()


@pytest.mark.parametrize("clustering", [*CLUSTERINGS, Agglomerative(number=1), Spectral(number=1)], ids=named)
def test_few_clients_are_clustered_as_well(clustering: Clustering) -> None:
    assert clustering.labels(np.zeros((1, 1)), 0).tolist() == [0]
    if clustering.number == 1:
        assert clustering.labels(three_clients(), 0).tolist() == [0, 0, 0]
    assert len(clustering.labels(three_clients(), 0)) == 3 and len(clustering.labels(1 - np.eye(2), 0)) == 2


@pytest.mark.parametrize("make", [Agglomerative, Spectral])
def test_a_given_number_is_kept_and_checked(make: type[Agglomerative] | type[Spectral]) -> None:
    found = make(number=3).find(three_clients(), 0)
    assert found.labels.tolist() == [0, 1, 2] and found.reason == "the number of clusters was given"
    assert np.isnan(found.p) and found.scores == {} and found.stability is None
    with pytest.raises(ValueError, match="number must be at most the number of clients, 3, got 4"):
        make(number=4).labels(three_clients(), 0)
    with pytest.raises(ValueError, match="number must be 1 or more, got 0"):
        make(number=0)
