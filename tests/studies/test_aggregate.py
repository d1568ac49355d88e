import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import fedlayers.studies.aggregate
import fedlayers.studies.study_table
from fedlayers.commands.aggregate import main
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import Fake, write_run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "grid"
    for seed, lr in ((0, 0.05), (1, 0.05), (0, 0.1)):
        write_run(folder, seed=seed, lr=lr)
    write_run(folder, seed=7, status="running")
    write_run(folder, seed=8, status="failed", reason="client 3 raised ValueError")
    entries = [{"run": run.name, "overrides": []} for run in folder.iterdir()]
    entries.append({"run": "FMNIST-fedavg-s9-0123456789", "overrides": ["dataset=FMNIST", "seed=9"]})
    (folder / "expected.json").write_text(json.dumps({"runs": entries}), encoding="utf-8")
    return folder


def test_the_table_holds_the_records_of_complete_runs(study: Path) -> None:
    report = aggregate(study)
    assert report.table == study / "study.parquet"
    table = read(report.table).records
    assert report.rows == len(table)
    assert set(table["run"]) == set(report.complete)
    each = pd.concat([read(study / name).records for name in report.complete], ignore_index=True)
    keys = ["run", "round", "moment", "client", "layer", "metric", "variant", "scope"]
    columns = [*keys, "value"]
    ours, theirs = (frame[columns].astype({"run": str}) for frame in (table, each))
    plain = [
        frame.astype(dict.fromkeys(keys, object)).fillna("").sort_values(keys, key=lambda c: c.astype(str))
        for frame in (ours, theirs)
    ]
    pd.testing.assert_frame_equal(plain[0].reset_index(drop=True), plain[1].reset_index(drop=True))


def test_run_facts_and_differing_configuration_are_columns(study: Path) -> None:
    aggregate(study)
    table = read(study / "study.parquet").records
    for column, values in {
        "dataset": {"FMNIST"}, "model_name": {"cnn"}, "algorithm": {"fedavg"}, "seed": {0, 1}, "clients": {3},
        "rounds": {4}, "run_status": {"complete"}, "host": {"node1"}, "versions.torch": {"2.13.0"},
        "training.lr": {0.05, 0.1},
    }.items():  # fmt: skip
        assert set(table[column].unique()) == values, column
    assert not {"training.epochs", "study", "dataset.name"} & set(table.columns)
    assert set(table["status"].unique()) == {"ok", "missing"}
    facts = read(study / "study.parquet").facts
    assert len(facts) == 3
    assert sorted(facts["training.lr"]) == [0.05, 0.05, 0.1]
    for name, rows in table.groupby("run", observed=True):
        assert rows["seed"].unique().tolist() == [int(str(name).split("-s")[1][0])]


def groups_of(table: Path) -> list[pd.DataFrame]:
    """Return the runs and metrics of every row group."""
    file = pq.ParquetFile(table)
    columns = ["run", "metric", "value"]
    return [file.read_row_group(group, columns=columns).to_pandas() for group in range(file.num_row_groups)]


def test_one_row_group_per_small_run_sorted_by_metric(study: Path) -> None:
    report = aggregate(study)
    groups = groups_of(study / "study.parquet")
    assert len(groups) == len(report.complete)
    for group in groups:
        assert group["metric"].tolist() == sorted(group["metric"])


