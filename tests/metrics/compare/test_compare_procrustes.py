"""Procrustes distance against netrep's values, scipy's rotation and the axioms of a metric."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from metrics.compare.measures.procrustes import Procrustes, best_rotation
from metrics.compare.products.centred import centred
from metrics.compare.products.cross_products import shuffled_products
from tests.support.netrep_values import arrays

ARRAYS = arrays()
NAMES = "ABCDEHP"
# netrep 0.0.2 (commit 0186b8a), LinearMetric(alpha=1, score_method="angular").fit_score on the arrays NAMES.
ANGLES = [
    [0.0, 1.1327814878947793, 0.0, 0.5485861326392615, 0.43754853621249684, 0.09756447607480749, 1.3057980556014586],
    [1.1327814878947793, 0.0, 1.1327814878947793, 1.159558146814177, 1.1642470028071863, 1.1359757210636134,
     1.284802287377778],
    [0.0, 1.1327814878947793, 0.0, 0.5485861326392615, 0.43754853621249656, 0.09756447607480749, 1.3057980556014586],
    [0.5485861326392615, 1.159558146814177, 0.5485861326392615, 0.0, 0.6747991271353988, 0.5585909095408684,
     1.3255956990331912],
    [0.43754853621249684, 1.1642470028071863, 0.43754853621249656, 0.6747991271353988, 0.0, 0.4503748241132503,
     1.2963108040180975],
    [0.09756447607480749, 1.1359757210636134, 0.09756447607480749, 0.5585909095408684, 0.4503748241132503, 0.0,
     1.3023960715941005],
    [1.3057980556014586, 1.284802287377778, 1.3057980556014586, 1.3255956990331912, 1.2963108040180975,
     1.3023960715941005, 0.0],
]  # fmt: skip


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def distances(*items: Tensor) -> np.ndarray:
    """Return the table of all pairs."""
    table = np.zeros((len(items), len(items)))
    pairs = list(itertools.combinations(range(len(items)), 2))
    for (a, b), value in zip(pairs, Procrustes().compare(items, pairs, 0, 0)[0].value, strict=True):
        table[a, b] = table[b, a] = value
    return table


def by_scipy(x: Tensor, y: Tensor) -> float:
    """Return the angle after scipy's best rotation."""
    a, b = ((z - z.mean(0)).numpy() for z in (x.double(), y.double()))
    rotation, norm = orthogonal_procrustes(a, b)
    assert norm == pytest.approx((a @ rotation * b).sum())
    return math.acos(norm / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_table_is_netreps() -> None:
    found = distances(*(ARRAYS[name] for name in NAMES))
    assert found == pytest.approx(np.array(ANGLES), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 50)])
@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
def test_it_is_the_angle_after_scipys_rotation(n: int, d: int, noise: float) -> None:
    x = normal(0, n, d)
    y = x @ torch.linalg.qr(normal(1, d, d)).Q + noise * normal(2, n, d)
    assert distances(x, y)[0, 1] == pytest.approx(by_scipy(x, y), rel=1e-8)


def test_narrower_representations_are_padded_with_zeros() -> None:
    x, y = normal(0, 40, 3), normal(1, 40, 9)
    padded = torch.cat([x, torch.zeros(40, 6)], 1)
    assert distances(x, y)[0, 1] == pytest.approx(by_scipy(padded, y), rel=1e-9)
    assert distances(y, x)[0, 1] == pytest.approx(by_scipy(padded, y), rel=1e-9)


def test_it_is_a_metric() -> None:
    items = [normal(99, 40, 8) + noise * normal(seed, 40, 8) for seed, noise in enumerate((0.1, 0.5, 1, 2, 4, 8))]
    table = distances(*items, normal(50, 40, 3), normal(51, 40, 60))
    assert (table[:, :, None] <= table[:, None, :] + table.T[None, :, :] + 1e-12).all()
    assert (table + np.eye(len(table)) > 0).all() and table.max() <= math.pi / 2


def test_few_examples_look_alike_by_chance() -> None:
    (found,) = Procrustes().compare([normal(0, 20, 100), normal(1, 20, 100)], [(0, 1)], 50, 0)
    assert (
        found.chance is not None and found.value[0] < 0.75 and found.chance[0] == pytest.approx(found.value[0], abs=0.1)
    )


@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6])
def test_nearly_equal_clients_have_the_right_distance(size: float) -> None:
    x, noise = normal(0, 500, 16), normal(1, 500, 16)
    x, noise = x - x.mean(0), noise - noise.mean(0)
    # To first order the distance is the size of what is orthogonal to x and to its rotations.
    rotations = torch.stack([(x @ skew).flatten() for skew in _skew(16)]).T
    basis = torch.linalg.qr(torch.cat([x.flatten()[:, None], rotations], 1)).Q
    left = noise.flatten() - basis @ (basis.T @ noise.flatten())
    expected = size * float(left.norm() / x.norm())
    assert distances(x, x + size * noise)[0, 1] == pytest.approx(expected, rel=3 * size + 1e-6)


def _skew(d: int) -> list[Tensor]:
    found = []
    for i, j in itertools.combinations(range(d), 2):
        matrix = torch.zeros(d, d, dtype=torch.float64)
        matrix[i, j], matrix[j, i] = 1, -1
        found.append(matrix)
    return found


@pytest.mark.parametrize("rank", [2, 6])
def test_the_rotation_is_the_polar_factor(rank: int) -> None:
    product = normal(0, 6, rank) @ normal(1, rank, 9)
    product /= 10 * product.norm()
    norm, rotation = best_rotation(product)
    assert norm == pytest.approx(float(torch.linalg.svdvals(product).sum()), rel=1e-12)
    assert float((rotation * product).sum()) == pytest.approx(norm, rel=1e-12)
    assert (rotation @ rotation.T).numpy() == pytest.approx(np.eye(6), abs=1e-8)


def test_shuffled_products_come_in_parts_that_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = centred(normal(0, 40, 2, 3)), centred(normal(1, 40, 2, 4))
    orders = torch.stack([torch.randperm(40, generator=torch.Generator().manual_seed(seed)) for seed in range(7)])
    monkeypatch.setattr("metrics.compare.products.cross_products._MOST_BYTES", 3 * 40 * 2 * 4 * 4)
    parts = list(shuffled_products(a, b, orders))
    expected = [(a.rows.T @ b.shuffled(order).rows).numpy() for order in orders]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert torch.cat(parts).numpy() == pytest.approx(np.stack(expected), abs=1e-4)
