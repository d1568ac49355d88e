"""Which rows of a table a saved page has, against pandas."""

from pathlib import Path

import numpy as np
import pytest

import fedlayers
from fedlayers.charts.rows import rows_of_last_rounds
from fedlayers.runs.reading.tables import read
from tests.support.figure_tables import Measured, write_measured_run

FEW, MANY = 10**6, 10**9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("rows") / "main", Measured(clients=2, layers=2))


def test_all_rows_where_they_are_few_and_rounds_from_the_last_one_on_where_they_are_not(run: Path) -> None:
    records = fedlayers.read(run).records
    counts = records["round"].value_counts().sort_index()
    rounds, columns = [int(number) for number in counts.index], records.shape[1] - 1
    last, two = int(counts.iloc[-1]), int(counts.iloc[-2:].sum())
    assert len(rounds) > 2

    def kept(most: int, values: int) -> tuple[list[int] | None, int]:
        found = rows_of_last_rounds(read(run), "records", most, values)
        wanted = records if found.facts["rounds"] is None else records[records["round"].isin(found.facts["rounds"])]
        np.testing.assert_array_equal(np.asarray(found.columns["value"]), wanted["value"])
        assert [*found.columns["metric"]] == wanted["metric"].tolist() and "run" not in found.columns
        assert found.facts["total"] == len(records)
        return found.facts["rounds"], len(found)

    assert kept(FEW, MANY) == (None, len(records))
    assert kept(two, MANY) == (rounds[-2:], two)
    # One round may be five times as many.
    assert kept(last - 1, MANY) == (rounds[-1:], last)
    assert kept(last // 5 - 1, MANY) == ([], 0)
    # What does not fit is not taken, however few it is.
    assert kept(FEW, two * columns) == (rounds[-2:], two)
    assert kept(FEW, last * columns) == (rounds[-1:], last)
    assert kept(FEW, last * columns - 1) == ([], 0)
