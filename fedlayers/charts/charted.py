"""What a chart shows: columns of one length, and what is said about them."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from fedlayers.core.json_values import plain

Column = npt.NDArray[Any] | Sequence[str | None]
# Under which name the facts stand in the metadata of an Arrow schema.
FACTS = b"facts"
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Charted:
    """What a chart shows.

    Attributes:
        columns: name -> numbers, absent ones NaN, or texts, absent ones None; all of one length.
        facts: what JSON can hold: labels with units, limits, the name of a band, notes on what was left out.

    Examples:
        >>> charted = Charted({"layer": ["fc1", "fc2"], "value": np.array([0.5, 2.0])}, {"label": "norm"})
        >>> charted.table().to_pydict()
        {'layer': ['fc1', 'fc2'], 'value': [0.5, 2.0]}
    """

    columns: Mapping[str, Column]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that all columns have one length."""
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len({*lengths.values()}) > 1:
            raise ValueError(f"columns must have one length, got {lengths}")

    @classmethod
    def of(cls, frame: pd.DataFrame, facts: Mapping[str, Any] | None = None) -> "Charted":
        """Return what a frame shows.

        Args:
            frame: columns of numbers, truth values or texts, in the order of its rows.
            facts: see the class.
        """
        return cls({str(name): _column(values) for name, values in frame.items()}, facts or {})

    @classmethod
    def of_table(cls, table: pa.Table, facts: Mapping[str, Any] | None = None) -> "Charted":
        """Return what an Arrow table shows, the same as of the frame that pandas makes of it, in a part of the time.

        Args:
            table: columns of numbers, truth values or texts.
            facts: see the class.
        """
        return cls({name: _of_arrow(table.column(name)) for name in table.column_names}, facts or {})

    @classmethod
    def of_stream(cls, stream: bytes) -> "Charted":
        """Return what the bytes of :meth:`stream` show."""
        table = pa.ipc.open_stream(stream).read_all()
        return cls.of_table(table, json.loads(table.schema.metadata[FACTS]))

    def __len__(self) -> int:
        """Return the number of rows."""
        return max((len(column) for column in self.columns.values()), default=0)

    def table(self) -> pa.Table:
        """Return the columns as an Arrow table, with the facts as JSON in its schema's metadata.

        Whole numbers are 32 bits wide, wider ones floating-point: a browser's numbers. NaN stays NaN.
        """
        arrays = {name: _array(column) for name, column in self.columns.items()}
        said = json.dumps(plain(self.facts), ensure_ascii=False).encode()
        return pa.table(arrays).replace_schema_metadata({FACTS: said})

    def stream(self) -> bytes:
        """Return the table as the bytes of an Arrow stream."""
        table, sink = self.table(), io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue()


def _column(values: "pd.Series[Any]") -> Column:
    """Return a column of a frame as numbers with NaN, or as texts with None."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _texts(values.cat.categories, values.cat.codes.to_numpy())
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(bool)
    if pd.api.types.is_numeric_dtype(values.dtype):
        whole = pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any()
        return values.to_numpy(np.int64) if whole else values.to_numpy(float, na_value=np.nan)
    absent = values.isna().to_numpy(bool)
    return [None if gone else str(value) for value, gone in zip(values.astype(object), absent, strict=True)]


def _of_arrow(values: pa.ChunkedArray) -> Column:
    """Return a column of a table as numbers with NaN, or as texts with None."""
    if pa.types.is_boolean(values.type) and not values.null_count:
        truths: np.ndarray = values.to_numpy()
        return truths.astype(bool)
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        is_whole = pa.types.is_integer(values.type) and not values.null_count
        numbers: np.ndarray = values.to_numpy()
        return numbers.astype(np.int64 if is_whole else float)
    # Every part has a dictionary of its own.
    texts = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    encoded = texts.unify_dictionaries().combine_chunks()
    return _texts(encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy())


def _texts(known: Iterable[object], codes: np.ndarray) -> list[str | None]:
    """Return the text of each row by its code, None where that is -1; each text is made once."""
    found: list[str | None] = np.array([*map(str, known), None], object)[codes].tolist()
    return found


def _array(column: Column) -> pa.Array:
    """Return a column as Arrow has it: texts by dictionary, numbers as a browser can take them without a copy."""
    if not isinstance(column, np.ndarray) or column.dtype.kind in "OUS":
        return pa.array(list(column), pa.string()).dictionary_encode()
    if column.dtype.kind in "iu":
        narrow = column.size == 0 or max(-int(column.min()), int(column.max())) <= _LARGEST
        return pa.array(column.astype(np.int32 if narrow else float))
    return pa.array(column if column.dtype.kind == "b" else column.astype(float), from_pandas=False)
