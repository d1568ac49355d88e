"""surveyed_clients: the moments start and final, and the table of the partition, are of a sample, which says so."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.survey import surveyed
from fedlayers.execution.summary import summarise
from fedlayers.figures.clients.partition import partition_matrix
from fedlayers.report.head import about
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import read

Run = Callable[..., Path]
SMALL = ("clients=8", "fraction=0.5", "partition=iid", "metrics=[evaluation]", "engine=local")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, quick_run: Run) -> tuple[Path, Path]:
    """Return a run that surveys three of its eight clients, and one that surveys all."""
    return quick_run(*SMALL, "surveyed_clients=3"), quick_run(*SMALL)


def test_the_sample_is_the_same_whenever_it_is_asked_for_and_another_with_another_seed() -> None:
    assert surveyed(None, 5, seed=0) == [0, 1, 2, 3, 4] == surveyed(5, 5, seed=1)
    some = surveyed(50, 1000, seed=0)
    assert some == surveyed(50, 1000, seed=0) == sorted(set(some)) != surveyed(50, 1000, seed=1)
    assert len(some) == 50 and min(some) >= 0 and max(some) < 1000


def test_start_and_final_are_of_the_sample_and_say_so(runs: tuple[Path, Path]) -> None:
    records = read(runs[0]).records
    asked = records[records["client"].notna()].groupby("moment", observed=True)["client"].unique()
    assert sorted(asked["start"]) == sorted(asked["final"]) == surveyed(3, 8, seed=0)
    told = records[records["metric"] == "surveyed_share"].set_index("moment")
    assert told.loc[["start", "final"], "value"].tolist() == [3 / 8, 3 / 8] and len(told) == 2
    assert told["n"].tolist() == [3, 3] and read(runs[0]).quantities["surveyed_share"].unit == "1"
    assert set(told["reason"]) == {"3 of 8 clients, drawn once (surveyed_clients=3)"}


def test_what_is_between_start_and_final_is_as_without_a_sample(runs: tuple[Path, Path]) -> None:
    for part in ("round=000001.parquet", "round=000002.parquet"):
        some, every = (run / "records" / part for run in runs)
        assert some.read_bytes() == every.read_bytes()
    assert "surveyed_share" not in set(read(runs[1]).records["metric"])
    assert run_facts(runs[1])["surveyed_clients"] is None


def test_the_table_of_the_partition_counts_the_others_together(runs: tuple[Path, Path]) -> None:
    some, every = (read(run).partition for run in runs)
    assert sorted(some["client"].dropna().unique()) == surveyed(3, 8, seed=0)
    pd.testing.assert_series_equal(
        some.groupby(["scope", "label"], observed=True)["examples"].sum(),
        every.groupby(["scope", "label"], observed=True)["examples"].sum(),
    )
    figure = partition_matrix(some, run_facts(runs[0]))
    assert figure is not None and "examples at 3 of 8 clients" in figure.get_suptitle().replace("\n", " ")


def test_summary_and_report_say_how_many(runs: tuple[Path, Path]) -> None:
    assert "8 clients (3 at start and final)" in summarise(runs[0])
    tables = read(runs[0])
    assert ("clients", "8, 3 of them at start and final") in about(run_facts(runs[0]), tables.partition)
    assert "at start and final" not in summarise(runs[1])


def test_more_than_there_are_is_refused(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"surveyed_clients must be at most 8, the number of clients, got 9"):
        quick_run(*SMALL, "surveyed_clients=9")
    with pytest.raises(UserError, match=r"surveyed_clients must be 1 or more, or null for all, got 0"):
        quick_run(*SMALL, "surveyed_clients=0")
