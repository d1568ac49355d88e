"""Small computations side by side: order, errors, and numbers that do not depend on the number of threads."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import torch

from metrics.compare.measures.in_threads import in_threads
from metrics.compare.measures.procrustes import Procrustes


@pytest.fixture(autouse=True)
def threads_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_values_are_in_the_order_of_the_items(threads: int) -> None:
    torch.set_num_threads(threads)
    assert in_threads(lambda item: item**2, range(50)) == [item**2 for item in range(50)]
    assert in_threads(abs, []) == []
    assert torch.get_num_threads() == threads


def test_each_has_one_thread() -> None:
    torch.set_num_threads(2)
    assert in_threads(lambda _: torch.get_num_threads(), range(4)) == [1] * 4


def test_an_error_reaches_the_caller_and_leaves_the_threads_as_they_were() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, [1, 0, 2])
    assert torch.get_num_threads() == 2


def test_pairs_have_the_same_bits_with_any_number_of_threads() -> None:
    items = list(torch.randn(6, 200, 30, generator=torch.Generator().manual_seed(0)))
    pairs = list(combinations(range(6), 2))
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        (compared,) = Procrustes().compare(items, pairs, 10, 0)
        assert compared.stderr is not None and compared.chance is not None
        found.append(np.stack([compared.value, compared.stderr, compared.chance]))
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
