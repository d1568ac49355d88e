"""Clusters of records against planted ones, records without any, and slow twins."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, squareform
from sklearn.metrics import adjusted_rand_score

from metrics.record_clustering.clusters import RecordClusters, record_clusters
from metrics.record_clustering.mutual_rank import mutual_rank
from metrics.record_clustering.number import rank_distances, record_cluster_number
from metrics.record_clustering.partition import LINKAGES, RecordLinkage


def planted(sizes: Sequence[int], seed: int, dimension: int = 12, others: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return records around orthogonal centres, then others, scattered among them, and the clusters of the former."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    centres = 6 * np.linalg.qr(random.standard_normal((dimension, dimension)))[0][: len(sizes)]
    if len(sizes) == 1:
        centres = 0 * centres
    records = centres[groups] + random.standard_normal((len(groups), dimension))
    return np.concatenate([records, 2.5 * random.standard_normal((others, dimension))]), groups


def naive(records: np.ndarray) -> np.ndarray:
    distances = cdist(records, records).round(9)
    ranks = (distances[:, None, :] < distances[:, :, None]).sum(2)
    product: np.ndarray = ranks * ranks.T
    return product


@pytest.mark.parametrize("seed", range(3))
def test_the_mutual_rank_counts_who_is_nearer(seed: int) -> None:
    records = np.random.default_rng(seed).standard_normal((50, 3)) + 100
    records[7] = records[30]
    found = mutual_rank(records).numpy()
    assert np.array_equal(found, naive(records))
    assert np.array_equal(found, found.T) and not np.diag(found).any() and found[7, 30] == 0
    chosen = np.array([30, 3, 7, 41])
    assert np.array_equal(mutual_rank(records, chosen).numpy(), naive(records)[np.ix_(chosen, chosen)])


def test_equal_distances_count_as_equal_in_whatever_order() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(5) * 0.1] * 2), -1).reshape(-1, 2) + 3.3
    order = np.random.default_rng(0).permutation(len(grid))
    assert np.array_equal(mutual_rank(grid).numpy(), naive(grid))
    assert np.array_equal(mutual_rank(grid[order]).numpy(), naive(grid)[np.ix_(order, order)])


def test_ranks_do_not_change_with_scale_and_rotation_nor_with_the_size_of_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    records = random.standard_normal((40, 4))
    turned = 1e-3 * records @ np.linalg.qr(random.standard_normal((4, 4)))[0] + 1
    expected = mutual_rank(records)
    assert torch.equal(mutual_rank(turned), expected)
    monkeypatch.setattr("metrics.record_clustering.mutual_rank._BLOCK", 90)
    assert torch.equal(mutual_rank(records), expected)


@pytest.mark.slow
def test_planted_clusters_are_counted_and_one_is_one() -> None:
    """k = 2 … 6, and 1, each in nine of ten trials at least."""
    for number in range(1, 7):
        right = 0
        for seed in range(10):
            records, groups = planted([60] if number == 1 else [12] * number, seed)
            chosen = np.arange(len(groups))
            found = record_cluster_number(records, chosen, rank_distances(records, chosen), seed, references=19)
            right += found.number == number
        assert right >= 9, number


def test_unequal_clusters_are_found_again_and_numbered_by_size() -> None:
    records, groups = planted([8, 40, 15], 3)
    found = record_clusters(records, np.arange(len(groups)))
    assert found.number == 3 and found.sizes.tolist() == [40, 15, 8]
    assert adjusted_rand_score(groups, found.labels) == 1 and found.p == 1 / 40
    assert found.stability.jaccard.min() > 0.9
    assert vars(found)["labels"].tolist() == record_clusters(records, np.arange(len(records)) < 63).labels.tolist()


@pytest.mark.parametrize("method", LINKAGES)
def test_partitions_are_those_of_scipy(method: RecordLinkage) -> None:
    records, groups = planted([10, 10, 10], 1)
    chosen = np.arange(len(groups))
    ranks = np.sqrt(naive(records)[np.ix_(chosen, chosen)])
    distances = cdist(records[chosen], records[chosen]) if method == "ward" else ranks
    expected = fcluster(linkage(squareform(distances, checks=False), method), 3, "maxclust")
    found = record_clusters(records, chosen, number=3, linkage=method, resamples=2)
    assert adjusted_rand_score(expected, found.labels) == 1
    assert np.isnan(found.p) and found.reason == "the number of clusters was given"


def test_records_of_one_kind_are_no_clusters_if_more_are_asked_for_they_are_not_stable() -> None:
    records, _ = planted([60], 0)
    chosen = np.arange(60)
    assert record_clusters(records, chosen).number == 1
    assert record_clusters(records, chosen, number=4).stability.jaccard.mean() < 0.7


def test_of_many_records_some_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.record_clustering.number._MOST_TESTED", 30)
    monkeypatch.setattr("metrics.record_clustering.partition._MOST_REPEATED", 30)
    records, groups = planted([30, 30, 4], 0)
    found = record_clusters(records, np.arange(len(groups)))
    assert found.number == 3 and adjusted_rand_score(groups, found.labels) > 0.9
    assert len(found.stability.jaccard) == 3
    assert record_clusters(records, np.arange(60, len(records)), number=1).sizes.tolist() == [64]


def test_copies_of_a_record_are_no_cluster_unless_there_are_only_a_few_records() -> None:
    random = np.random.default_rng(4)
    pairs, three = (np.repeat(random.normal(size=(n, 4)), times, 0) for n, times in ((30, 2), (3, 10)))
    assert record_clusters(pairs).number == 1
    assert record_clusters(three).sizes.tolist() == [10, 10, 10]
    assert record_clusters(three[:10]).number == 1


def few(count: int) -> RecordClusters:
    return record_clusters(np.random.default_rng(0).standard_normal((9, 2)), np.arange(count))


def test_few_records_are_one_cluster() -> None:
    for count in (1, 2, 3):
        found = few(count)
        assert (found.number, found.sizes.tolist()) == (1, [count])
        assert found.reason == f"4 records or more are needed, got {count}"


def test_what_cannot_be_clustered_is_told() -> None:
    records = np.zeros((5, 2))
    for arguments, message in [
        ({"chosen": np.array([], int)}, r"chosen must name 1 record or more, got none"),
        ({"chosen": np.array([1, 5])}, r"chosen must name different records in 0 … 4, got 1 … 5"),
        ({"chosen": np.array([1, 1])}, r"chosen must name different records"),
        ({"number": 6}, r"number must be in 1 … 5, the number of records, got 6"),
        ({"linkage": "median"}, r"linkage must be one of average, single, ward, got 'median'"),
    ]:
        with pytest.raises(ValueError, match=message):
            record_clusters(records, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"context must be finite"):
        mutual_rank(records * np.nan)
    with pytest.raises(ValueError, match=r"context must have shape \(records, features\), got \(5,\)"):
        mutual_rank(records[:, 0])
