"""Addressed randomness: independent streams, stable numbers, global generators put back."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlayers.core.seeding import GlobalGenerators, derive, global_state, numpy_generator, torch_generator

ADDRESSES = [
    (0, "batches", 1, 0),
    (1, "batches", 1, 0),
    (0, "model", 1, 0),
    (0, "batches", 2, 0),
    (0, "batches", 1, 1),
    (0, "batches", 1, -1),
    # Neighbouring numbers must not run into each other: 1/1 is not 11.
    (0, "batches", 11, 0),
    (0, "batches", 1, 10),
]


def global_draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), torch.rand(()).item()


def test_every_part_of_the_address_makes_another_stream() -> None:
    assert len({derive(*address) for address in ADDRESSES}) == len(ADDRESSES)
    assert len({torch.rand((), generator=torch_generator(*address)).item() for address in ADDRESSES}) == len(ADDRESSES)
    assert len({numpy_generator(*address).random() for address in ADDRESSES}) == len(ADDRESSES)


def test_streams_never_change() -> None:
    # Pinned: another number here means that no earlier run can be repeated.
    assert derive(0, "batches", 1, 0) == 5399053832354041967
    assert derive(7, "model") == 7557819781646063706
    assert torch.randperm(6, generator=torch_generator(0, "batches", 1, 0)).tolist() == [4, 2, 1, 5, 0, 3]


def test_seeds_fit_every_generator() -> None:
    seeds = [derive(seed, "x", 0, client) for seed in (0, 2**63 - 1) for client in range(500)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_streams_of_neighbours_are_uncorrelated() -> None:
    draws = np.stack([numpy_generator(0, "x", 1, client).standard_normal(2000) for client in range(40)])
    correlations = np.asarray(np.corrcoef(draws))[np.triu_indices(40, k=1)]
    # 780 correlations with standard error 1/√2000 = 0.022: their largest is about 3.2 standard errors by chance.
    assert np.abs(correlations).max() < 0.11
    assert correlations.std() == pytest.approx(1 / np.sqrt(2000), rel=0.15)


def test_global_state_is_addressed() -> None:
    found = []
    for address in [ADDRESSES[0], *ADDRESSES]:
        with global_state(*address):
            found.append(global_draws())
    assert found[0] == found[1]
    for draws in zip(*found[1:], strict=True):
        assert len(set(draws)) == len(ADDRESSES)


@pytest.mark.parametrize("fails", [False, True], ids=["plain", "exception"])
def test_global_state_puts_the_generators_back(fails: bool) -> None:
    with global_state(3, "test"):
        expected = [global_draws(), global_draws()]
    with global_state(3, "test"):
        first = global_draws()
        try:
            with global_state(4, "inner"):
                global_draws()
                if fails:
                    raise ArithmeticError
        except ArithmeticError:
            pass
        assert [first, global_draws()] == expected


@pytest.mark.parametrize("draw", [random.random, np.random.rand, torch.randn], ids=["random", "numpy", "torch"])
def test_what_was_drawn_from_a_global_generator_shows(draw: Callable[..., Any]) -> None:
    before = GlobalGenerators.now()
    assert before.are_as_before()
    draw(*(() if draw is random.random else (1,)))
    assert not before.are_as_before()
    before.put_back()
    assert before.are_as_before()
