"""CKA against netrep's values, brute force, populations, and its invariances."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.compare.base import Compared
from metrics.compare.measures.cka import CKA
from metrics.compare.products.centred import centred
from metrics.compare.products.gram_products import gram_products, row_products
from tests.support.netrep_values import DEBIASED_CKA, HSIC_1, LINEAR_CKA, arrays

ARRAYS = arrays()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def compare(*items: Tensor, estimator: str = "debiased", permutations: int = 0) -> dict[str, Compared]:
    pairs = list(itertools.combinations(range(len(items)), 2))
    return {one.metric: one for one in CKA(estimator).compare(items, pairs, permutations, seed=3)}


def cka(x: Tensor, y: Tensor, estimator: str = "debiased") -> float:
    return float(compare(x, y, estimator=estimator)["cka"].value[0])


def distance(x: Tensor, y: Tensor, estimator: str = "debiased") -> float:
    return float(compare(x, y, estimator=estimator)["cka_distance"].value[0])


def u_centred(x: Tensor) -> np.ndarray:
    """Return the U-centred Gram matrix by its definition."""
    gram = (x @ x.T).double().numpy()
    n = len(gram)
    np.fill_diagonal(gram, 0)
    rows = gram.sum(1)
    centred_gram = gram - (rows[:, None] + rows) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred_gram, 0)
    return np.asarray(centred_gram)


@pytest.mark.parametrize("names", LINEAR_CKA, ids="-".join)
def test_biased_distance_is_netreps(names: tuple[str, str]) -> None:
    found = distance(ARRAYS[names[0]], ARRAYS[names[1]], "biased")
    assert found == pytest.approx(LINEAR_CKA[names], rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("names", DEBIASED_CKA, ids="-".join)
def test_debiased_value_is_the_definitions(names: tuple[str, str]) -> None:
    assert cka(ARRAYS[names[0]], ARRAYS[names[1]]) == pytest.approx(DEBIASED_CKA[names], rel=1e-9, abs=1e-12)


def test_inner_products_are_the_unbiased_hsic() -> None:
    x, y = ARRAYS["A"][:8, :3], ARRAYS["B"][:8, :4]
    scales = [float((z - z.mean(0)).square().sum() / len(z)) ** 0.5 for z in (x, y)]
    for (a, b), expected in zip(((0, 1), (0, 0), (1, 1)), HSIC_1, strict=True):
        one, other = (centred((x, y)[place]) for place in (a, b))
        found = float(row_products(one, other, debiased=True).sum()) * (scales[a] * scales[b]) ** 2 / (8 * 5)
        assert found == pytest.approx(expected, rel=1e-9)


def test_rows_are_those_of_the_u_centred_matrix() -> None:
    x, y = (item.rows for item in (centred(normal(0, 9, 3)), centred(normal(1, 9, 20))))
    expected = (u_centred(x) * u_centred(y)).sum(1)
    found = row_products(centred(x), centred(y), debiased=True)
    assert found.numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("shape", [(60, 4), (30, 200), (12, 5, 40)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gram_space_equals_feature_space(dtype: torch.dtype, debiased: bool, shape: tuple[int, ...]) -> None:
    items = [centred(normal(seed, *shape).to(dtype)) for seed in range(4)]
    pairs = list(itertools.combinations(range(4), 2))
    found = gram_products(items, pairs, debiased)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for (a, b), rows in zip(pairs, found.pair, strict=True):
        expected = items[a].by_example(row_products(items[a], items[b], debiased))
        assert rows.numpy() == pytest.approx(
            expected.numpy(), rel=tolerance, abs=tolerance * float(expected.abs().max())
        )
    own = [float(row_products(item, item, debiased).sum()) for item in items]
    assert found.own.sum(1).numpy() == pytest.approx(own, rel=1e-6)


def test_a_linear_map_changes_it_and_a_rotation_does_not() -> None:
    assert cka(ARRAYS["A"], ARRAYS["C"]) == pytest.approx(1, abs=1e-12)
    assert cka(ARRAYS["A"], ARRAYS["D"], "biased") == pytest.approx(0.7238, abs=1e-4)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_it_is_symmetric_and_unchanged_by_rotation_scale_and_translation(estimator: str) -> None:
    x, y = normal(0, 50, 12), normal(1, 50, 9) + 0.3 * normal(0, 50, 12)[:, :9]
    rotation = torch.linalg.qr(normal(2, 12, 12)).Q
    value = cka(x, y, estimator)
    assert cka(y, x, estimator) == pytest.approx(value, rel=1e-12)
    assert cka(7 * x @ rotation + normal(3, 1, 12), y, estimator) == pytest.approx(value, rel=1e-9)


def test_the_population_value_of_a_noisy_copy_is_one_half() -> None:
    x = normal(0, 1000, 512).float()
    y = x + normal(1, 1000, 512).float()
    found = compare(x, y)["cka"]
    assert found.stderr is not None
    assert found.value[0] == pytest.approx(0.5, abs=4 * found.stderr[0])
    assert cka(x, y, "biased") == pytest.approx(0.671, abs=0.01)


def test_independent_wide_layers_look_alike_to_the_biased_estimator_only() -> None:
    x, y = normal(0, 500, 4096).float(), normal(1, 500, 4096).float()
    found = compare(x, y)["cka"]
    assert found.chance_hi is not None
    assert abs(found.value[0]) < 3 * math.sqrt(2) / 500
    assert 0.001 < found.chance_hi[0] < 0.01
    assert cka(x, y, "biased") == pytest.approx(0.891, abs=0.005)


def test_independent_features_give_zero_on_average() -> None:
    values = [cka(normal(2 * seed, 40, 10), normal(2 * seed + 1, 40, 10)) for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
@pytest.mark.parametrize("width", [8, 300])
def test_float32_and_a_large_mean_change_nothing(estimator: str, width: int) -> None:
    x = 0.1 * normal(0, 64, width)
    y = x + 0.05 * normal(1, 64, width)
    expected = cka(x, y, estimator)
    for offset in (0.0, 1.0, 100.0):
        found = cka((x + offset).float(), (y - offset).float(), estimator)
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("width", [16, 700])
def test_equal_and_nearly_equal_clients_have_the_right_distance(width: int) -> None:
    x = (normal(0, 200, width) + 3).float()
    y = x + 1e-4 * normal(1, 200, width).float()
    exact = distance(x.double(), y.double())
    assert distance(x, x.clone()) < 1e-6
    assert 1e-6 < distance(x, y) == pytest.approx(exact, rel=1e-3)


def test_the_angle_obeys_the_triangle_inequality_and_the_table_is_positive_semidefinite() -> None:
    base = normal(99, 40, 8)
    items = [base + strength * normal(seed, 40, 8) for seed, strength in enumerate((0.1, 0.5, 1.0, 2.0, 4.0, 8.0))]
    for estimator in ("debiased", "biased"):
        found = compare(*items, estimator=estimator)
        angles, table = np.zeros((6, 6)), np.eye(6)
        for (a, b), angle, value in zip(
            itertools.combinations(range(6), 2), found["cka_distance"].value, found["cka"].value, strict=True
        ):
            angles[a, b] = angles[b, a] = angle
            table[a, b] = table[b, a] = value
        assert (angles[:, :, None] <= angles[:, None, :] + angles.T[None, :, :] + 1e-12).all()
        assert np.linalg.eigvalsh(table).min() > -1e-12


def test_minibatches_estimate_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    base = normal(0, 600, 700)
    x, y = base[:, :650].float(), (base + 1.2 * normal(1, 600, 700)).float()
    whole = compare(x, y)["cka"]
    monkeypatch.setattr("metrics.compare.products.gram_products._MINIBATCH_ABOVE", 100)
    monkeypatch.setattr("metrics.compare.products.gram_products._MINIBATCH", 100)
    found = compare(x, y)["cka"]
    assert found.variant == "debiased, minibatches"
    assert found.stderr is not None and whole.stderr is not None
    assert found.value[0] == pytest.approx(whole.value[0], abs=3 * found.stderr[0])
    # Examples meet in a sixth of the pairs only.
    assert whole.stderr[0] < found.stderr[0] < 0.02


@pytest.mark.parametrize("mixing", [0.3, 1.0, 3.0])
def test_the_standard_error_is_the_spread_over_fresh_examples(mixing: float) -> None:
    values, errors = [], []
    maps = normal(5, 6, 8)
    for seed in range(150):
        source = normal(1000 + seed, 120, 6)
        x, y = source @ maps, source @ maps + mixing * normal(5000 + seed, 120, 8)
        found = compare(x, y)["cka"]
        assert found.stderr is not None
        values.append(found.value[0])
        errors.append(found.stderr[0])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_positions_as_samples_count_examples_not_positions() -> None:
    x, y = normal(0, 30, 6, 5), normal(1, 30, 6, 4)
    y[:, :, 0] = x[:, :, 0]
    flat = cka(x.flatten(0, 1), y.flatten(0, 1))
    found = compare(x, y, permutations=60)["cka"]
    assert found.value[0] == pytest.approx(flat, rel=1e-9)
    assert found.p is not None and found.p[0] == pytest.approx(1 / 61)


def test_layers_of_different_positions_are_not_compared() -> None:
    found = compare(normal(0, 9, 4, 3), normal(1, 9, 2, 3), normal(2, 9, 4, 5))["cka"]
    assert np.isfinite(found.value).tolist() == [False, True, False]
    assert found.reasons[0] == "the layers have 4 and 2 positions; compare them with positions=pooled"


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_what_is_not_defined_is_missing_with_a_reason(estimator: str) -> None:
    few = compare(normal(0, 3, 4), normal(1, 3, 4), estimator=estimator)["cka_distance"]
    assert np.isnan(few.value[0]) and few.reasons[0] == "4 examples or more are needed, got 3"
    dead = compare(torch.full((9, 4), 0.1), normal(1, 9, 4), normal(2, 9, 4), estimator=estimator)["cka"]
    assert np.isnan(dead.value).tolist() == [True, True, False]
    assert dead.reasons[0] == "a representation is the same for all examples"
    diverged = compare(torch.full((9, 4), torch.nan), normal(1, 9, 4), estimator=estimator)["cka"]
    assert diverged.reasons[0] == "a representation is not finite"


def test_other_pairs_and_their_order_change_nothing() -> None:
    items = [normal(seed, 40, 6) for seed in range(4)]
    both = CKA().compare(items, [(0, 1), (3, 2)], 0, 0)[0]
    turned = CKA().compare(items[::-1], [(1, 0), (3, 2), (3, 0)], 0, 0)[0]
    assert both.value == pytest.approx(turned.value[[1, 0]], rel=1e-12)
    assert both.p == pytest.approx(turned.p[[1, 0]], rel=1e-9)  # type: ignore[index]


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="estimator must be one of debiased, biased, got 'unbiased'"):
        CKA("unbiased")
