"""How clients are handed to workers: large chunks first, small ones at the end, blocks together where that pays."""

import math

import pytest

from fedlayers.engines.ray.placement import Chunks, blocks_pay


def sizes(costs: list[float], chunks: Chunks, most: int | None = None) -> list[int]:
    found = []
    while costs:
        found.append(chunks.next(costs, most))
        costs = costs[found[-1] :]
    return found


def test_chunks_cover_the_work_and_shrink() -> None:
    found = sizes([1.0] * 100, Chunks(workers=4))
    assert sum(found) == 100
    assert found == sorted(found, reverse=True)
    assert found[:4] == [12] * 4
    assert found[-4:] == [1] * 4


def test_cheap_work_is_sent_in_one_dispatch_per_worker() -> None:
    assert sizes([1.0] * 10, Chunks(workers=2, smallest=1e9)) == [5, 5]
    assert sizes([1.0] * 10, Chunks(workers=2, smallest=4.0)) == [4, 4, 1, 1]
    assert sizes([1.0] * 100, Chunks(workers=2, smallest=1e9), most=30) == [30, 30, 20, 20]
    assert sizes([7.0], Chunks(workers=3)) == [1]


def test_the_costliest_client_travels_alone() -> None:
    assert sizes([50.0, *[1.0] * 50], Chunks(workers=2))[0] == 1


SKEWED = [[30.0, 1.0, 1.0, 1.0, 1.0], [9.0, 8.0, 7.0, 6.0, 5.0]]


@pytest.mark.parametrize(
    ("blocks", "workers", "seconds", "size", "together"),
    [
        ([[1.0] * 5] * 10, 2, math.inf, 0, True),  # fifty alike: sums, from the first phase on
        ([[1.0] * 5] * 10, 2, 0.03, 6_400_000, True),
        ([[1.0] * 5] * 2, 2, 0.06, 6_400_000, True),
        ([[1.0] * 5] * 2, 2, 10.0, 600_000, False),  # long work and small models: workers that end apart cost more
        ([[1.0] * 5, [1.0] * 5, [1.0] * 2], 4, 1.0, 1_000_000, False),  # three blocks for four workers
        ([[1.0] * 5], 4, math.inf, 0, False),
        (SKEWED, 2, 0.03, 1_000_000, True),  # 34 and 35: balanced as they are
        ([[30.0, 9.0, 1.0, 1.0, 1.0], [1.0] * 5], 2, 1.0, 1_000_000, False),
        ([[30.0, 9.0, 1.0, 1.0, 1.0], [1.0] * 5], 2, 0.001, 6_400_000, True),  # unless models are all that it costs
        ([[0.0] * 5] * 2, 2, 0.0, 100, True),
    ],
)
def test_blocks_stay_together_where_sums_save_more_than_unequal_loads_cost(
    blocks: list[list[float]], workers: int, seconds: float, size: int, together: bool
) -> None:
    assert blocks_pay(blocks, workers, seconds, size) is together
