"""Tables: a fixed schema, an order that forgets how rows arrived, bytes that are equal for equal contents."""

import io
import math
import random
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedlayers.core.records import (
    KEYS,
    SCHEMAS,
    Pair,
    Record,
    Resource,
    Row,
    Spectrum,
    addressed,
    from_bytes,
    joined_table,
    missing,
    sort,
    table_of,
    to_bytes,
    to_table,
)

ADDRESS: dict[str, Any] = {"run": "r", "round": 1, "moment": "after_local", "owner": "client", "model": "personal"}


def rows_of(table: str) -> list[Row]:
    """Return rows that differ in one key at a time, with None among the values."""
    made: list[Row] = []
    for client in (None, 0, 2, 10):
        for layer in (None, "fc.weight", "fc.bias"):
            for metric in ("norm", "drift"):
                where = {**ADDRESS, "client": client, "metric": metric}
                if table == "records":
                    made.append(Record(value=len(made), layer=layer, **where))
                elif table == "pairs":
                    made += [Pair(value=1.0, layer=layer, other=o, other_layer=layer, **where) for o in (11, 12)]
                elif table == "spectra":
                    made.append(Spectrum(x=[0.0, 1.0], y=[len(made), 2.0], layer=layer, **where))
                else:
                    made.append(Resource(value=1.0, unit="s", layer=layer, **where))
                made += [replace(made[-1], step=step) for step in (2, 10)]
    return made


def sorted_table(name: str, rows: list[Row]) -> pa.Table:
    return sort(name, to_table(name, rows))


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_order_of_arrival_leaves_no_trace(name: str) -> None:
    rows = rows_of(name)
    expected = sorted_table(name, rows)
    assert expected.schema.equals(SCHEMAS[name])
    for seed in range(5):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert parquet(sorted_table(name, shuffled)) == parquet(expected)
        cut = seed + 1
        pieces = [to_table(name, shuffled[:cut]), to_table(name, shuffled[cut:])]
        assert parquet(sort(name, pa.concat_tables(pieces))) == parquet(expected)


@pytest.mark.parametrize("name", SCHEMAS)
def test_rows_are_sorted_by_every_key(name: str) -> None:
    rows = rows_of(name)
    found = sorted_table(name, random.Random(0).sample(rows, len(rows))).to_pylist()
    # None comes last.
    order = [tuple((row[key] is None, row[key]) for key in KEYS[name]) for row in found]
    assert order == sorted(order, key=lambda keys: [(none, 0 if none else value) for none, value in keys])
    assert len(set(order)) == len(rows)


def test_the_columns_are_those_of_the_design() -> None:
    where = ["run", "round", "moment", "owner", "model", "client", "layer", "layer_index", "subject", "step", "metric"]
    numbers = ["value", "stderr", "n", "chance", "chance_hi", "p"]
    told = ["scope", "status", "reason"]
    assert SCHEMAS["records"].names == [*where, "variant", *numbers, *told]
    assert SCHEMAS["pairs"].names == [*where, "variant", "other", "other_round", "other_layer", *numbers, *told]
    assert SCHEMAS["spectra"].names == [*where, "variant", "x", "y", "n", *told]
    assert SCHEMAS["resources"].names == [*where, "unit", "value"]


def test_integers_stay_integers_and_empty_is_null() -> None:
    table = to_table("records", [Record("a", 1.0, client=3, n=5, step=7), Record("b", math.nan)])
    kinds = [table.schema.field(key).type for key in ("client", "round", "step", "n")]
    assert kinds == [pa.int32(), pa.int32(), pa.int32(), pa.int64()]
    found = pq.read_table(io.BytesIO(parquet(table))).to_pylist()
    assert [(row["client"], row["step"]) for row in found] == [(3, 7), (None, None)]
    assert found[0]["n"] == 5
    assert found[0]["stderr"] is None
    assert math.isnan(found[1]["value"])
    frame = table.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}.get)
    assert str(frame.client.dtype) == "Int32"
    assert frame.client.isna().tolist() == [False, True]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_trip_as_bytes_changes_nothing(name: str) -> None:
    table = to_table(name, rows_of(name))
    assert from_bytes(to_bytes(table)).equals(table)
    empty = to_table(name, [])
    assert from_bytes(to_bytes(empty)).equals(empty)
    assert empty.schema.equals(SCHEMAS[name])


def test_the_table_of_a_row() -> None:
    assert [table_of(rows_of(name)[0]) for name in SCHEMAS] == list(SCHEMAS)


def test_addressed_fills_only_what_is_empty() -> None:
    rows: list[Row] = [
        Record("a", 1.0, client=0, layer_index=0),
        Record("b", 2.0),
        Spectrum("c", [0.0], [1.0], model="global"),
    ]
    found = addressed(rows, client=7, model="personal", round=0)
    assert [(row.client, row.model, row.round) for row in found] == [
        (0, "personal", 0),
        (7, "personal", 0),
        (7, "global", 0),
    ]
    assert rows[1].client is None
    again = addressed(found, client=9)
    assert again == found


def test_missing_is_a_status_with_a_reason() -> None:
    row = missing("accuracy", "no examples", scope="client_test", client=3)
    assert (row.status, row.reason, row.scope, row.client) == ("missing", "no examples", "client_test", 3)
    assert math.isnan(row.value)
    assert row.n is None
    assert Record("accuracy", 0.0).status == "ok"


def test_columns_of_one_value_are_those_of_many() -> None:
    cases: list[list[object]] = [[0, -0.0, 0.0], [None, None], [math.nan] * 2, [1, 1], [2.5]]
    for values in cases:
        rows = [Record("m", value, stderr=value, client=3) for value in values]  # type: ignore[arg-type]
        table = to_table("records", rows)
        for name in ("value", "stderr", "client", "layer"):
            expected = pa.array([getattr(row, name) for row in rows], table.schema.field(name).type)
            assert pa.record_batch([table[name].combine_chunks()], ["x"]).serialize() == (
                pa.record_batch([expected], ["x"]).serialize()
            )
    assert to_table("spectra", [Spectrum("m", [1.0], [2.0], client=1)])["x"].to_pylist() == [[1.0]]


def test_groups_of_one_table_are_filled_in_like_single_rows() -> None:
    first: list[Row] = [Record("a", 1.0, layer="fc1", subject="x"), Record("b", 2.0, model="global")]
    second: list[Row] = [Record("a", 3.0, layer="fc2", client=1)]
    whose = {"client": 7, "model": "personal", "moment": "after_local"}
    singly = to_table("records", [*addressed(first, **whose), *second])
    for _ in range(2):  # the second time from columns that are kept
        assert to_bytes(joined_table("records", [(first, whose), ([], {"round": 1}), (second, {})])) == to_bytes(singly)
    assert joined_table("records", []).equals(to_table("records", []))


def test_columns_that_are_kept_are_told_apart() -> None:
    for subjects in (["a", None, "b"], ["b", None, "a"], ["a", None, "b"], ["a", "b"]):
        table = to_table("records", [Record("m", 0.0, subject=subject) for subject in subjects])
        assert table["subject"].to_pylist() == subjects
        assert table["subject"].combine_chunks().dictionary.to_pylist() == list(dict.fromkeys(filter(None, subjects)))
    for counts in ([1, None, 2], [2, None, 1], [1, None, 2], [1, 2], [0, 1]):
        for name in ("n", "layer_index"):
            kept = to_table("records", [Record("m", 0.0, n=count, layer_index=count) for count in counts])[name]
            assert kept.to_pylist() == counts
