"""Many small computations at the same time, each with one thread."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return a function's value of every item, as many of them at a time as torch has threads.

    Decompositions of small matrices gain nothing from further threads, and a sum over several threads would differ in
    its last bits. So each item has one thread, and the values do not depend on how many there are.

    Args:
        function: of an item; most of its time is spent within torch, and it writes to nothing.
        items: in the order of the values.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)
