"""Rows of a part are those of Arrow's own scan, whatever its footer says of columns with one value or none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fedlayers.core.records import SCHEMAS
from fedlayers.core.seals import seal_of
from fedlayers.runs import integrity
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.manifest import Manifest
from fedlayers.runs.reading import parts
from fedlayers.runs.reading.part_rows import rows_of_part
from fedlayers.runs.reading.parts import load, to_pandas
from fedlayers.runs.reading.selection import Selection
from tests.support.fake_run import write_run

SCHEMA = SCHEMAS["records"]


def part_of(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    """Write a part with these columns, all others without a value."""
    rows = len(next(iter(columns.values())))
    full = [pa.array(columns.get(field.name, [None] * rows), field.type) for field in SCHEMA]
    pq.write_table(pa.table(full, schema=SCHEMA), folder / "part.parquet", **options)
    return folder / "part.parquet"


def scanned(files: list[Path], table: str, selection: Selection) -> pd.DataFrame:
    schema = SCHEMAS[table]
    every = ds.dataset([str(file) for file in files], schema=schema, format="parquet", partitioning=None)
    return to_pandas(every.to_table(columns=selection.read(schema.names), filter=selection.predicate(schema)))


@pytest.mark.parametrize("table", SCHEMAS)
@pytest.mark.parametrize(
    ("filters", "columns"),
    [
        ({}, ()),
        ({"metric": "accuracy"}, ()),
        ({"metric": ["loss", "train_s", "cka"], "client": [0, 2]}, ("value", "round", "layer")),
        ({"moment": "after_local"}, ("metric", "layer")),
        ({"round": [1, 2], "moment": ["after_local", "start"]}, ("client",)),
        ({"client": 1000}, ()),
    ],
)
def test_a_slice_is_that_of_arrows_own_scan(
    tmp_path: Path, table: str, filters: dict[str, Any], columns: tuple[str, ...]
) -> None:
    run, selection = write_run(tmp_path), Selection.of(filters, columns)
    found = load(run, table, selection)
    expected = scanned(parts.parts(run, table), table, selection)
    if "run" in expected:
        found = found.set_column(0, "run", pa.nulls(found.num_rows, SCHEMAS[table].field("run").type))
    pd.testing.assert_frame_equal(to_pandas(found), expected, check_categorical=False)
    assert filters or len(found) > 0


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.large_string())])
@pytest.mark.parametrize("filters", [{}, {"metric": ["a"], "layer": ["fc"]}, {"metric": ["b"]}])
def test_parts_that_other_programs_wrote_are_read_as_arrow_does(
    tmp_path: Path, text: pa.DataType, filters: dict[str, Any]
) -> None:
    rows: dict[str, list[Any]] = {"metric": ["a", "b", "a"], "layer": ["fc", None, None], "reason": [None] * 3}
    columns = {name: pa.array(values, pa.string()).cast(text) for name, values in rows.items() if name != "reason"}
    numbers = {"round": pa.array([1, 2, 3], pa.int64()), "reason": pa.nulls(3), "value": pa.array([1.0, None, 2.0])}
    part = tmp_path / "part.parquet"
    pq.write_table(pa.table(columns | numbers), part)
    selection = Selection.of(filters, ())
    found = rows_of_part(part, SCHEMA, SCHEMA.names, selection.values)
    assert found.schema.equals(SCHEMA) and found.unify_dictionaries().num_rows == found.num_rows
    pd.testing.assert_frame_equal(to_pandas(found), scanned([part], "records", selection), check_categorical=False)


@pytest.mark.parametrize("rows_of_a_group", [1, 3, 100])
@pytest.mark.parametrize("statistics", [True, False, ["metric"]])
def test_a_column_is_read_unless_its_footer_tells_its_only_value(
    tmp_path: Path, rows_of_a_group: int, statistics: Any
) -> None:
    columns = {
        "round": [3, 3, 3, 3, 3],
        "client": [1, None, 1, 1, 1],  # one value, and absent: two
        "metric": ["a", "a", "b", "a", "a"],
        "status": ["ok"] * 5,
        "moment": [None, "start", "start", "start", "start"],
        "value": [1.0, np.nan, 1.0, 1.0, 1.0],  # a footer says 1 to 1
        "stderr": [0.0, -0.0, 0.0, 0.0, 0.0],
        "n": [7, 7, 7, 7, 8],
    }
    part = part_of(tmp_path, columns, row_group_size=rows_of_a_group, write_statistics=statistics)
    whole = to_pandas(rows_of_part(part, SCHEMA, SCHEMA.names, {}))
    pd.testing.assert_frame_equal(whole, scanned([part], "records", Selection()), check_categorical=False)
    assert np.signbit(whole["stderr"]).tolist() == [False, True, False, False, False]
    for filters in ({"metric": "a", "client": 1}, {"round": 3, "moment": "start"}, {"status": "missing"}):
        asked = Selection.of(filters, ("value", "n", "step"))
        own = rows_of_part(part, SCHEMA, asked.read(SCHEMA.names), asked.values)
        pd.testing.assert_frame_equal(to_pandas(own), scanned([part], "records", asked), check_categorical=False)


def test_columns_in_other_types_come_in_those_of_the_table(tmp_path: Path) -> None:
    plain = pa.table({"metric": ["a", "b", "a"], "client": pa.array([1, 2, 3], pa.int64()), "value": [1.0, 2.0, 3.0]})
    pq.write_table(plain, tmp_path / "part.parquet", store_schema=False)
    found = rows_of_part(tmp_path / "part.parquet", SCHEMA, SCHEMA.names, {"metric": ["a"]})
    assert found.schema == SCHEMA and found.column("client").to_pylist() == [1, 3]
    assert found.column("layer").null_count == 2


def test_a_part_without_rows_has_the_columns_of_the_table(tmp_path: Path) -> None:
    part = part_of(tmp_path, {"metric": []})
    assert rows_of_part(part, SCHEMA, ["metric", "value"], {"metric": ["a"]}).schema.names == ["metric", "value"]


def test_a_part_is_checked_once_until_it_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path)
    manifest, files = Manifest(run), sorted((run / "records").glob("round=*.parquet"))
    (run / "done.json").unlink()  # it says nothing of digests
    manifest.begin({}, 0)
    for number, file in enumerate(files):
        manifest.note(f"records/{file.name}", seal_of(file))
        manifest.close_round(number)
    read: list[str] = []
    real = integrity.problem_of

    def watched(path: Path, *others: Any) -> Any:
        read.append(path.name)
        return real(path, *others)

    monkeypatch.setattr(parts, "problem_of", watched)
    before = to_pandas(load(run, "records"))
    assert sorted(read) == [file.name for file in files]
    pd.testing.assert_frame_equal(to_pandas(load(run, "records")), before)
    assert len(read) == len(files)
    data = bytearray(files[2].read_bytes())
    data[len(data) // 2] ^= 1
    files[2].write_bytes(data)
    for _ in range(2):
        with pytest.raises(DamagedError, match=r"round=000002.parquet has another content than was written"):
            load(run, "records")
    data[len(data) // 2] ^= 1
    files[2].write_bytes(data)
    pd.testing.assert_frame_equal(to_pandas(load(run, "records")), before)
    files[2].unlink()
    with pytest.raises(DamagedError, match=r"round=000002.parquet is missing"):
        load(run, "records")
