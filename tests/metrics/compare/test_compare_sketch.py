"""Sketches of Gram matrices: unbiased, shared signs, and how far CKA from them is off."""

import numpy as np
import pytest
import torch

from metrics.compare.measures.cka import CKA
from metrics.compare.products.centred import centred
from metrics.compare.products.compact import compact
from metrics.compare.products.gram_sketch import gram_sketch
from tests.metrics.compare.test_compare_cka import cka, compare, normal, u_centred


def test_a_sketch_is_two_sided_products_of_the_u_centred_matrix() -> None:
    x = normal(0, 20, 6) + 3
    many = gram_sketch(x, 40_000, seed=0).double().numpy()
    assert (many**2).sum() == pytest.approx((u_centred(centred(x).rows) ** 2).sum(), rel=0.05)


@pytest.mark.parametrize("mixing", [0.0, 1.0, 30.0])
def test_the_error_at_1024_numbers_is_what_it_says(mixing: float) -> None:
    x, y = normal(0, 200, 30), mixing * normal(1, 200, 30) + normal(0, 200, 30)
    exact, errors, stated = cka(x, y), [], []
    for seed in range(40):
        sketches = [gram_sketch(z, 1024, seed) for z in (x, y)]
        found = CKA().compare_sketches(sketches, [(0, 1)])
        assert found is not None and found[0].stderr is not None
        assert found[0].variant == "debiased, sketch of 1024"
        errors.append(found[0].value[0] - exact)
        stated.append(found[0].stderr[0])
    assert np.sqrt(np.mean(np.square(errors))) < 0.04
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.mean(stated), rel=0.3, abs=1e-6)
    assert abs(np.mean(errors)) < 0.015


def test_a_sketch_agrees_with_itself_exactly() -> None:
    sketch = gram_sketch(normal(0, 50, 7).float(), 64, seed=0)
    found = CKA().compare_sketches([sketch, sketch.clone()], [(0, 1)])
    assert found is not None
    assert found[0].value[0] == 1.0 and found[1].value[0] < 1e-6


def test_independent_layers_lie_in_the_band() -> None:
    sketches = [gram_sketch(normal(seed, 300, 20), 512, seed=0) for seed in range(12)]
    pairs = [(a, b) for a in range(12) for b in range(a)]
    found = CKA().compare_sketches(sketches, pairs)
    assert found is not None and found[0].chance_hi is not None and found[0].p is not None
    assert np.mean(found[0].value > found[0].chance_hi) < 0.15
    assert found[0].chance_hi[0] == pytest.approx(1.645 / np.sqrt(512), rel=1e-3)


def test_positions_as_samples_are_sketched_too() -> None:
    x, y = normal(0, 40, 3, 6), normal(1, 40, 3, 6) + normal(0, 40, 3, 6)
    sketches = [gram_sketch(z, 8192, seed=0) for z in (x, y)]
    found = CKA().compare_sketches(sketches, [(0, 1)])
    assert found is not None and found[0].value[0] == pytest.approx(compare(x, y)["cka"].value[0], abs=0.05)


def test_a_dead_layer_is_missing_and_biased_has_no_sketch() -> None:
    dead, alive = gram_sketch(torch.ones(9, 4), 64, seed=0), gram_sketch(normal(0, 9, 4), 64, seed=0)
    found = CKA().compare_sketches([dead, alive], [(0, 1)])
    assert found is not None and np.isnan(found[0].value[0])
    assert found[0].reasons[0] == "a representation is the same for all examples"
    assert CKA("biased").compare_sketches([alive, alive], [(0, 1)]) is None


@pytest.mark.parametrize("shape", [(30, 8), (30, 400), (10, 4, 6)], ids=str)
def test_fewer_numbers_compare_alike(shape: tuple[int, ...]) -> None:
    x, y = (normal(0, *shape) + 5).float(), (normal(0, *shape) + normal(1, *shape)).float()
    short = compact(x)
    assert short.shape[-1] == min(shape[-1], 30 if len(shape) == 2 else shape[-1])
    assert cka(short, compact(y)) == pytest.approx(cka(x, y), abs=1e-6)
