"""Columns of numbers, plain or in lists of lists, as rows of floats that keep their digits."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.exact import Floats, floats
from fedlayers.data.formats.place import ColumnPlace


def rows_of(column: Any, place: ColumnPlace) -> Floats:
    """Return a column's numbers, shape (n, d): lists are laid out flat, missing numbers are NaN.

    Args:
        column: a ``pyarrow.ChunkedArray`` of numbers, truth values, decimals or times, or of lists of lists of them.
        place: how error messages name its examples.

    Raises:
        UserError: if examples differ in length, lists are missing or empty, or there is something else in them.
    """
    leaves, width = _leaves(column, place)
    return _numbers(leaves, width, place)


def table_of(columns: Sequence[Any], places: Sequence[ColumnPlace]) -> Floats:
    """Return several columns of single numbers beside each other, shape (n, columns)."""
    parts = []
    for column, place in zip(columns, places, strict=True):
        part = rows_of(column, place)
        parts.append(part)
        if part.values.size != len(part.values):
            raise UserError(
                "dataset.feature must be one column of lists or several columns of single numbers, got lists in "
                f"{place.column} among several; name it alone"
            )
    taken_off = {number: part.taken_off[0] for number, part in enumerate(parts) if part.taken_off}
    return Floats(np.concatenate([part.values for part in parts], axis=1), taken_off)


def flat(column: Any) -> Any:
    """Return a column as one ``pyarrow.Array`` of plain values: no chunks, dictionaries or extension types."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # one chunk that could not be made
        array = pa.concat_arrays(array.chunks)
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_text(kind: Any) -> bool:
    """Return whether an Arrow type is one of text."""
    import pyarrow as pa

    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _leaves(column: Any, place: ColumnPlace) -> tuple[Any, int]:
    """Return the innermost values of all examples in a row, and how many an example has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array, width = flat(column), 1
    kinds = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    while any(is_kind(array.type) for is_kind in kinds):
        if array.null_count:
            first = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
            raise _refusal(place, first // width, "has no list")
        lengths: np.ndarray = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != lengths[:1])
        if len(other):
            first = int(other[0])
            raise _refusal(place, first // width, f"has a list of {lengths[first]} where another has {lengths[0]}")
        if len(lengths) and lengths[0] == 0:
            raise _refusal(place, 0, "has an empty list")
        width *= int(lengths[0]) if len(lengths) else 1
        array = flat(array.flatten())
    return array, width


def _numbers(leaves: Any, width: int, place: ColumnPlace) -> Floats:
    import pyarrow as pa

    kind = leaves.type
    if is_text(kind):
        raise _refusal_of_text(leaves.to_pylist(), width, place)
    missing = leaves.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
    if pa.types.is_null(kind):
        return Floats(np.full(missing.shape, np.nan, np.float32), {})
    if pa.types.is_decimal(kind):
        return _decimals(np.array(leaves.to_pylist(), dtype=object).reshape(-1, width), missing)
    if pa.types.is_temporal(kind):
        leaves = leaves.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
    elif pa.types.is_boolean(kind):
        leaves = leaves.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise _refusal(place, 0, f"holds {kind}")
    values = leaves.to_numpy(zero_copy_only=False) if not leaves.null_count else _zeros_for_nulls(leaves)
    return floats(values.reshape(-1, width), missing)


def _zeros_for_nulls(leaves: Any) -> np.ndarray:
    import pyarrow as pa

    zero = pa.scalar(np.float16(0) if pa.types.is_float16(leaves.type) else 0, leaves.type)
    values: np.ndarray = leaves.fill_null(zero).to_numpy(zero_copy_only=False)
    return values


def _decimals(values: np.ndarray, missing: np.ndarray) -> Floats:
    """Return decimals as floats; of those with more than 15 digits the distances from the smallest of their column."""
    result: np.ndarray = np.full(values.shape, np.nan)
    taken_off: dict[int, int] = {}
    for j in range(values.shape[1]):
        known = ~missing[:, j]
        column: list[Decimal] = values[known, j].tolist()
        smallest = min(column, default=Decimal(0))
        if any(len(value.normalize().as_tuple().digits) > 15 for value in column):
            taken_off[j] = int(smallest)
            with localcontext(prec=100):  # Arrow's decimals have up to 76 digits
                column = [value - taken_off[j] for value in column]
        result[known, j] = [float(value) for value in column]
    return Floats(floats(result).values, taken_off)


def _refusal_of_text(values: list[str | None], width: int, place: ColumnPlace) -> UserError:
    """Return the error that names the first text that is no number, or says that all are numbers."""
    wrong = [number for number, value in enumerate(values) if value is not None and not _is_number(value)]
    if not wrong:
        return _refusal(place, 0, "holds text, although every value is a number; store numbers")
    first = str(values[wrong[0]])
    shown = repr(first if len(first) <= 40 else first[:40] + "…")
    others = f" (and {len(wrong) - 1} more values are none)" if len(wrong) > 1 else ""
    return UserError(
        f"dataset.feature must name a column of pictures, of numbers or of lists of numbers, got {place.column}: "
        f"{place.example(wrong[0] // width)} holds {shown}, which is no number{others}; write numbers with a decimal "
        "point and nothing where one is missing, or leave the column out (text: as lists of numbers)"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _refusal(place: ColumnPlace, number: int, fault: str) -> UserError:
    return UserError(
        "dataset.feature must name a column of pictures, of numbers or of lists of numbers of one length, got "
        f"{place.column}: {place.example(number)} {fault}; bring it into that shape or leave it out "
        "(text: as lists of numbers)"
    )
