"""Tables of distances between all pairs: only the cells that declarations leave open are computed."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from metrics.parallel import map_if_large

S = TypeVar("S")
T = TypeVar("T")
Cell = tuple[int, ...]


def table_of_pairs(
    distance: Callable[[T, T], float], items: Sequence[T], symmetric: bool, zero_self: bool
) -> np.ndarray:
    """Return the distances between all items, shape (n, n), see :func:`filled`."""
    return filled((len(items), len(items)), _of_pair, (distance, items), symmetric, zero_self)


def filled(
    shape: Cell, function: Callable[[S, Cell], float], shared: S, symmetric: bool, zero_self: bool
) -> np.ndarray:
    """Return a table of distances d(…, i, j); large ones are computed by the workers of a run.

    Args:
        shape: of the table, (…, n, n).
        function: what is shared and the indices of a cell -> the distance; see :class:`metrics.parallel.ParallelMap`.
        shared: what all cells are computed from.
        symmetric: whether d(…, i, j) = d(…, j, i), so that only one of them is computed.
        zero_self: whether d(…, i, i) = 0.

    Returns:
        The table, float64.
    """
    table = np.zeros(shape)
    cells = [cell for cell in np.ndindex(shape) if not _is_known(cell, symmetric, zero_self)]
    for cell, value in zip(cells, map_if_large(function, shared, cells), strict=True):
        table[cell] = value
        if symmetric:
            table[(*cell[:-2], cell[-1], cell[-2])] = value
    return table


def rectangle(distance: Callable[[T, T], float], rows: Sequence[T], columns: Sequence[T]) -> np.ndarray:
    """Return the distances from rows to columns, shape (rows, columns), float64, spread as those of :func:`filled`."""
    shape = len(rows), len(columns)
    values = map_if_large(_across, (distance, rows, columns), list(np.ndindex(shape)))
    return np.array(values, dtype=np.float64).reshape(shape)


def _is_known(cell: Cell, symmetric: bool, zero_self: bool) -> bool:
    i, j = cell[-2:]
    return (i == j and zero_self) or (j < i and symmetric)


def _of_pair(shared: tuple[Callable[[T, T], float], Sequence[T]], cell: Cell) -> float:
    distance, items = shared
    return distance(items[cell[0]], items[cell[1]])


def _across(shared: tuple[Callable[[T, T], float], Sequence[T], Sequence[T]], cell: Cell) -> float:
    distance, rows, columns = shared
    return distance(rows[cell[0]], columns[cell[1]])