def test_row_groups_of_large_runs_hold_whole_metrics(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate(study)
    whole = pd.concat(groups_of(study / "study.parquet"), ignore_index=True)
    least = 30
    monkeypatch.setattr(fedlayers.studies.study_table, "ROW_GROUP_ROWS", least)
    report = aggregate(study)
    groups = groups_of(study / "study.parquet")
    places = pd.concat(
        {i: group[["run", "metric"]].drop_duplicates() for i, group in enumerate(groups)}, names=["group"]
    ).reset_index()
    assert not places.duplicated(["run", "metric"]).any(), "a metric of a run stands in one row group"
    last = places.groupby("run", observed=True)["group"].max()
    assert set(last.index) == set(report.complete)
    assert len(groups) > 2 * len(report.complete)
    assert all(len(group) >= least for i, group in enumerate(groups) if i not in set(last))
    pd.testing.assert_frame_equal(pd.concat(groups, ignore_index=True), whole)


@pytest.mark.parametrize(
    ("column", "value", "share"), [("metric", "norm", 0.5), ("seed", 1, 0.4), ("training.lr", 0.1, 0.4)]
)
def test_readers_skip_row_groups(
    study: Path, monkeypatch: pytest.MonkeyPatch, column: str, value: str | float, share: float
) -> None:
    monkeypatch.setattr(fedlayers.studies.study_table, "ROW_GROUP_ROWS", 30)
    aggregate(study)
    (file,) = ds.dataset(study / "study.parquet").get_fragments()
    chosen = file.split_by_row_group(ds.field(column) == value)
    assert 0 < len(chosen) <= share * file.metadata.num_row_groups
    picked = pd.read_parquet(study / "study.parquet", filters=[(column, "==", value)])
    everything = pd.read_parquet(study / "study.parquet")
    expected = everything[everything[column] == value].reset_index(drop=True)
    # Among fewer rows there are fewer categories, and integers are floats only if one is absent.
    pd.testing.assert_frame_equal(picked, expected, check_categorical=False, check_dtype=False)


def test_statistics_promise_nothing_about_measured_numbers(study: Path) -> None:
    """Statistics leave NaN out; DuckDB 2.0 then takes no value for NaN, whatever ``isnan`` is asked."""
    aggregate(study)
    for table in ("study.parquet", "study_pairs.parquet"):
        layout = pq.read_metadata(study / table)
        columns = [layout.row_group(0).column(place) for place in range(layout.num_columns)]
        without = {column.path_in_schema for column in columns if not column.is_stats_set}
        assert without == {"value", "stderr", "chance", "chance_hi", "p"}


def test_run_facts_are_categories_and_metrics_texts(study: Path) -> None:
    aggregate(study)
    columns = pd.read_parquet(study / "study.parquet").dtypes.astype(str)
    assert set(columns[["run", "layer", "algorithm", "host"]]) == {"category"}
    assert columns["metric"] != "category"
    assert str(read(study / "study.parquet").records["metric"].dtype) == "category"


def test_pairs_have_a_table_of_their_own(study: Path) -> None:
    aggregate(study)
    pairs = read(study / "study.parquet").pairs
    assert set(pairs["metric"].unique()) == {"cka"}
    assert "training.lr" in pairs.columns
    for run in study.iterdir():
        if (run / "pairs").is_dir():
            for part in (run / "pairs").iterdir():
                part.unlink()
    aggregate(study)
    assert not (study / "study_pairs.parquet").exists()


def test_report_says_what_is_not_in_the_table(study: Path) -> None:
    report = aggregate(study)
    assert list(report.unfinished.values()) == ["interrupted, round 4 of 4"]
    assert list(report.failed.values()) == ["client 3 raised ValueError"]
    assert report.missing == {"FMNIST-fedavg-s9-0123456789": "dataset=FMNIST seed=9"}
    assert report.counts == "3 complete, 1 unfinished, 1 failed, 1 missing"
    assert "failed: FMNIST-fedavg-s8" in str(report)
    assert "missing: FMNIST-fedavg-s9-0123456789 (dataset=FMNIST seed=9)" in str(report)
    running = next(run for run in study.glob("*-s7-*"))
    (running / "run.lock").write_text("{}", encoding="utf-8")
    assert list(aggregate(study).unfinished.values()) == ["running, round 4 of 4"]


def test_same_runs_leave_the_table_untouched(study: Path) -> None:
    assert aggregate(study).changed
    before = ((study / "study.parquet").stat().st_mtime_ns, (study / "study.parquet").read_bytes())
    assert not aggregate(study).changed
    assert before == ((study / "study.parquet").stat().st_mtime_ns, (study / "study.parquet").read_bytes())
    (study / "study.parquet").unlink()
    aggregate(study)
    assert (study / "study.parquet").read_bytes() == before[1]
    write_run(study, seed=5)
    assert aggregate(study).changed
    assert not [file for file in study.iterdir() if file.name.startswith(".study")]


def test_a_damaged_run_does_not_lose_the_others(study: Path) -> None:
    damaged = next(study.glob("*-s1-*"))
    (damaged / "records" / "round=000003.parquet").write_bytes(b"junk")
    unreadable = write_run(study, seed=4)
    (unreadable / "config.yaml").write_text("a: [", encoding="utf-8")
    report = aggregate(study)
    assert len(report.complete) == 2
    assert "round=000003.parquet cannot be read" in report.failed[damaged.name]
    assert "config.yaml cannot be read" in report.failed[unreadable.name]
    assert set(read(study / "study.parquet").records["run"].unique()) == set(report.complete)


def test_numbers_keep_their_type_and_absent_ones_stay_absent(tmp_path: Path) -> None:
    for seed, mu in ((0, 1), (1, 0.5), (2, None)):
        run = write_run(tmp_path, seed=seed)
        config = {
            "identity": {"mu": mu},
            "algorithm": {"mu": mu} if mu else {},
            "training": {"augment": ["crop"] * seed},
        }
        (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    aggregate(tmp_path)
    facts = read(tmp_path / "study.parquet").facts.set_index("seed")
    assert facts["algorithm.mu"].dtype == "float64"
    assert "identity.mu" not in facts
    assert facts.loc[0, "algorithm.mu"] == 1
    assert facts["algorithm.mu"].isna().tolist() == [False, False, True]
    assert facts.loc[1, "training.augment"] == '["crop"]'


def test_a_run_that_moved_lists_its_hosts(tmp_path: Path) -> None:
    stretches = [{"host": "a", "versions": {"torch": "2.12"}}, {"host": "b", "versions": {"torch": "2.13"}}]
    write_run(tmp_path, Fake(overrides=(("stretches", stretches),)))
    aggregate(tmp_path)
    facts = read(tmp_path / "study.parquet").facts
    assert facts.loc[0, "host"] == "a, b"
    assert facts.loc[0, "versions.torch"] == "2.12, 2.13"


def test_nothing_to_aggregate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere: give a study folder"):
        aggregate(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no runs and no expected\.json: give a study folder"):
        aggregate(tmp_path)
    assert main([str(tmp_path)]) == 1
    write_run(tmp_path, status="running")
    assert main([str(tmp_path)]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"no complete run with records in {tmp_path} (0 complete, 1 unfinished)")
    assert not (tmp_path / "study.parquet").exists()


@pytest.mark.parametrize("text", ['{"runs": [1]}', '{"run": []}', "[]"])
def test_a_wrong_expectation_is_explained(tmp_path: Path, text: str) -> None:
    write_run(tmp_path)
    (tmp_path / "expected.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r'expected.json must hold \{"runs": .*: delete it'):
        aggregate(tmp_path)


def test_two_aggregations_keep_apart(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedlayers.studies.aggregate, "LOCK_TIMEOUT_S", 0.1)
    with (
        FileLock(study / ".aggregate.lock"),
        pytest.raises(UserError, match=r"another process has been aggregating .*grid for over 0 s"),
    ):
        aggregate(study)


def test_command_line(study: Path) -> None:
    command = [sys.executable, "-m", "fedlayers.aggregate"]
    done = subprocess.run([*command, str(study)], capture_output=True, text=True, check=True)
    assert "3 complete, 1 unfinished, 1 failed, 1 missing" in done.stdout
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "the study folder, such as results/main" in shown.stdout
