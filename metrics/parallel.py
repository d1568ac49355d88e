"""A function of many items, computed by the workers of a run if that takes long, and here if not."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import numpy as np

from metrics.nested_arrays import nested_arrays

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class ParallelMap(Protocol):
    """A way to compute the same function of many items, on whatever processes there are.

    All ways give the same bits if every result depends on nothing but its item and what is shared.
    """

    def __call__(self, function: Callable[[S, T], R], shared: S, items: Sequence[T], /) -> list[R]:
        """Return ``[function(shared, item) for item in items]``.

        Args:
            function: leaves its arguments as they are; elsewhere arrays are read-only.
            shared: what all items need, sent once to each node. Arrays that are contiguous arrive as they are, others
                in another layout, whose sums may differ in the last bits.
            items: sent in chunks.
        """
        ...


def map_here(function: Callable[[S, T], R], shared: S, items: Sequence[T], /) -> list[R]:
    """Return ``[function(shared, item) for item in items]``, computed here, one after the other."""
    return [function(shared, item) for item in items]


# What is left must take longer than this to go to workers. Ray answers in 10 ms and copies some hundred megabytes
# a second to new shared memory (measured: 400 MB in 0.8 to 1.3 s), and two workers save half of the work.
LARGE_S, LARGE_S_PER_BYTE = 1.0, 4e-9
# Work done here before anything is said about the rest: the first calls of a function are slow.
TRIAL_S = 0.1

_way: ContextVar[ParallelMap] = ContextVar("way to map", default=map_here)


@contextmanager
def mapped_by(way: ParallelMap) -> Iterator[None]:
    """Let :func:`map_if_large` take a way to map in a block of code."""
    token = _way.set(way)
    try:
        yield
    finally:
        _way.reset(token)


def map_if_large(
    function: Callable[[S, T], R], shared: S, items: Sequence[T], costs: Sequence[float] | None = None
) -> list[R]:
    """Return ``[function(shared, item) for item in items]``, most of it computed by the workers if it takes long.

    The first items are done here. From the time they take follows how long the others will, and if that is long, they
    go the way of the server half that calls (see :attr:`metrics.views.ServerView.parallel_map`); everywhere else they
    are done here, too. So time decides where, and nothing but the item what: the results are the same bits, provided
    that ``function`` leaves its arguments as they are and reads nothing else.

    Args:
        function: of what is shared and an item; best one of a module, but any will do.
        shared: what all items need, see :class:`ParallelMap`.
        items: in the order of the results.
        costs: time of every item, relative to that of others, above 0; None if they take about the same.
    """
    weights = [1.0] * len(items) if costs is None else list(costs)
    left, spent, limit = sum(weights), 0.0, math.nan
    done: list[R] = []
    began = time.perf_counter()
    for item, cost in zip(items, weights, strict=True):
        elapsed = time.perf_counter() - began
        if elapsed >= TRIAL_S:
            limit = _limit_s(shared) if math.isnan(limit) else limit
            if (elapsed * left / spent if spent else 0.0) > limit:
                return done + _way.get()(function, shared, items[len(done) :])
        done.append(function(shared, item))
        spent, left = spent + cost, left - cost
    return done


def _limit_s(shared: Any) -> float:
    """Return the seconds from which work is worth sending what it shares."""
    arrays = [array for array in nested_arrays(shared) if isinstance(array, np.ndarray)]
    if not all(array.flags.c_contiguous or array.flags.f_contiguous for array in arrays):
        # It would arrive in another layout, and sums over it would be of another order.
        return math.inf
    return LARGE_S + LARGE_S_PER_BYTE * sum(array.nbytes for array in arrays)
