"""Rows of one part of a table: a column that has one value, or none, is known from the part's footer and not read."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedlayers.runs.reading.run_columns import constant

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Value = str | int


def rows_of_part(
    file: Path, schema: "pa.Schema", names: Sequence[str], values: Mapping[str, Collection[Value]]
) -> "pa.Table":
    """Return the rows of a part that have one of the values in each of the columns, in their order.

    Columns by which rows are chosen are read first: of a part that has no such row no other column is read.

    Args:
        file: the part.
        schema: of its table.
        names: the columns that are wanted, in the order of the schema.
        values: column of the schema -> the values that are asked for.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = pa.schema([schema.field(name) for name in names])
    with pq.ParquetFile(file) as part:
        groups = [_Group(part, number, schema) for number in range(part.num_row_groups)]
        found = [pa.table(group.chosen(names, values), wanted) for group in groups]
    return pa.concat_tables(found) if found else wanted.empty_table()


class _Group:
    """A row group of a part.

    Args:
        part: the open file.
        number: of the group.
        schema: of the table.
    """

    def __init__(self, part: "pq.ParquetFile", number: int, schema: "pa.Schema") -> None:
        self._part, self._number, self._schema = part, number, schema
        self._footer = part.metadata.row_group(number)
        places = range(self._footer.num_columns)
        self._places = {self._footer.column(place).path_in_schema: place for place in places}
        self._there = frozenset(part.schema_arrow.names)

    def chosen(self, names: Sequence[str], values: Mapping[str, Collection[Value]]) -> dict[str, "pa.ChunkedArray"]:
        """Return the columns of the rows that have one of the values in each of the columns."""
        ones = {name: one for name in (*names, *values) if (one := self._one_value(name)) is not None}
        asked = self._read([name for name in values if name not in ones])
        fit = np.ones(self._footer.num_rows, bool)
        for column, wanted in values.items():
            fit &= ones[column][0] in wanted if column in ones else _have(asked[column], wanted)
        rows = np.flatnonzero(fit)
        read = asked | self._read([name for name in names if name not in ones and name not in asked and len(rows)])
        kinds = {name: self._schema.field(name).type for name in names}
        known = {
            name: constant(ones.get(name, (None,))[0], kind, len(rows))
            for name, kind in kinds.items()
            if name not in read
        }
        if len(rows) < len(fit):
            read = {name: column.take(rows) for name, column in read.items() if name in kinds}
        return {name: read[name] if name in read else known[name] for name in names}

    def _one_value(self, name: str) -> tuple[Value | None] | None:
        """Return the only value of a column, absent or not; None if it has several or its footer does not say."""
        import pyarrow as pa

        if name not in self._there:  # an earlier version did not write it
            return (None,)
        said = self._footer.column(self._places[name]).statistics if name in self._places else None
        if said is None or not said.has_null_count:
            return None
        if said.null_count == self._footer.num_rows:
            return (None,)
        # Limits of numbers with fractions do not tell of those that are none.
        is_told = said.has_min_max and not said.null_count and not pa.types.is_floating(self._schema.field(name).type)
        return (said.min,) if is_told and said.min == said.max else None

    def _read(self, names: Sequence[str]) -> dict[str, "pa.ChunkedArray"]:
        """Return columns of all rows in the types of the table."""
        if not names:
            return {}
        # Several parts are read at once instead.
        table = self._part.read_row_group(self._number, list(names), use_threads=False)
        return {name: _typed(table.column(name), self._schema.field(name).type) for name in names}


def _typed(column: "pa.ChunkedArray", kind: "pa.DataType") -> "pa.ChunkedArray":
    import pyarrow as pa

    if column.type == kind:
        return column
    # Of texts, and of what other programs write: categories, long texts, a column of nothing but nulls.
    return column.cast(kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)


def _have(column: "pa.ChunkedArray", wanted: Collection[Value]) -> np.ndarray:
    """Say which rows have one of some values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        found: np.ndarray = pc.is_in(column, pa.array(list(wanted), column.type)).to_numpy()
        return found
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        # The last one stands for rows without a value, whose code is made -1.
        is_wanted = np.array([*(word in wanted for word in chunk.dictionary.to_pylist()), False])
        parts.append(is_wanted[chunk.indices.fill_null(-1).to_numpy()])
    return np.concatenate(parts)
