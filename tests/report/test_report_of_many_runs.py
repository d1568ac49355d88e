"""A study's report shows of every run what the run's own report shows, and computes it for runs of a kind at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedlayers.report import lines, page
from fedlayers.report.kinds import kind_of, stacked
from fedlayers.report.page import run_reports
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import read
from fedlayers.statistics.spread import spread_along, spreads_along
from fedlayers.views.profiles import every_round, layer_metrics
from tests.support.fake_run import Fake, write_run

UNBOUNDED = (-np.inf, np.inf)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of six runs of two kinds: with 3 clients and with 12, whose bands are percentiles."""
    study = tmp_path_factory.mktemp("study")
    for seed in range(3):
        write_run(study, Fake(seed=seed, rounds=3))
        write_run(study, Fake(seed=seed, rounds=3, clients=12, layers=5, algorithm="fedprox"))
    return study


def test_every_run_is_shown_as_by_itself(study: Path) -> None:
    together = run_reports(read(study))
    assert [report.name for report in together] == [run.name for run in read(study).runs]
    assert len(together) == 6 and all(report.profiles and report.charts for report in together)
    for report in together:
        [alone] = run_reports(read(study / report.name))
        assert (report.charts, report.profiles, report.facts) == (alone.charts, alone.profiles, alone.facts)


def test_it_is_the_same_however_many_rows_are_taken_at_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = run_reports(read(study))
    monkeypatch.setattr(page, "_ROWS_AT_ONCE", 1)
    assert run_reports(read(study)) == together


def test_the_profiles_of_runs_of_a_kind_are_made_at_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(records: pd.DataFrame, *rest: Any) -> pd.DataFrame:
        made.append(records["run"].nunique())
        return original(records, *rest)

    original = every_round
    monkeypatch.setattr(lines, "every_round", counted)
    run_reports(read(study))
    metrics = len(layer_metrics(read(study).records))
    assert made == [3] * metrics * 2


def test_a_missing_value_and_other_layers_make_another_kind(study: Path) -> None:
    run = read(study).runs[0]
    tables, facts = read(run), run_facts(run)
    kind = kind_of(tables.records, tables.pairs, facts, tables.quantities)
    assert kind == kind_of(
        tables.records.assign(value=2 * tables.records["value"]), tables.pairs, facts, tables.quantities
    )
    assert kind != kind_of(tables.records.assign(value=np.nan), tables.pairs, facts, tables.quantities)
    assert kind != kind_of(tables.records[tables.records["layer"].isna()], tables.pairs, facts, tables.quantities)
    assert kind != kind_of(tables.records, tables.pairs, {**facts, "layers": []}, tables.quantities)


def test_stacked_tables_keep_their_rows_and_kinds_of_columns(study: Path) -> None:
    tables = [read(run).records for run in read(study).runs]
    found = stacked(tables)
    assert len(found) == sum(map(len, tables)) and list(found.dtypes.index) == list(tables[0].columns)
    assert all(str(found[name].dtype) == str(tables[0][name].dtype) for name in found)
    last = found.iloc[-len(tables[-1]) :].reset_index(drop=True)
    pd.testing.assert_frame_equal(last, tables[-1], check_categorical=False)


def test_spreads_of_groups_are_those_of_each_group() -> None:
    random = np.random.default_rng(0)
    size = 600
    rows = pd.DataFrame(
        {
            "run": random.choice(["a", "b", "c"], size),
            "line": random.integers(0, 3, size),
            "place": random.integers(0, 5, size),
            "value": random.normal(size=size),
            "stderr": random.random(size),
        }
    )
    rows = pd.concat([rows, pd.DataFrame({"run": "d", "line": 1, "place": [2, 4], "value": [1.0, 2.0], "stderr": 0.5})])
    rows = rows[(rows["run"] != "c") | (rows["line"] != 2) | (rows.groupby(["run", "line", "place"]).cumcount() < 9)]
    found = spreads_along(rows, "place", ["run", "line"], UNBOUNDED)
    groups = dict(iter(rows.groupby(["run", "line"])))
    assert list(found) == list(groups)
    for key, own in groups.items():
        expected = spread_along(own, "place", UNBOUNDED)
        assert found[key].count == expected.count
        for name in ("x", "mean", "low", "high", "stderr"):
            np.testing.assert_array_equal(getattr(found[key], name), getattr(expected, name))
    assert {one.count < 10 for one in found.values()} == {True, False}
    assert spreads_along(rows[:0], "place", ["run"], UNBOUNDED) == {}
