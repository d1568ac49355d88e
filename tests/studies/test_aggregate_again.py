"""Aggregating again: what has not changed is not read, and the tables are those of reading everything."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlayers.runs.reading.parts import load
from fedlayers.studies import last_aggregation, study_table
from fedlayers.studies.aggregate import AggregateReport, aggregate
from tests.support.fake_run import Fake, write_run

TABLES = ("study.parquet", "study_pairs.parquet")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "grid"
    for seed, lr in ((0, 0.05), (1, 0.05), (0, 0.1)):
        write_run(folder, Fake(clients=2, rounds=3, layers=2, seed=seed, lr=lr))
    write_run(folder, seed=7, status="running")
    return folder


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the names of the runs whose records are read; row groups are small, so that a run has several."""
    monkeypatch.setattr(study_table, "ROW_GROUP_ROWS", 30)
    names: list[str] = []

    def noted(run: Path, name: str) -> object:
        names.extend([run.name] if name == "records" else [])
        return load(run, name)

    monkeypatch.setattr(study_table, "load", noted)
    yield names


def contents(study: Path) -> list[bytes | None]:
    return [(study / name).read_bytes() if (study / name).exists() else None for name in TABLES]


def again(study: Path, loaded: list[str]) -> tuple[AggregateReport, list[str]]:
    """Aggregate and return the report and the runs that were read, having checked both against reading everything."""
    loaded.clear()
    report, read = aggregate(study), sorted(loaded)
    found = contents(study)
    (study / last_aggregation.FILE).unlink()
    whole = aggregate(study)
    assert contents(study) == found
    assert (whole.rows, whole.complete, whole.unfinished, whole.failed) == (
        report.rows, report.complete, report.unfinished, report.failed,
    )  # fmt: skip
    return report, read


def rewritten(path: Path, change: Callable[[bytes], bytes] = lambda data: data) -> None:
    path.write_bytes(change(path.read_bytes()))


def test_runs_that_have_not_changed_are_not_read(study: Path, loaded: list[str]) -> None:
    first = aggregate(study)
    assert sorted(loaded) == sorted(first.complete)
    (study / first.complete[0] / "report.html").write_text("a page is no part of a table", encoding="utf-8")
    report, read = again(study, loaded)
    assert read == [] and not report.changed
    assert report == AggregateReport(**{**vars(first), "changed": False})


@pytest.mark.parametrize("file", ["records/round=000002.parquet", "config.yaml"])
def test_a_run_of_which_a_file_was_written_is_read(study: Path, loaded: list[str], file: str) -> None:
    name = aggregate(study).complete[1]
    path = study / name / file
    rewritten(path)
    os.utime(path, ns=(0, 0))
    assert again(study, loaded)[1] == [name]


def test_new_and_removed_runs(study: Path, loaded: list[str]) -> None:
    """A new run also brings a column: settings in which runs differ for the first time."""
    first = aggregate(study)
    new = write_run(study, seed=0, lr=0.2)
    config = json.loads((new / "config.yaml").read_text(encoding="utf-8"))
    (new / "config.yaml").write_text(json.dumps({**config, "training": {"lr": 0.2, "epochs": 3}}), encoding="utf-8")
    report, read = again(study, loaded)
    assert read == [new.name] and report.changed
    shutil.rmtree(study / first.complete[0])
    report, read = again(study, loaded)
    assert read == [] and set(report.complete) == {*first.complete[1:], new.name}
    running = next(study.glob("*-s7-*"))
    (running / "done.json").write_text("{}", encoding="utf-8")
    assert again(study, loaded)[1] == [running.name]


def test_a_damaged_run_is_found_and_read_when_it_is_mended(study: Path, loaded: list[str]) -> None:
    name = aggregate(study).complete[1]
    part = study / name / "records" / "round=000003.parquet"
    sound = part.read_bytes()
    rewritten(part, lambda data: b"0" * len(data))
    report, _ = again(study, loaded)
    assert set(report.failed) == {name} and len(report.complete) == 2
    part.write_bytes(sound)
    report, read = again(study, loaded)
    assert read == [name] and not report.failed


def test_pairs_that_cannot_be_read_leave_no_rows_of_another_run(study: Path, loaded: list[str]) -> None:
    """The table of records is in its place by the time: nothing may be copied from it as if it were the old one."""
    names = aggregate(study).complete
    rewritten(next((study / names[1] / "pairs").iterdir()), lambda data: b"junk")
    write_run(study, algorithm="fedadam")
    assert set(again(study, loaded)[0].failed) == {names[1]}


def test_a_last_aggregation_that_is_not_to_be_trusted_is_left_alone(
    study: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = sorted(aggregate(study).complete)
    note = study / last_aggregation.FILE

    def read_again(spoil: Callable[[], object]) -> list[str]:
        aggregate(study)
        spoil()
        loaded.clear()
        aggregate(study)
        return sorted(loaded)

    assert read_again(lambda: rewritten(note, lambda data: data[:-9])) == everything
    assert read_again(lambda: rewritten(note, lambda data: data.replace(b"FMNIST", b"MNIST"))) == everything
    assert read_again(lambda: rewritten(study / TABLES[0])) == everything
    assert read_again((study / TABLES[1]).unlink) == everything
    assert read_again(lambda: monkeypatch.setattr(study_table, "_LAYOUT", -1)) == everything


def test_rows_that_cannot_be_copied_are_read(study: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may lose what it keeps without a change of times."""
    monkeypatch.setattr(last_aggregation, "_tables", lambda _: ["as they were"])
    first = aggregate(study)
    rewritten(study / TABLES[0], lambda sound: b"PAR1" + b"0" * 5000 + sound[5004:])
    new = write_run(study, seed=5)
    loaded.clear()
    assert aggregate(study).rows > first.rows
    assert new.name in loaded and first.complete[0] in loaded
    found = contents(study)
    (study / last_aggregation.FILE).unlink()
    aggregate(study)
    assert contents(study) == found


def test_what_was_interrupted_between_the_tables_is_done_again(
    study: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aggregate(study)
    write_run(study, seed=5)
    with monkeypatch.context() as killed:
        killed.setattr("fedlayers.studies.aggregate.remember", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            aggregate(study)
    assert len(again(study, loaded)[1]) == 4
