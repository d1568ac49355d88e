"""Numbers of any type as floats that hold them: float32 where it is exact, float64 where it is not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Integers below this are float32; above it differences of a few units would be near float32's resolution.
SMALL = 2**20
# Integers above this lose differences in float64, too: their smallest value is taken off first.
HUGE = 2**48


@dataclass(frozen=True)
class Floats:
    """Numbers as floats.

    Attributes:
        values: float32 or float64, shape (n, ...), NaN where a value is missing.
        taken_off: place in an example (flat) -> what was subtracted from all examples' values there.
    """

    values: np.ndarray
    taken_off: dict[int, int]

    def said(self, name: Callable[[int], str]) -> tuple[str, ...]:
        """Return a sentence about each place from which something was subtracted; ``name`` says what it is called."""
        return tuple(
            f"{value} was subtracted from all values of {name(place)}, which floats do not tell apart otherwise"
            for place, value in self.taken_off.items()
        )


def floats(values: np.ndarray, missing: np.ndarray | None = None) -> Floats:
    """Return numbers of any real dtype and byte order as floats from which they can be told apart.

    float32 if it holds every value exactly (integers: below 2²⁰), else float64; from integers of 2⁴⁸ and more, such as
    nanoseconds since 1970, the smallest value of their column is subtracted first, which standardising does anyway.

    Args:
        values: booleans, integers or floats, shape (n, ...).
        missing: which values are missing, same shape; None for none (floats: NaN).
    """
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    taken_off: dict[int, int] = {}
    if values.dtype.kind in "iu" and _largest(values) >= HUGE:
        values, taken_off = _without_smallest(values, missing)
    if values.dtype.kind in "biu":
        wide = _largest(values) >= SMALL
        result = values.astype(np.float64 if wide else np.float32)
    else:
        result = values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
        if values.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float32)
            result = narrow if np.array_equal(narrow, values, equal_nan=True) else values.astype(np.float64)
    if missing is not None and missing.any():
        result = np.where(missing, result.dtype.type(np.nan), result)
    return Floats(result, taken_off)


def _largest(values: np.ndarray) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size and values.dtype != bool else 1


def _without_smallest(values: np.ndarray, missing: np.ndarray | None) -> tuple[np.ndarray, dict[int, int]]:
    """Return the exact distances from the smallest value of each column with huge ones, and those values."""
    flat = values.reshape(len(values), -1)
    known = np.ones(flat.shape, bool) if missing is None else ~missing.reshape(flat.shape)
    result, taken_off = flat.astype(np.float64), {}
    for j in range(flat.shape[1]):
        column = flat[known[:, j], j]
        if len(column) and _largest(column) >= HUGE:
            taken_off[j] = int(column.min())
            # Modulo 2⁶⁴ the difference is right even where the values lie on both sides of 0.
            result[:, j] = flat[:, j].astype(np.uint64) - column.min().astype(np.uint64)
    return result.reshape(values.shape), taken_off
