"""Representational similarity against scipy, its relation to CKA, ties and limits."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from metrics.compare.base import Compared
from metrics.compare.measures.rsa import RSA, centred_ranks, squared_distances
from metrics.compare.products.centred import centred
from tests.support.netrep_values import arrays


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def compare(x: Tensor, y: Tensor, permutations: int = 0) -> Compared:
    return RSA().compare([x, y], [(0, 1)], permutations, 0)[0]


def by_scipy(x: Tensor, y: Tensor) -> float:
    return float(spearmanr(pdist(x.numpy()), pdist(y.numpy())).statistic)


@pytest.mark.parametrize(("n", "p", "q"), [(4, 2, 3), (50, 6, 9), (30, 100, 4)])
def test_it_is_scipys_rank_correlation_of_distances(n: int, p: int, q: int) -> None:
    x = normal(0, n, p) + 5
    y = x[:, :1] + 0.5 * normal(1, n, q)
    assert compare(x, y).value[0] == pytest.approx(by_scipy(x, y), rel=1e-9)


def test_ties_share_their_mean_rank() -> None:
    x, y = normal(0, 30, 3).round(), normal(1, 30, 2).round()
    assert len(np.unique(pdist(x.numpy()))) < 100
    assert compare(x, y).value[0] == pytest.approx(by_scipy(x, y), abs=0.01)
    values = torch.tensor([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
    ranks, order = centred_ranks(values)
    assert ranks.tolist() == (rankdata(values.numpy()) - 3.5).tolist()
    assert values[order].tolist() == [1, 1, 2, 3, 3, 3]


def test_distances_are_euclidean_and_those_of_equal_examples_zero() -> None:
    x = normal(0, 20, 5)
    x[7] = x[3]
    item = centred(x.float())
    found = squared_distances(item.rows)
    assert found.numpy() == pytest.approx(squareform(pdist(item.rows.numpy())) ** 2, abs=1e-12)
    assert found[3, 7] == found[7, 3] == 0 and not found.diagonal().any()


def test_the_cosine_of_centred_squared_distances_is_cka() -> None:
    # 0.839823628 is cos LinearCKA(A, E) of netrep 0.0.2 (commit 0186b8a) and rsatoolbox 0.3.2's cosine_cov.
    centring = np.eye(64) - 1 / 64
    tables = [centring @ squared_distances(centred(arrays()[name]).rows).numpy() @ centring for name in "AE"]
    cosine = (tables[0] * tables[1]).sum() / np.linalg.norm(tables[0]) / np.linalg.norm(tables[1])
    assert cosine == pytest.approx(0.839823628153618, rel=1e-9)


def test_monotone_changes_of_the_distances_change_nothing() -> None:
    x = normal(0, 40, 1).abs().cumsum(0)
    y = normal(1, 40, 3)
    # On a line all distances grow by the same factor.
    assert compare(3 * x, y).value[0] == pytest.approx(compare(x, y).value[0], rel=1e-12)
    assert compare(x, -x).value[0] == pytest.approx(1, abs=1e-12)


def test_many_representations_are_shuffled_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [normal(seed, 20, 4) for seed in range(5)] + [normal(seed, 20, 3, 4) for seed in range(5, 8)]
    pairs = [(0, 1), (0, 2), (3, 2), (1, 4), (5, 6), (5, 7)]
    expected = RSA().compare(items, pairs, 10, 0)[0]
    monkeypatch.setattr("metrics.compare.measures.rsa._AT_ONCE", 2)
    assert RSA().compare(items, pairs, 10, 0)[0].chance == pytest.approx(expected.chance, rel=1e-12)


def test_too_many_rows_have_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.compare.measures.rsa.MOST_ROWS", 50)
    found = compare(normal(0, 20, 3, 4), normal(1, 20, 3, 4))
    assert found.reasons == {0: "distances of 60 rows are too many, at most 50; lower probe.size"}
    assert np.isfinite(compare(normal(0, 50, 4), normal(1, 50, 4)).value[0])


def test_examples_that_are_all_equally_far_have_no_order() -> None:
    found = compare(torch.eye(6), normal(1, 6, 4), permutations=5)
    assert np.isnan(found.value[0])
    assert found.reasons == {0: "all examples are equally far from each other"}
