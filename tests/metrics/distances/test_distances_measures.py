"""Distances of arrays against closed forms, scipy and the axioms of a metric."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist, cosine, minkowski
from scipy.stats import ortho_group, wasserstein_distance
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from metrics.distances.gram.angle import cosine_distance
from metrics.distances.measures.edc import edc_matrix
from metrics.distances.measures.lp import lp_distance, lp_norm
from metrics.distances.measures.procrustes import procrustes_disparity
from metrics.distances.measures.sign_disagreement import sign_disagreement
from metrics.distances.measures.trust import log_trust
from metrics.distances.measures.wasserstein import wasserstein_distance as wasserstein_2

EXPONENTS = [0.1, 0.5, 1, 2, 3, 10]
Distance = Callable[[np.ndarray, np.ndarray], float]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(units: int) -> np.ndarray:
    matrix: np.ndarray = ortho_group.rvs(units, random_state=0)
    return matrix


def assert_triangle(distance: Distance, items: list[np.ndarray]) -> None:
    table = np.array([[distance(a, b) for b in items] for a in items])
    assert (table[:, :, None] <= table[:, None, :] + table.T[None, :, :] + 1e-12).all()
    assert (table[~np.eye(len(items), dtype=bool)] > 0).all()


# --- L_p


@pytest.mark.parametrize("p", EXPONENTS)
def test_lp_is_scipys(p: float) -> None:
    x, y = normal(0, 50), normal(1, 50)
    assert lp_distance(x, y, p) == pytest.approx(minkowski(x, y, p), rel=1e-12)
    assert lp_distance(x, y, p) == lp_distance(y, x, p)
    assert lp_distance(8 * x, 8 * y, p) == pytest.approx(8 * lp_distance(x, y, p), rel=1e-14)


@pytest.mark.parametrize("p", EXPONENTS)
@pytest.mark.parametrize("size", [1e-300, 1e-40, 1.0, 1e30, 1e250])
def test_lp_of_equal_components_is_one_of_them_times_a_root(p: float, size: float) -> None:
    assert lp_norm(np.full(1000, -size), p) / size == pytest.approx(1000 ** (1 / p), rel=1e-12)


@pytest.mark.parametrize("p", [0.1, 10])
def test_lp_of_float32_neither_overflows_nor_vanishes(p: float) -> None:
    x = np.full(10**5, 1e30, np.float32)
    assert lp_distance(x, -x, p) == pytest.approx(2 * float(x[0]) * 1e5 ** (1 / p), rel=1e-9)
    tiny = np.full(10**5, 1e-40, np.float32)
    assert lp_distance(tiny, -tiny, p) == pytest.approx(2 * float(tiny[0]) * 1e5 ** (1 / p), rel=1e-9)


@pytest.mark.parametrize("p", EXPONENTS)
def test_lp_keeps_small_differences_of_large_float32_numbers(p: float) -> None:
    x, y = ((1000 + 1e-4 * normal(seed, 5000)).astype(np.float32) for seed in (0, 1))
    differences = [abs(float(a) - float(b)) for a, b in zip(x, y, strict=True)]
    assert lp_distance(x, y, p) == pytest.approx(math.fsum(d**p for d in differences) ** (1 / p), rel=1e-9)


@pytest.mark.parametrize("p", [1, 2, 3, 10])
def test_lp_is_a_metric_from_one_on(p: float) -> None:
    assert_triangle(lambda a, b: lp_distance(a, b, p), [normal(seed, 3) for seed in range(8)])


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_lp_is_no_metric_below_one(p: float) -> None:
    origin, corner, between = np.zeros(2), np.ones(2), np.array([1.0, 0.0])
    assert lp_distance(origin, corner, p) > lp_distance(origin, between, p) + lp_distance(between, corner, p)


def test_lp_without_finite_numbers_is_missing() -> None:
    for bad in (math.nan, math.inf):
        assert math.isnan(lp_distance(np.array([1.0, bad]), np.zeros(2), 2))
    assert lp_norm(np.zeros(0), 2) == lp_norm(np.zeros(3), 0.1) == 0


@pytest.mark.parametrize("p", [0, -1, math.nan])
def test_an_exponent_below_zero_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=f"p must be above 0, got {p}"):
        lp_distance(np.ones(2), np.zeros(2), p)


# --- cosine


def test_cosine_is_scipys() -> None:
    x, y = normal(0, 50), normal(1, 50)
    assert cosine_distance(x, y) == pytest.approx(cosine(x, y), rel=1e-12)
    assert cosine_distance(x, y) == cosine_distance(y, x)


@pytest.mark.parametrize("angle", [1e-150, 1e-12, 1e-8, 1e-3, 1, math.pi / 2, 3, math.pi - 1e-9])
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1, 1e200])
def test_cosine_is_exact_at_every_angle(angle: float, scale: float) -> None:
    x, y = np.array([1.0, 0.0]), scale * np.array([math.cos(angle), math.sin(angle)])
    assert cosine_distance(x, y) == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-12)


def test_cosine_of_special_vectors() -> None:
    x, zero = np.array([0.1, -0.7, 1e-20], np.float32), np.zeros(3)
    assert cosine_distance(x, x) == cosine_distance(zero, zero) == cosine_distance(x, np.float32(4) * x) == 0
    assert cosine_distance(x, zero) == cosine_distance(zero, x) == 1
    assert cosine_distance(x, -x) == pytest.approx(2) and cosine_distance(x, -x) <= 2
    assert cosine_distance(np.array([5e-324]), np.array([1.0])) == 0
    for bad in (math.nan, math.inf):
        assert math.isnan(cosine_distance(x, np.array([1.0, bad, 1.0])))


def test_cosine_of_large_float32_numbers_with_small_differences() -> None:
    x, y = ((1000 + 1e-2 * normal(seed, 500)).astype(np.float32) for seed in (0, 1))
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    by_sines = np.square(np.outer(a, b) - np.outer(b, a)).sum() / 2 / (a @ a) / (b @ b)
    assert cosine_distance(x, y) == pytest.approx(float(by_sines / (1 + np.sqrt(1 - by_sines))), rel=1e-9)


# --- trust


def test_trust_of_halved_layers_is_a_power() -> None:
    a = [normal(seed, 6) for seed in range(5)]
    b = [0.5 * x for x in a]
    assert log_trust(a, b) == pytest.approx(5 * math.log(1.5))
    assert log_trust(b, a) == pytest.approx(5 * math.log(2))


def test_trust_is_the_product_of_the_definition() -> None:
    a, b = [normal(seed, 6) for seed in range(3)], [normal(9 + seed, 6) for seed in range(3)]
    product = math.prod(1 + np.linalg.norm(y - x) / np.linalg.norm(x) for x, y in zip(a, b, strict=True))
    assert math.expm1(log_trust(a, b)) == pytest.approx(product - 1)
    assert log_trust(a, b) == pytest.approx(log_trust([7 * x for x in a], [7 * y for y in b]))


def test_trust_of_nearly_equal_networks_keeps_its_digits() -> None:
    a = [np.ones(4), np.full(4, 2.0)]
    b = [x * (1 + 2.0**-40) for x in a]
    assert log_trust(a, b) == pytest.approx(2 * 2.0**-40, rel=1e-11)
    assert log_trust(a, a) == 0


def test_trust_has_no_relative_difference_from_nothing() -> None:
    x, zero = np.ones(3), np.zeros(3)
    assert math.isnan(log_trust([x, zero], [x, x]))
    assert log_trust([x, zero], [x, zero]) == 0
    assert log_trust([x], [zero]) == pytest.approx(math.log(2))
    assert math.isnan(log_trust([x], [np.array([1, 1, math.nan])]))


# --- signs


def test_signs_are_counted() -> None:
    x, y = np.array([1.0, -1.0, 0.0, 2.0, -3.0]), np.array([1.0, 1.0, -1.0, -2.0, 0.0])
    assert sign_disagreement(x, y) == sign_disagreement(y, x) == 0.4
    assert sign_disagreement(x, x) == 0 and sign_disagreement(y, -y) == 0.8
    tiny = np.array([1e-300, -1e-300])
    assert sign_disagreement(tiny, -tiny) == 1
    assert math.isnan(sign_disagreement(np.array([math.nan, 1]), np.ones(2)))
    assert math.isnan(sign_disagreement(np.zeros(0), np.zeros(0)))


def test_random_signs_disagree_in_half() -> None:
    assert sign_disagreement(normal(0, 10**5), normal(1, 10**5)) == pytest.approx(0.5, abs=0.01)


# --- Wasserstein


def by_linear_program(x: np.ndarray, y: np.ndarray) -> float:
    """Return W_2 as the cheapest of all transport plans."""
    n, costs = len(x), cdist(x, y, "sqeuclidean")
    rows = [np.kron(unit, np.ones(n)) for unit in np.eye(n)]
    columns = [np.kron(np.ones(n), unit) for unit in np.eye(n)]
    plan = np.asarray(linprog(costs.ravel(), A_eq=np.array(rows + columns), b_eq=np.full(2 * n, 1 / n)).x)
    return math.sqrt(costs.ravel() @ plan)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_wasserstein_is_the_cheapest_transport_plan(n: int) -> None:
    x, y = normal(0, n, 4), normal(1, n, 4)
    assert wasserstein_2(x, y) == pytest.approx(by_linear_program(x, y))


def test_wasserstein_of_points_on_a_line_matches_them_in_order() -> None:
    x, y = normal(0, 9, 1), normal(1, 9, 1)
    by_order = np.sqrt(np.square(np.sort(x, 0) - np.sort(y, 0)).mean())
    assert wasserstein_2(x, y) == pytest.approx(by_order)
    # W_1 is never larger, and the same for a shift.
    assert wasserstein_2(x, y) >= wasserstein_distance(x[:, 0], y[:, 0])
    assert wasserstein_2(x, x + 3) == pytest.approx(wasserstein_distance(x[:, 0], x[:, 0] + 3)) == pytest.approx(3)


def test_wasserstein_ignores_the_order_of_points_and_scales() -> None:
    x, y = normal(0, 12, 5), normal(1, 12, 5)
    assert wasserstein_2(x, x[::-1]) == 0
    assert wasserstein_2(x, y[::-1]) == pytest.approx(wasserstein_2(x, y))
    assert wasserstein_2(4 * x, 4 * y) == pytest.approx(4 * wasserstein_2(x, y))
    assert wasserstein_2(1e6 + x, 1e6 + x[::-1] + 1e-3) == pytest.approx(1e-3 * math.sqrt(5), rel=1e-6)


def test_wasserstein_is_a_metric() -> None:
    assert_triangle(wasserstein_2, [normal(seed, 3, 2) for seed in range(7)])


def test_wasserstein_without_points_or_with_infinite_ones_is_missing() -> None:
    assert math.isnan(wasserstein_2(np.zeros((0, 3)), np.zeros((0, 3))))
    for bad in (math.nan, math.inf):
        assert math.isnan(wasserstein_2(np.array([[bad], [1.0]]), np.ones((2, 1))))


# --- Procrustes


@pytest.mark.parametrize(("points", "units"), [(12, 4), (4, 12), (5, 5)])
def test_procrustes_is_scipys_disparity(points: int, units: int) -> None:
    x, y = normal(0, points, units), normal(1, points, units)
    assert procrustes_disparity(x, y) == pytest.approx(procrustes(x, y)[2], rel=1e-9, abs=1e-13)
    assert procrustes_disparity(x, y) == pytest.approx(procrustes_disparity(y, x), rel=1e-12, abs=1e-13)


def test_procrustes_pads_with_zeros() -> None:
    x, narrow = normal(0, 12, 7), normal(1, 12, 3)
    padded = np.hstack([narrow, np.zeros((12, 4))])
    assert procrustes_disparity(x, narrow) == pytest.approx(procrustes(x, padded)[2], rel=1e-9)
    short = normal(2, 8, 7)
    centred = np.vstack([short - short.mean(0), np.zeros((4, 7))])
    assert procrustes_disparity(x, short) == pytest.approx(procrustes(x, centred)[2], rel=1e-9)
    assert procrustes_disparity(short, x) == pytest.approx(procrustes_disparity(x, short), rel=1e-12)


def test_procrustes_ignores_rotation_scale_and_shift_of_the_units() -> None:
    x = normal(0, 30, 6)
    assert procrustes_disparity(x, x) < 1e-28
    assert procrustes_disparity(x, 1e-3 * x @ rotation(6) + normal(1, 6)) < 1e-25
    assert procrustes_disparity(x, x[:, ::-1]) < 1e-28
    assert procrustes_disparity(x, x[::-1]) > 0.1


def test_procrustes_of_nearly_equal_matrices_keeps_its_digits() -> None:
    x, d = normal(0, 30, 2), 1e-7 * normal(1, 30, 2)
    # Symmetric differences need no rotation, centred ones orthogonal to x no shift and no scale.
    d -= d.mean(0)
    x -= x.mean(0)
    d -= x @ np.linalg.solve(x.T @ x, x.T @ d)
    expected = (d**2).sum() / (x**2).sum()
    assert procrustes_disparity(x, x + d) == pytest.approx(expected, rel=1e-6)


def test_the_root_of_procrustes_obeys_the_triangle_inequality() -> None:
    items = [normal(99, 10, 3) + noise * normal(seed, 10, 3) for seed, noise in enumerate((0.1, 0.5, 1, 2, 4))]
    assert_triangle(lambda a, b: math.sqrt(procrustes_disparity(a, b)), [*items, normal(50, 10, 2), normal(51, 7, 5)])


def test_procrustes_without_extent_is_missing() -> None:
    same = np.tile([0.1, 0.7, 1.1], (7, 1))
    for flat in (np.zeros((4, 3)), same, normal(0, 1, 3), np.full((4, 3), math.nan), np.zeros((0, 3))):
        assert math.isnan(procrustes_disparity(flat, normal(1, 4, 3)))
        assert math.isnan(procrustes_disparity(normal(1, 4, 3), flat))


# --- EDC


@pytest.mark.parametrize(("clients", "numbers", "directions"), [(12, 500, 3), (12, 5, 8), (4, 9000, 10)])
def test_edc_is_that_of_truncated_singular_vectors(clients: int, numbers: int, directions: int) -> None:
    updates = normal(0, clients, numbers) + 2 * normal(1, clients, 1)
    count = min(clients, numbers, directions)
    # As in the authors' program: directions by scikit-learn, cosines, their Euclidean distances; and the paper's 1 / m.
    directions_found = TruncatedSVD(count, algorithm="arpack" if count < min(updates.shape) else "randomized")
    cosines = cosine_similarity(updates, directions_found.fit(updates).components_)
    found = edc_matrix([updates[:, :3], updates[:, 3:]], directions)
    assert found == pytest.approx(euclidean_distances(cosines) / count, rel=1e-6, abs=1e-9)
    assert (found == found.T).all()


def test_edc_of_two_orthogonal_groups_is_known() -> None:
    updates = np.array([[2.0, 0, 0], [5.0, 0, 0], [0, 1, 0], [0, 3, 0], [0, -3, 0]])
    found = edc_matrix([updates], 2)
    # Cosines with the two directions: (1, 0), (1, 0), (0, 1), (0, 1), (0, −1).
    expected = [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 0, 2**0.5], [1, 1, 0, 0, 2**0.5], [1, 1, *[2**0.5] * 2, 0]]
    assert found == pytest.approx(np.array(expected) * 2**0.5 / 2, abs=1e-12)


def test_edc_scales_orders_and_copies() -> None:
    updates = normal(0, 6, 50) + normal(1, 6, 1)
    updates[5] = updates[1]
    found = edc_matrix([updates], 3)
    assert found[1, 5] < 1e-12 and not found.diagonal().any()
    assert edc_matrix([1e-9 * updates], 3) == pytest.approx(found, rel=1e-9, abs=1e-12)
    assert edc_matrix([updates[::-1]], 3) == pytest.approx(found[::-1, ::-1], rel=1e-9, abs=1e-12)


def test_edc_of_a_client_that_is_not_finite_is_missing_and_harms_nobody() -> None:
    updates = normal(0, 5, 50)
    alone = edc_matrix([updates[1:]], 2)
    updates[0, 3] = math.inf
    found = edc_matrix([updates], 2)
    assert np.isnan(found[0]).all() and np.isnan(found[:, 0]).all()
    assert found[1:, 1:] == pytest.approx(alone)
    assert np.isnan(edc_matrix([np.full((2, 3), math.nan)], 2)).all()


def test_edc_of_zero_updates_is_zero() -> None:
    found = edc_matrix([np.zeros((3, 4))], 2)
    assert found.shape == (3, 3) and not found.any()


def test_edc_needs_a_direction() -> None:
    with pytest.raises(ValueError, match="directions must be 1 or more, got 0"):
        edc_matrix([np.ones((2, 3))], 0)


def test_every_measure_leaves_its_input_alone() -> None:
    x, y = normal(0, 6, 6), normal(1, 6, 6)
    kept = x.copy(), y.copy()
    for distance in (procrustes_disparity, wasserstein_2):
        distance(x, y)
    for (a, b), p in itertools.product([(x.ravel(), y.ravel())], EXPONENTS):
        lp_distance(a, b, p), cosine_distance(a, b), sign_disagreement(a, b)
    log_trust(list(x), list(y)), edc_matrix([x, y], 2)
    assert (x == kept[0]).all() and (y == kept[1]).all()
