"""The tables of a run: one row a measured value, with everything needed to interpret it.

``records/`` holds single values, ``pairs/`` values between two things, ``spectra/`` curves and matrices as list
columns, ``resources/`` times, memory and bytes. The Arrow schemas are fixed here.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any

import pyarrow as pa

from fedlayers.core.tables.columns import column_maker, filled
from fedlayers.core.tables.row_kind import row_kind

_TEXT = pa.dictionary(pa.int32(), pa.string())

# Who, when and where, and what the value is about: filled in by the harness, the same for all tables.
_ADDRESS = [
    ("run", _TEXT), ("round", pa.int32()), ("moment", _TEXT), ("owner", _TEXT), ("model", _TEXT),
    ("client", pa.int32()), ("layer", _TEXT), ("layer_index", pa.int32()), ("subject", _TEXT), ("step", pa.int32()),
    ("metric", _TEXT),
]  # fmt: skip
_VARIANT = [("variant", _TEXT)]
_VALUE = [
    ("value", pa.float64()), ("stderr", pa.float64()), ("n", pa.int64()), ("chance", pa.float64()),
    ("chance_hi", pa.float64()), ("p", pa.float64()),
]  # fmt: skip
_OTHER = [("other", pa.int32()), ("other_round", pa.int32()), ("other_layer", _TEXT)]
_CURVE = [("x", pa.list_(pa.float64())), ("y", pa.list_(pa.float64())), ("n", pa.int64())]
_SCOPE = [("scope", _TEXT)]
_STATUS = [("status", _TEXT), ("reason", _TEXT)]

SCHEMAS: Mapping[str, pa.Schema] = {
    "records": pa.schema(_ADDRESS + _VARIANT + _VALUE + _SCOPE + _STATUS),
    "pairs": pa.schema(_ADDRESS + _VARIANT + _OTHER + _VALUE + _SCOPE + _STATUS),
    "spectra": pa.schema(_ADDRESS + _VARIANT + _CURVE + _SCOPE + _STATUS),
    "resources": pa.schema([*_ADDRESS, ("unit", _TEXT), ("value", pa.float64())]),
}
# What tells two rows of a table apart; rows are sorted by it.
KEYS: Mapping[str, tuple[str, ...]] = {
    name: tuple(key for key, _ in keys)
    for name, keys in {
        "records": _ADDRESS + _VARIANT + _SCOPE,
        "pairs": _ADDRESS + _VARIANT + _SCOPE + _OTHER,
        "spectra": _ADDRESS + _VARIANT + _SCOPE,
        "resources": _ADDRESS,
    }.items()
}

MOMENTS = ("start", "after_local", "after_aggregate", "final")
# The model of the best round on all clients, measured at the end where rounds ask some of them; not to be chosen.
BEST = "best"
# What is measured on a client that never trains has a scope of its own: nothing mixes it up with the others'.
UNSEEN = {"client_train": "unseen_train", "client_val": "unseen_val", "client_test": "unseen_test"}
SCOPES = (*UNSEEN, "probe", "server_test", "space_sample", *UNSEEN.values())


@row_kind
class Record:
    """One measured value; what a metric leaves at None the harness or the schema fills with null.

    Attributes:
        metric: the name of the quantity, such as ``"update_norm"``.
        value: the value; NaN together with ``status="missing"`` and a reason if it could not be had.
        layer: the layer's name, None for the whole model.
        layer_index: the layer's place in the model, from 0.
        subject: what the value is about, if of one thing: a class, tier, rank or cluster; never when it was measured.
        step: the number of optimizer steps that the round's local training had done, from 1, if the value was measured
            inside it; None at a moment itself, such as the end of local training.
        variant: estimator, pooling and the like, if there are several.
        scope: the data the value was measured on, one of ``SCOPES``; None if no data was involved.
        stderr: standard error of ``value``.
        n: the number of independent units behind ``stderr`` (examples, probes, clients).
        chance, chance_hi, p: mean and upper end of the values that chance alone produces, and the p value.
        reason: why the value is missing, or, where there is a value, why it has no standard error.
        client: the client's index; None for the server.
        owner, model, round, moment, run: filled in by the harness unless given.
    """

    metric: str
    value: float
    layer: str | None = None
    layer_index: int | None = None
    subject: str | None = None
    step: int | None = None
    variant: str | None = None
    scope: str | None = None
    stderr: float | None = None
    n: int | None = None
    chance: float | None = None
    chance_hi: float | None = None
    p: float | None = None
    status: str = "ok"
    reason: str | None = None
    client: int | None = None
    owner: str | None = None
    model: str | None = None
    round: int | None = None
    moment: str | None = None
    run: str | None = None


@row_kind
class Pair(Record):
    """One value between two clients, rounds or layers; symmetric quantities appear once, with client < other."""

    other: int | None = None
    other_round: int | None = None
    other_layer: str | None = None


@row_kind
class Spectrum:
    """A curve or one row of a matrix: ``y`` over ``x``; the other attributes are those of :class:`Record`."""

    metric: str
    x: Sequence[float]
    y: Sequence[float]
    layer: str | None = None
    layer_index: int | None = None
    subject: str | None = None
    step: int | None = None
    variant: str | None = None
    scope: str | None = None
    n: int | None = None
    status: str = "ok"
    reason: str | None = None
    client: int | None = None
    owner: str | None = None
    model: str | None = None
    round: int | None = None
    moment: str | None = None
    run: str | None = None


@row_kind
class Resource:
    """A time, an amount of memory or of bytes; kept apart because it differs between equal runs.

    The attributes are those of :class:`Record`; ``unit`` is the unit of ``value``.
    """

    metric: str
    value: float
    unit: str
    layer: str | None = None
    layer_index: int | None = None
    subject: str | None = None
    step: int | None = None
    client: int | None = None
    owner: str | None = None
    model: str | None = None
    round: int | None = None
    moment: str | None = None
    run: str | None = None


Row = Record | Pair | Spectrum | Resource


def missing(metric: str, reason: str, **address: Any) -> Record:
    """Return the record of a value that could not be had: NaN, ``status="missing"`` and the reason."""
    return Record(metric, math.nan, status="missing", reason=reason, **address)


def addressed(rows: Iterable[Row], **address: Any) -> list[Row]:
    """Return the rows with those of the given columns filled in that a row leaves at None."""
    filled, given = [], tuple(address.values())
    for row in rows:
        # A third of the time of dataclasses.replace, which is a part of what every message of a client costs.
        kind: Any = type(row)
        values_of, places = _attributes(kind, tuple(address))
        values = list(values_of(row))
        is_filled = True
        for place, value in zip(places, given, strict=True):
            if values[place] is None:
                values[place], is_filled = value, False
        filled.append(row if is_filled else kind(*values))
    return filled


@cache
def _attributes(kind: type[Any], keys: tuple[str, ...]) -> tuple[Callable[[Row], tuple[Any, ...]], tuple[int, ...]]:
    """Return what reads all attributes of a kind of row, in order, and which places some of them have."""
    names = tuple(field.name for field in fields(kind))
    return attrgetter(*names), tuple(map(names.index, keys))


def table_of(row: Row) -> str:
    """Return the name of the table that a row belongs to."""
    if isinstance(row, Pair):
        return "pairs"
    if isinstance(row, Record):
        return "records"
    return "spectra" if isinstance(row, Spectrum) else "resources"


def to_table(name: str, rows: Sequence[Row], **address: Any) -> pa.Table:
    """Return rows of one kind as an Arrow table in the fixed schema, in the order they came.

    Args:
        name: of the table.
        rows: its rows.
        address: columns filled in where a row leaves them at None, as :func:`addressed` does, in a tenth of the time.
    """
    return joined_table(name, [(rows, address)])


def joined_table(name: str, groups: Sequence[tuple[Sequence[Row], Mapping[str, Any]]]) -> pa.Table:
    """Return groups of rows, each with columns of its own to fill in, as one table: see :func:`to_table`."""
    values_of, _ = _columns(name)
    parts = [_filled(zip(*map(values_of, rows), strict=True), name, address) for rows, address in groups if rows]
    columns = parts[0] if len(parts) == 1 else [sum(own, ()) for own in zip(*parts, strict=True)]
    return table_of_columns(name, columns or [()] * len(SCHEMAS[name]))


def table_of_columns(name: str, columns: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Return columns, in the order of the fixed schema, as an Arrow table."""
    arrays = [make(column) for make, column in zip(_columns(name)[1], columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMAS[name])


def _filled(columns: Iterable[tuple[Any, ...]], name: str, address: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return columns with those of an address filled in where they are None."""
    found = list(columns)
    for key, given in address.items():
        place = _places(name)[key]
        found[place] = tuple(filled(found[place], given))
    return found


@cache
def _places(name: str) -> Mapping[str, int]:
    return {key: place for place, key in enumerate(SCHEMAS[name].names)}


@cache
def _columns(name: str) -> tuple[Callable[[Row], tuple[Any, ...]], list[Callable[[tuple[Any, ...]], pa.Array]]]:
    """Return what reads a row in the order of a table's columns, and what makes an Arrow array of each."""
    schema = SCHEMAS[name]
    return attrgetter(*schema.names), [column_maker(kind) for kind in schema.types]


def sort(name: str, table: pa.Table) -> pa.Table:
    """Return the table sorted by every key, so that the order rows arrived in leaves no trace."""
    if table.num_rows < 2:
        return table
    # Each piece that came would be cast by itself, which takes as long as all that follows.
    table = table.combine_chunks()
    # Dictionary codes depend on the order of arrival: sort by the strings, then encode afresh.
    plain = table.cast(
        pa.schema([(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in table.schema])
    )
    ordered = plain.sort_by([(key, "ascending") for key in KEYS[name]])
    return ordered.combine_chunks().cast(SCHEMAS[name])


def typed_for_pandas(table: pa.Table) -> pa.Table:
    """Return the table with a note in its schema by which ``pandas.read_parquet`` gives nullable integers.

    Without it pandas makes floating-point numbers of integers as soon as one is absent. The note is what pyarrow itself
    writes for such columns, without the versions of libraries, so that equal tables give equal bytes.
    """
    kinds = {pa.int32(): "Int32", pa.int64(): "Int64", pa.bool_(): "boolean"}
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": str(field.type),
            "numpy_type": kinds[field.type],
            "metadata": None,
        }
        for field in table.schema
        if field.type in kinds
    ]
    note = {"index_columns": [], "column_indexes": [], "columns": columns}
    return table.replace_schema_metadata({"pandas": json.dumps(note)})


def to_bytes(table: pa.Table) -> bytes:
    """Return the table as an Arrow IPC stream, the form in which rows travel from clients to the server."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def from_bytes(data: bytes) -> pa.Table:
    """Return the table that :func:`to_bytes` packed."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
