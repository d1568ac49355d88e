"""Holding out, capping and splitting: shares, strata, determinism."""

import numpy as np
import pytest

from fedlayers.config.schema.settings import Split
from fedlayers.core.errors import UserError
from fedlayers.data.partitioning.split import cap, hold_out, split


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.15, 0.5, 0.9])
def test_hold_out_takes_the_same_share_of_every_stratum(share: float) -> None:
    strata = np.repeat([3, 7, 9, 12], [400, 101, 57, 10])[generator().permutation(568)]
    mask = hold_out(strata, share, generator(1))
    assert mask.sum() == round(share * 568)
    for stratum in np.unique(strata):
        size = (strata == stratum).sum()
        assert abs(mask[strata == stratum].sum() - share * size) <= 1


def test_hold_out_never_takes_a_stratums_last_example() -> None:
    mask = hold_out(np.arange(20), 0.5, generator())
    assert mask.sum() == 0
    mask = hold_out(np.repeat(np.arange(10), 2), 0.9, generator())
    assert mask.reshape(10, 2).sum(axis=1).max() == 1


def test_hold_out_draws_each_example_equally_often() -> None:
    strata = np.repeat([0, 1], [10, 30])
    often = np.mean([hold_out(strata, 0.2, generator(seed)) for seed in range(2_000)], axis=0)
    assert np.abs(often - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 2_000)


def test_split_covers_a_client_without_overlap_and_keeps_a_training_example() -> None:
    parts = [np.arange(size) * 7 for size in (1, 2, 3, 9, 10, 11, 99, 100)]
    scopes = split(parts, Split(0.8, 0.1, 0.1), seed=1)
    for client, part in enumerate(parts):
        mine = [scopes[scope][client] for scope in ("client_train", "client_val", "client_test")]
        np.testing.assert_array_equal(np.sort(np.concatenate(mine)), part)
        n = len(part)
        assert [len(examples) for examples in mine] == [n - 2 * (n // 10), n // 10, n // 10]


@pytest.mark.parametrize("size", range(1, 30))
def test_even_a_small_training_share_leaves_a_training_example(size: int) -> None:
    scopes = split([np.arange(size)], Split(0.01, 0.5, 0.49), seed=0)
    assert len(scopes["client_train"][0]) >= 1


def test_split_shuffles_by_seed_and_client() -> None:
    parts = [np.arange(50), np.arange(50)]
    first, again, other = (split(parts, Split(), seed=seed)["client_train"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_cap_keeps_a_random_subset_of_the_larger_clients() -> None:
    parts = [np.arange(5), np.arange(100, 150)]
    capped = cap(parts, 10, seed=3)
    np.testing.assert_array_equal(np.sort(capped[0]), parts[0])
    assert len(capped[1]) == len(set(capped[1])) == 10 and set(capped[1]) <= set(parts[1])
    assert not np.array_equal(np.sort(capped[1]), np.arange(100, 110))
    np.testing.assert_array_equal(capped[1], cap(parts, 10, seed=3)[1])
    assert len(cap(parts, None, seed=3)[1]) == 50


def test_cap_that_caps_nobody_is_refused() -> None:
    with pytest.raises(UserError, match=r"examples_per_client must be at most 50, .* got 51; set it to null"):
        cap([np.arange(5), np.arange(50)], 51, seed=0)
    assert len(cap([np.arange(50)], 50, seed=0)[0]) == 50
