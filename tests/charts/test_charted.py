"""What a chart shows, on its way to a browser."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fedlayers.charts.charted import FACTS, Charted
from fedlayers.runs.reading.parts import to_pandas


def test_a_frame_arrives_as_numbers_a_browser_has_and_texts() -> None:
    frame = pd.DataFrame(
        {
            "layer": pd.Categorical(["fc1", None, "<b>"]),
            "round": pd.array([1, None, 3], dtype="Int32"),
            "client": np.array([0, 1, 2]),
            "nanoseconds": np.array([1, 2, 2**40]),
            "value": [0.5, np.nan, np.inf],
            "is_best": [True, False, True],
        }
    )
    charted = Charted.of(frame, {"label": "loss (nat)", "limits": (0.0, np.inf)})
    found = pa.ipc.open_stream(charted.stream()).read_all()
    assert json.loads(found.schema.metadata[FACTS]) == {"label": "loss (nat)", "limits": [0.0, None]}
    assert len(charted) == found.num_rows == 3
    assert found["layer"].to_pylist() == ["fc1", None, "<b>"]
    assert [str(found[name].type) for name in ("round", "client", "nanoseconds", "value", "is_best")] == [
        "double", "int32", "double", "double", "bool",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["round"].to_numpy(), [1, np.nan, 3])
    np.testing.assert_array_equal(found["value"].to_numpy(), [0.5, np.nan, np.inf])
    assert sum(column.null_count for column in found.columns) == 1  # the text that is not there


def part(texts: list[str | None], numbers: list[int | None], values: list[float | None]) -> pa.Table:
    columns = {
        "layer": pa.array(texts, pa.string()).dictionary_encode(),
        "plain": pa.array(texts, pa.string()),
        "client": pa.array(numbers, pa.int32()),
        "n": pa.array([7] * len(values), pa.int64()),
        "value": pa.array(values, pa.float64()),
    }
    return pa.table(columns)


@pytest.mark.parametrize(
    "parts",
    [
        [(["fc1", None, "<b>"], [1, None, 3], [0.5, None, np.inf])],
        # Each part of a table has a dictionary of its own.
        [(["a", "b"], [0, 1], [1.0, np.nan]), (["b", None, "c"], [2, 3, 4], [2.0, 3.0, None])],
        [([None], [None], [None])],
        [([], [], [])],
        [],
    ],
    ids=["gaps", "two parts", "nothing known", "no rows", "no parts"],
)
def test_a_table_shows_what_its_frame_shows(parts: list[tuple[list[Any], list[Any], list[Any]]]) -> None:
    schema = part([], [], []).schema
    table = pa.concat_tables([part(*one) for one in parts]) if parts else pa.Table.from_batches([], schema)
    found, wanted = Charted.of_table(table, {"label": "x"}), Charted.of(to_pandas(table), {"label": "x"})
    assert found.facts == wanted.facts and list(found.columns) == list(wanted.columns)
    for name, column in wanted.columns.items():
        assert type(found.columns[name]) is type(column)
        np.testing.assert_array_equal(np.asarray(found.columns[name]), np.asarray(column))
        assert np.asarray(found.columns[name]).dtype == np.asarray(column).dtype


def test_nothing_is_a_chart_without_rows() -> None:
    empty = Charted({"value": np.array([]), "name": []})
    assert len(empty) == len(Charted({})) == 0
    assert pa.ipc.open_stream(empty.stream()).read_all().num_rows == 0


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"columns must have one length, got \{'a': 1, 'b': 2\}"):
        Charted({"a": ["x"], "b": np.zeros(2)})
