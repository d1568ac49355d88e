"""What a chart shows, on its way to a browser."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fedlayers.charts.charted import FACTS, Charted


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


def test_nothing_is_a_chart_without_rows() -> None:
    empty = Charted({"value": np.array([]), "name": []})
    assert len(empty) == len(Charted({})) == 0
    assert pa.ipc.open_stream(empty.stream()).read_all().num_rows == 0


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"columns must have one length, got \{'a': 1, 'b': 2\}"):
        Charted({"a": ["x"], "b": np.zeros(2)})
