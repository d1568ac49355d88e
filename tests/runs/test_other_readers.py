"""The files as others read them: pandas without our code, polars and DuckDB, whatever the folders are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from fedlayers.core.records import SCHEMAS, Pair, Record, to_table, typed_for_pandas
from fedlayers.studies.aggregate import aggregate

INTEGERS = {"round": "Int32", "client": "Int32", "layer_index": "Int32", "step": "Int32", "n": "Int64"}
ROWS = [Record("loss", 1.0, client=3, n=5, layer_index=0, round=2), Record("loss", 2.0)]


@pytest.fixture(scope="module")
def study(quick_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("others") / "seed=7"
    run = quick_run("engine=local", "rounds=1", "metrics=[evaluation,weights,distances]", folder=results)
    aggregate(run.parent)
    return run.parent


def rows(query: str) -> list[Any]:
    found = duckdb.sql(query)
    assert found is not None
    return found.fetchall()


def test_integers_that_may_be_absent_stay_integers_in_pandas(study: Path) -> None:
    run = next(study.glob("digits-*"))
    places = [study / "study.parquet", run / "records", run / "records" / "round=000001.parquet"]
    for place in places:
        frame = pd.read_parquet(place)
        assert {name: str(frame[name].dtype) for name in INTEGERS} == INTEGERS, place
        assert frame["client"].isna().any() and sorted(frame["client"].dropna().unique()) == [0, 1, 2, 3]
        chosen = pd.read_parquet(place, columns=["client", "value"], filters=[("metric", "==", "loss")])
        assert str(chosen["client"].dtype) == "Int32"
    pairs = pd.read_parquet(study / "study_pairs.parquet")
    assert {str(pairs[name].dtype) for name in ("client", "other", "other_round")} == {"Int32"}
    assert str(pd.read_parquet(study / "study.parquet")["seed"].dtype) == "Int64"


@pytest.mark.parametrize("name", ["records", "pairs"])
def test_the_note_for_pandas_changes_no_value_and_names_no_version(name: str) -> None:
    given = ROWS if name == "records" else [Pair("l2_dst", 1.0, client=0, other=1)]
    table = typed_for_pandas(to_table(name, given))
    assert table.equals(to_table(name, given)) and table.schema.equals(SCHEMAS[name])
    assert b"version" not in (table.schema.metadata or {})[b"pandas"]


def test_polars_and_duckdb_read_the_same(study: Path) -> None:
    part = next(study.glob("digits-*")) / "records" / "round=000001.parquet"
    expected = pq.read_table(part)["client"].to_pylist()
    assert pl.read_parquet(part)["client"].to_list() == expected
    assert [row[0] for row in rows(f"SELECT client FROM '{part}'")] == expected


def test_a_folder_called_like_a_column_hides_nothing_where_the_docs_say_how(study: Path) -> None:
    table = study / "study.parquet"
    hidden = rows(f"SELECT DISTINCT seed FROM '{table}'")
    assert hidden == [(7,)], "DuckDB no longer reads folders as columns: the docs need not warn"
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "large-studies.md").read_text(encoding="utf-8")
    assert "hive_partitioning = false" in text
    query = f"SELECT DISTINCT seed FROM read_parquet('{table}', hive_partitioning = false)"
    assert rows(query) == [(0,)]
    assert pd.read_parquet(table)["seed"].unique().tolist() == [0]
    assert pl.read_parquet(table)["seed"].unique().to_list() == [0]
