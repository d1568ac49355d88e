"""How clients are handed to workers: large chunks first, small ones at the end."""

from fedlayers.engines.ray.placement import Chunks


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
