"""All pairs of clients from matrix products against exact arithmetic, pair by pair and scipy."""

import itertools
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import LayerMetric, ModelMetric
from metrics.distances.gram import shared_products as shared_products_module
from metrics.distances.gram.angle import cosine_distance
from metrics.distances.gram.gram_pairs import GramDistances, pairwise_by_gram, part_pairs
from metrics.distances.gram.shared_products import shared_products
from metrics.distances.measures.lp import ModelLpMetric, lp_distance
from metrics.distances.metric_set import MetricSet
from metrics.distances.weights.participant import LayerWeights, Model, RoleArray, vector_of

CLIENTS = 8


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def fraction(vector: np.ndarray) -> list[Fraction]:
    return [Fraction(float(value)) for value in vector]


def root(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).sqrt()


def exact(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return L2 and cosine distance in exact arithmetic; roots with 200 digits."""
    x, y = fraction(first), fraction(second)
    xx, yy, xy, dd = (
        sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))
        for left, right in ((x, x), (y, y), (x, y), *[([a - b for a, b in zip(x, y, strict=True)],) * 2])
    )
    with localcontext() as context:
        context.prec = 200
        return float(root(dd)), float(1 - Decimal(xy.numerator) / Decimal(xy.denominator) / root(xx * yy))


def assert_exact(rows: np.ndarray, cosine_error: float = 1e-9) -> None:
    found = pairwise_by_gram([rows])
    l2, cosine = found.l2(), found.cosine()
    for i, j in itertools.combinations(range(len(rows)), 2):
        true_l2, true_cosine = exact(rows[i], rows[j])
        assert l2[i, j] == l2[j, i] == pytest.approx(true_l2, rel=1e-12, abs=0)
        assert cosine[i, j] == cosine[j, i] == pytest.approx(true_cosine, rel=cosine_error, abs=0)
        assert cosine_distance(rows[i], rows[j]) == pytest.approx(true_cosine, rel=cosine_error, abs=0)
    assert not l2.diagonal().any() and not cosine.diagonal().any()


def groups(width: float) -> np.ndarray:
    """Return clients of three far groups, each narrow."""
    return np.repeat(normal(0, 3, 40), [3, 3, 2], axis=0) + width * normal(1, CLIENTS, 40)


def one_far_away() -> np.ndarray:
    rows = normal(0, 1, 40) + 1e-5 * normal(1, CLIENTS, 40)
    rows[0] += 1e6
    return rows


CASES: dict[str, Callable[[], np.ndarray]] = {
    "unrelated": lambda: normal(0, CLIENTS, 40),
    "nearly equal": lambda: normal(0, 1, 40) + 1e-6 * normal(1, CLIENTS, 40),
    "almost equal": lambda: normal(0, 1, 40) + 1e-11 * normal(1, CLIENTS, 40),
    "offset, float32": lambda: (1000 + 1e-4 * normal(0, CLIENTS, 40)).astype(np.float32),
    "groups": lambda: groups(1e-3),
    "narrow groups": lambda: groups(1e-8),
    "ever nearer": lambda: normal(0, 1, 40) + np.cumprod(np.full((CLIENTS, 1), 0.01), 0) * normal(1, CLIENTS, 40),
    "the first far away": one_far_away,
    "opposite": lambda: np.sign(normal(2, CLIENTS, 1)) * (normal(0, 1, 40) + 1e-3 * normal(1, CLIENTS, 40)),
    "different norms": lambda: np.logspace(-3, 3, CLIENTS)[:, None] * (normal(0, 1, 40) + 0.1 * normal(1, CLIENTS, 40)),
    "across a power of two": lambda: (
        np.hstack([np.ones((CLIENTS, 1)), 0.5 * np.tile(normal(0, 1, 20) % 1, (CLIENTS, 1))])
        + 1e-9 * normal(1, CLIENTS, 21)
    ),
    "tiny": lambda: 1e-170 * normal(0, CLIENTS, 40),
    "huge": lambda: 1e170 * normal(0, CLIENTS, 40),
}


@pytest.mark.parametrize("case", CASES)
def test_distances_are_those_of_exact_arithmetic(case: str) -> None:
    assert_exact(CASES[case]())


def test_clients_that_differ_in_little_but_their_norm_keep_their_angle() -> None:
    scales = 1 + 1e-4 * normal(1, CLIENTS, 1)
    assert_exact(scales * (normal(0, 1, 40) + 1e-9 * normal(2, CLIENTS, 40)), cosine_error=1e-9)


def test_long_vectors_are_cut_into_tiles() -> None:
    rows = normal(0, 5, 10_001)
    found = pairwise_by_gram([rows])
    assert found.l2() == pytest.approx(cdist(rows, rows), rel=1e-12)
    assert found.cosine() == pytest.approx(cdist(rows, rows, "cosine"), rel=1e-12, abs=1e-14)
    assert found.norms() == pytest.approx(np.linalg.norm(rows, axis=1), rel=1e-12)


def test_copies_are_at_zero_from_each_other_only() -> None:
    rows = np.repeat(normal(0, 3, 5000).astype(np.float32), [2, 3, 2], axis=0)
    group = np.repeat(np.arange(3), [2, 3, 2])
    found = pairwise_by_gram([rows])
    for table in (found.l2(), found.cosine()):
        assert ((table == 0) == (group[:, None] == group)).all()


def test_zero_vectors_are_at_cosine_one_from_others_and_at_zero_from_each_other() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    found = pairwise_by_gram([rows])
    assert found.cosine().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert found.l2().tolist() == [[0, 5, 0], [5, 0, 5], [0, 5, 0]]
    assert not pairwise_by_gram([np.zeros((3, 4))]).l2().any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("client", [0, 2])
def test_a_client_that_is_not_finite_is_missing_and_harms_nobody(bad: float, client: int) -> None:
    rows = normal(0, 4, 30)
    rest = [i for i in range(4) if i != client]
    broken = rows.copy()
    broken[client, 7] = bad
    whole, found = pairwise_by_gram([rows]), pairwise_by_gram([broken])
    for table, true in ((found.l2(), whole.l2()), (found.cosine(), whole.cosine())):
        assert np.isnan(table[client]).all() and np.isnan(table[:, client]).all()
        assert table[np.ix_(rest, rest)] == pytest.approx(true[np.ix_(rest, rest)], rel=1e-12)


def layers() -> list[np.ndarray]:
    return [normal(0, CLIENTS, 30), 1e-3 * normal(1, CLIENTS, 7), np.zeros((CLIENTS, 3)), 50 + normal(2, CLIENTS, 1)]


def test_parts_add_up_to_the_model() -> None:
    parts = layers()
    found = pairwise_by_gram(parts)
    assert found.l2() ** 2 == pytest.approx(sum(found.l2(k) ** 2 for k in range(4)), rel=1e-12)
    for chosen in (None, [0, 3], [1], [2, 1]):
        rows = np.hstack(parts if chosen is None else [parts[k] for k in chosen])
        together = pairwise_by_gram([rows])
        assert found.l2(chosen) == pytest.approx(together.l2(), rel=1e-12)
        assert found.cosine(chosen) == pytest.approx(together.cosine(), rel=1e-9, abs=1e-30)
        assert found.norms(chosen) == pytest.approx(together.norms(), rel=1e-12)
    assert (found.l2(1) == found.l2([1])).all()


def test_parts_of_very_different_size_keep_their_own_distances() -> None:
    rows = normal(0, 4, 9)
    found = pairwise_by_gram([1e-200 * rows, rows, 1e200 * rows])
    for part, scale in enumerate((1e-200, 1, 1e200)):
        assert found.l2(part) == pytest.approx(scale * cdist(rows, rows), rel=1e-12)
    assert found.l2() == pytest.approx(found.l2(2), rel=1e-12)
    with_nothing = pairwise_by_gram([1e-200 * rows, 0 * rows])
    assert with_nothing.l2() == pytest.approx(found.l2(0), rel=1e-12)


def test_the_order_of_clients_does_not_matter() -> None:
    for case in ("groups", "the first far away", "ever nearer"):
        rows = CASES[case]()
        order = np.random.default_rng(0).permutation(CLIENTS)
        found, again = pairwise_by_gram([rows]), pairwise_by_gram([rows[order]])
        cells = np.ix_(order, order)
        assert again.l2() == pytest.approx(found.l2()[cells], rel=1e-12)
        assert again.cosine() == pytest.approx(found.cosine()[cells], rel=1e-9, abs=0)


def test_layers_may_be_spread_over_threads() -> None:
    parts = layers()
    with ThreadPoolExecutor(4) as pool:
        spread = GramDistances(tuple(pool.map(part_pairs, parts)), tuple(parts))
    together = pairwise_by_gram(parts)
    assert (spread.l2() == together.l2()).all() and (spread.cosine() == together.cosine()).all()


def test_vectors_may_come_one_by_one_and_stay_as_they_are() -> None:
    rows = normal(0, CLIENTS, 30).astype(np.float32)
    before = rows.copy()
    assert (pairwise_by_gram([list(rows)]).l2() == pairwise_by_gram([rows]).l2()).all()
    assert (rows == before).all()


def test_pair_by_pair_is_the_same() -> None:
    rows = CASES["groups"]()
    found = pairwise_by_gram([rows])
    for i, j in itertools.product(range(CLIENTS), repeat=2):
        assert found.l2()[i, j] == pytest.approx(lp_distance(rows[i], rows[j], 2), rel=1e-9, abs=0)
        assert found.cosine()[i, j] == pytest.approx(cosine_distance(rows[i], rows[j]), rel=1e-9, abs=0)


@pytest.mark.parametrize("count", [0, 1])
def test_few_clients_have_small_tables(count: int) -> None:
    found = pairwise_by_gram([np.ones((count, 3)), np.ones((count, 2))])
    assert found.l2().shape == found.cosine().shape == (count, count)
    assert not found.l2().any()


@pytest.mark.parametrize(
    ("parts", "counts"), [([], r"\[\]"), ([np.ones((2, 3)), np.ones((3, 3))], r"\[2, 3\]")], ids=["none", "unequal"]
)
def test_layers_must_have_the_same_clients(parts: list[np.ndarray], counts: str) -> None:
    with pytest.raises(ValueError, match=f"same clients in each of one or more layers, got {counts}"):
        pairwise_by_gram(parts)


# --- Products that several metrics share

GRAM_METRICS = ("model_cosine_dst", "cosine_dst", "l2_dst", "model_l2_dst", "symmetric_trusted_dst")


def some_models(shift: float = 0.0) -> list[Model]:
    return [
        tuple(
            LayerWeights(name, "linear", (RoleArray("weight", shift + normal(10 * client + place, 4, 3)),))
            for place, name in enumerate("abc")
        )
        for client in range(CLIENTS)
    ]


def tables_of(models: list[Model]) -> list[bytes]:
    """Return all tables of all metrics that are made of matrix products."""
    found = []
    for metric in MetricSet(built_in_metrics()).get_metrics(GRAM_METRICS):
        assert isinstance(metric, ModelMetric)
        found.append(metric.model_distance_matrix(models).tobytes())
        found += [metric.layer_distances(models).tobytes()] if isinstance(metric, LayerMetric) else []
    return found


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    counted = mock.Mock(wraps=pairwise_by_gram)
    monkeypatch.setattr(shared_products_module, "pairwise_by_gram", counted)
    return counted


def test_metrics_share_the_products_of_the_same_models(products: mock.Mock) -> None:
    models, others = some_models(), some_models(shift=1.0)
    alone = [tables_of(models), tables_of(others)]
    assert products.call_count == 14
    products.reset_mock()
    with shared_products():
        assert tables_of(models) == alone[0]
        assert tables_of(list(models)) == alone[0]
        assert products.call_count == 1
        assert tables_of(others) == alone[1]
        assert tables_of(models[:-1]) == tables_of(some_models()[:-1])
    assert products.call_count == 4


def test_as_many_arrays_in_other_models_are_other_models(products: mock.Mock) -> None:
    models = some_models()
    one_layer_each = [(layer,) for model in models for layer in model]
    with shared_products():
        for some in (models, one_layer_each):
            found = ModelLpMetric(2).model_distance_matrix(some)
            assert found == pytest.approx(cdist(*[np.array([vector_of(model) for model in some])] * 2), rel=1e-9)
    assert products.call_count == 2


def test_nothing_is_shared_outside_of_the_block(products: mock.Mock) -> None:
    models = some_models()
    with shared_products():
        before = tables_of(models)
    models[0][0].arrays[0].values[0, 0] += 1.0
    after = tables_of(models)
    assert not set(before) & set(after)
    with shared_products():
        assert tables_of(models) == after
    assert products.call_count == 1 + 7 + 1


def test_models_that_nobody_needs_are_let_go() -> None:
    models = some_models()
    array = weakref.ref(models[2][1].arrays[0].values)
    with shared_products():
        tables_of(models)
        del models
        assert array() is None
