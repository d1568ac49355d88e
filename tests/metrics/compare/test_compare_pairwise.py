"""What all comparisons by pairs have in common: invariances, null bands, standard errors and missing values."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.compare.base import Compared
from metrics.compare.chance.permutations import example_permutations
from metrics.compare.measures.cca import PWCCA, SVCCA
from metrics.compare.measures.pairwise import PairwiseComparison
from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.rsa import RSA
from metrics.compare.measures.shape import ShapeMetric
from metrics.compare.products.centred import Centred

MEASURES: dict[str, PairwiseComparison[Any]] = {
    "procrustes": Procrustes(),
    "shape_1": ShapeMetric(1.0),
    "shape_05": ShapeMetric(0.5),
    "shape_0": ShapeMetric(0.0),
    "size_and_shape": ShapeMetric(0.5, "euclidean"),
    "svcca": SVCCA(),
    "pwcca": PWCCA(),
    "rsa": RSA(),
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def compare(measure: PairwiseComparison[Any], *items: Tensor, permutations: int = 0, seed: int = 3) -> Compared:
    pairs = list(itertools.combinations(range(len(items)), 2))
    (found,) = measure.compare(items, pairs, permutations, seed)
    return found


def value(measure: PairwiseComparison[Any], x: Tensor, y: Tensor) -> float:
    return float(measure.values([x, y], [(0, 1)]).value[0])


def similar(seed: int, noise: float = 1.0, n: int = 60) -> tuple[Tensor, Tensor]:
    x = normal(seed, n, 8)
    return x, x @ normal(77, 8, 10) / 3 + noise * normal(seed + 5000, n, 10)


@every_measure
def test_it_is_symmetric_and_unchanged_by_translation(measure: PairwiseComparison[Any]) -> None:
    x, y = similar(0)
    expected = value(measure, x, y)
    assert value(measure, y, x) == pytest.approx(expected, rel=1e-12)
    assert value(measure, x + normal(1, 1, 8), y) == pytest.approx(expected, rel=1e-9)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert value(measure, x[order], y[order]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "pwcca"])
def test_a_rotation_changes_nothing(name: str) -> None:
    x, y = similar(0)
    rotation = torch.linalg.qr(normal(2, 8, 8)).Q
    assert value(MEASURES[name], x @ rotation, y) == pytest.approx(value(MEASURES[name], x, y), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in ("size_and_shape", "shape_05")])
def test_a_scaling_changes_nothing(name: str) -> None:
    x, y = similar(0)
    assert value(MEASURES[name], 7 * x, y) == pytest.approx(value(MEASURES[name], x, y), rel=1e-9)


@every_measure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equal_representations_agree_entirely(measure: PairwiseComparison[Any], dtype: torch.dtype) -> None:
    for x in (normal(0, 200, 16) + 3, normal(0, 200, 4) @ normal(1, 4, 16)):
        found = compare(measure, x.to(dtype), x.to(dtype).clone())
        assert found.value[0] == pytest.approx(1.0 if measure.is_similarity else 0.0, abs=1e-6)
        assert found.stderr is not None and found.stderr[0] == pytest.approx(0, abs=1e-6)


@every_measure
def test_float32_and_a_large_mean_change_nothing(measure: PairwiseComparison[Any]) -> None:
    x, y = similar(0)
    expected = value(measure, x, y)
    for offset in (0.0, 1.0, 100.0):
        assert value(measure, (x + offset).float(), (y - offset).float()) == pytest.approx(expected, abs=1e-4)


@every_measure
@pytest.mark.parametrize("shape", [(20, 6), (50, 12), (12, 3, 6), (40, 2, 6)], ids=str)
def test_the_null_band_is_that_of_shuffled_examples(measure: PairwiseComparison[Any], shape: tuple[int, ...]) -> None:
    x, y = normal(0, *shape), normal(1, *shape) + 0.3 * normal(0, *shape)
    found = compare(measure, x, y, permutations=30, seed=5)
    naive = np.array([value(measure, x, y[order]) for order in example_permutations(len(x), 30, seed=5)])
    agree = naive >= found.value[0] if measure.is_similarity else naive <= found.value[0]
    tolerance = 1e-6 if shape[0] < 32 else 1e-4
    assert found.chance is not None and found.chance_hi is not None and found.p is not None
    assert found.chance[0] == pytest.approx(naive.mean(), rel=tolerance, abs=tolerance)
    high = np.quantile(naive, 0.95 if measure.is_similarity else 0.05, method="weibull")
    assert found.chance_hi[0] == pytest.approx(high, rel=tolerance, abs=tolerance)
    assert found.p[0] == pytest.approx((1 + agree.sum()) / 31)


@every_measure
def test_independent_representations_are_within_the_null_band(
    measure: PairwiseComparison[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Standard errors from halves would take most of the time, and nobody asks for them here.
    monkeypatch.setattr(PairwiseComparison, "_fill_errors", lambda *_: {})
    found = [
        compare(measure, normal(seed, 40, 6), normal(seed + 900, 40, 5), permutations=19, seed=seed)
        for seed in range(40)
    ]
    p = np.array([one.p[0] for one in found if one.p is not None])
    # Uniform on 1/20 … 1: the mean of 40 has a standard deviation of 0.046.
    assert p.mean() == pytest.approx(0.525, abs=0.16)
    assert (p <= 0.1).mean() < 0.3
    assert compare(measure, *similar(0), permutations=39).p == pytest.approx([1 / 40])


@every_measure
def test_permutations_that_change_nothing_count_as_agreement(measure: PairwiseComparison[Any]) -> None:
    x = normal(0, 4, 1)
    found = compare(measure, x, x.clone(), permutations=240)
    # 1 of 24 orders is the identity.
    assert found.p is not None and found.p[0] > 3 / 241


@every_measure
def test_the_standard_error_is_the_spread_over_fresh_examples(measure: PairwiseComparison[Any]) -> None:
    found = [compare(measure, *similar(seed, n=300)) for seed in range(60)]
    values = [one.value[0] for one in found]
    errors = [one.stderr[0] for one in found if one.stderr is not None]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


@every_measure
def test_positions_as_samples_are_rows(measure: PairwiseComparison[Any]) -> None:
    x, y = normal(0, 30, 4, 5), normal(1, 30, 4, 6)
    assert value(measure, x, y) == pytest.approx(value(measure, x.flatten(0, 1), y.flatten(0, 1)), rel=1e-9)
    odd = compare(measure, normal(0, 9, 4, 2), normal(1, 9, 2, 2), normal(2, 9, 4, 3), permutations=3)
    assert np.isfinite(odd.value).tolist() == [False, True, False]
    assert odd.chance is not None and np.isfinite(odd.chance).tolist() == [False, True, False]
    assert odd.reasons[0] == "the layers have 4 and 2 positions; compare them with positions=pooled"


@every_measure
def test_what_is_not_defined_is_missing_with_a_reason(measure: PairwiseComparison[Any]) -> None:
    few = compare(measure, normal(0, 3, 1), normal(1, 3, 1), permutations=3)
    assert np.isnan(few.value[0]) and few.reasons == {0: "4 examples or more are needed, got 3"}
    dead = compare(measure, torch.full((30, 4), 0.1), normal(1, 30, 4), normal(2, 30, 4))
    assert np.isnan(dead.value).tolist() == [True, True, False]
    assert dead.reasons == dict.fromkeys((0, 1), "a representation is the same for all examples")


@every_measure
def test_other_pairs_and_their_order_change_nothing(measure: PairwiseComparison[Any]) -> None:
    items = [normal(seed, 40, 6) + normal(9, 40, 6) for seed in range(4)]
    (some,) = measure.compare(items, [(0, 1), (2, 3)], 20, 0)
    (more,) = measure.compare(items, [(2, 3), (1, 2), (0, 3), (0, 1)], 20, 0)
    for column in ("value", "stderr", "chance", "chance_hi", "p"):
        assert getattr(some, column).tolist() == getattr(more, column)[[3, 0]].tolist()


@every_measure
def test_one_entry_of_the_stated_facts(measure: PairwiseComparison[Any]) -> None:
    found = compare(measure, *similar(0), permutations=5)
    (fact,) = measure.facts
    assert found.metric == fact.name and fact.symmetric
    assert fact.low <= found.value[0] <= fact.high
    assert measure.compare_sketches([], []) is None


class Fragile(Procrustes):
    """Cannot decompose what has three units, nor shuffle what has two."""

    def value(self, a: Centred, b: Centred) -> tuple[float, float]:
        self._fail_at(3, b)
        return super().value(a, b)

    def shuffled(self, a: Centred, b: Centred, orders: Tensor) -> np.ndarray:
        self._fail_at(2, b)
        return super().shuffled(a, b, orders)

    def _fail_at(self, units: int, b: Centred) -> None:
        if b.rows.shape[1] == units:
            raise torch.linalg.LinAlgError("failed to converge")  # type: ignore[attr-defined]


def test_a_decomposition_that_fails_costs_one_pair() -> None:
    items = [normal(seed, 20, units) for seed, units in enumerate((4, 3, 2, 5))]
    (found,) = Fragile().compare(items, [(0, 1), (0, 2), (0, 3)], 5, 0)
    assert np.isnan(found.value).tolist() == [True, False, False]
    assert found.reasons == {0: "the singular values did not converge"}
    assert found.chance is not None and found.p is not None
    assert np.isnan(found.chance).tolist() == np.isnan(found.p).tolist() == [True, True, False]


def test_too_few_examples_for_the_jackknife_leave_the_error_unknown() -> None:
    found = compare(SVCCA(), normal(0, 5, 2), normal(1, 5, 2))
    assert math.isfinite(found.value[0]) and found.stderr is not None and math.isnan(found.stderr[0])
