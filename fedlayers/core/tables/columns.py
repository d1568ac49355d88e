"""Columns of the tables of a run as Arrow arrays, those that come again made once."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa

# Rows of a table whose columns of text and whole numbers are kept for the next table with the same ones.
_MOST_KEPT = 1024


@cache
def column_maker(kind: pa.DataType) -> Callable[[tuple[Any, ...]], pa.Array]:
    """Return what makes Arrow arrays of one type.

    The replies of a round are alike: most columns hold one value only, and layers, quantities and subjects are those of
    other clients, numbers of examples those of the same one in other rounds. Such columns are made once for all of
    them, in a tenth of the time.
    """
    is_floating, is_whole = pa.types.is_floating(kind), pa.types.is_integer(kind)
    is_repeated = is_whole or pa.types.is_dictionary(kind)

    @lru_cache(maxsize=1024, typed=True)
    def constant(value: Any, count: int) -> pa.Array:
        return pa.array([value] * count, kind)

    @lru_cache(maxsize=256)
    def repeated(values: tuple[str | int | None, ...]) -> pa.Array:
        return pa.array(values, kind)

    def column(values: tuple[Any, ...]) -> pa.Array:
        first = values[0] if values else ""
        # Not of floating-point numbers: 0 and -0 are equal.
        is_one = first is None or (not is_floating and isinstance(first, str | int))
        if is_one and values and values.count(first) == len(values):
            return constant(first, len(values))
        return repeated(values) if is_repeated and len(values) <= _MOST_KEPT else pa.array(values, kind)

    return column


def filled(column: Sequence[Any], given: Any) -> Sequence[Any]:
    """Return a column with what is given where it has nothing."""
    return column if given is None else [given if value is None else value for value in column]
