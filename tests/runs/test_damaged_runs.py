"""One damaged run never takes a study down: it is named with the reason, the others are shown; foreign files stay."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import fedlayers
from fedlayers.commands import aggregate as aggregate_command
from fedlayers.commands import plot
from fedlayers.commands.command import damage_told
from fedlayers.core.errors import UserError
from fedlayers.report.page import write_report
from fedlayers.runs.damage import DamagedRunWarning
from fedlayers.runs.expected.expected_runs import expected_runs, failures
from fedlayers.runs.reading.run_facts import run_folders
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import write_run

RECORDS = "records/round=000002.parquet"


def cut(run: Path, name: str) -> None:
    path = run / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_folder(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()


# What is done to a run, and what is told of it.
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "run.json empty": (lambda run: (run / "run.json").write_bytes(b""), "run.json cannot be read"),
    "run.json cut": (lambda run: cut(run, "run.json"), "run.json cannot be read"),
    "run.json binary": (lambda run: (run / "run.json").write_bytes(b"\xff\x00\xfe"), "run.json cannot be read"),
    "run.json a list": (lambda run: (run / "run.json").write_text("[]"), "run.json must hold an object"),
    "run.json of other kinds": (
        lambda run: (run / "run.json").write_text('{"status": "complete", "layers": "x"}'),
        "has layers of another kind",
    ),
    "run.json a folder": (lambda run: replace_by_folder(run, "run.json"), "run.json cannot be read"),
    "config.yaml binary": (lambda run: (run / "config.yaml").write_bytes(b"\xff\x00\xfe"), "config.yaml cannot be"),
    "config.yaml a list": (lambda run: (run / "config.yaml").write_text("[1]"), "config.yaml holds no configuration"),
    "records cut": (lambda run: cut(run, RECORDS), f"{Path(RECORDS).name} cannot be read"),
    "records empty": (lambda run: (run / RECORDS).write_bytes(b""), f"{Path(RECORDS).name} cannot be read"),
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two runs, and what a user has left in it."""
    study = tmp_path / "s"
    for seed in (0, 1):
        write_run(study, seed=seed)
    (study / "notes.txt").write_text("mine")
    (study / "analysis").mkdir()
    (study / "analysis" / "config.yaml").write_text("mine: 1")
    (study / ".old").write_text("a file of mine")
    return study


@pytest.mark.parametrize("name", DAMAGES)
def test_the_others_are_read_and_gathered(study: Path, name: str) -> None:
    damage, told = DAMAGES[name]
    good, bad = run_folders(study)
    damage(bad)
    report = aggregate(study)
    assert report.complete == (good.name,)
    assert told in report.failed[bad.name]
    tables = read(study)
    if "config" in name:  # which tables do not need
        assert len(tables.records["run"].unique()) == 2
        return
    with pytest.warns(DamagedRunWarning, match=f"{bad.name} is left out: .*{told}"):
        assert list(tables.records["run"].unique()) == [good.name]
    facts = tables.facts.set_index("run")
    assert facts.loc[good.name, "status"] == "complete"
    if "records" not in name:
        assert facts.loc[bad.name, "status"] == "damaged" and told in str(facts.loc[bad.name, "reason"])


@pytest.mark.parametrize("name", ["run.json cut", "config.yaml binary", "records cut"])
def test_the_others_are_drawn_and_reported(study: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage, told = DAMAGES[name]
    _, bad = run_folders(study)
    damage(bad)
    assert plot.main([str(study), "learning_curves", "--formats", "png"]) == 0
    assert (study / "figures" / "learning_curves.png").stat().st_size > 1000
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"warning: {bad.name} is left out: ") and told in said[0]
    if name != "config.yaml binary":
        with pytest.warns(DamagedRunWarning, match=bad.name):
            write_report(study)
        assert "1 of 2 runs (of the others nothing can be shown)" in (study / "report.html").read_text()


def test_if_all_are_damaged_the_first_is_named(study: Path) -> None:
    for run in run_folders(study):
        cut(run, "run.json")
    with pytest.warns(DamagedRunWarning), pytest.raises(UserError, match=r"-s0-.*run\.json cannot be read"):
        _ = fedlayers.read(study).records
    assert list(read(study).facts["status"]) == ["damaged"] * 2
    assert aggregate_command.main([str(study)]) == 1


def test_a_damaged_partition_is_left_out(study: Path) -> None:
    good, bad = run_folders(study)
    cut(bad, "partition.parquet")
    with pytest.warns(DamagedRunWarning, match="partition.parquet cannot be read"):
        assert list(read(study).partition["run"].unique()) == [good.name]


def test_a_missing_partition_is_told(study: Path) -> None:
    good, bad = run_folders(study)
    (bad / "partition.parquet").unlink()
    told = r"partition\.parquet is missing: .*or start the same command again, which writes it anew"
    with pytest.raises(UserError, match=told):
        _ = read(bad).partition
    with pytest.warns(DamagedRunWarning, match=rf"{bad.name} is left out: .*{told}"):
        assert list(read(study).partition["run"].unique()) == [good.name]
    report = aggregate(study)
    assert report.complete == (good.name,) and "partition.parquet is missing" in report.failed[bad.name]


def test_a_run_that_has_lost_its_facts_is_still_a_run(study: Path) -> None:
    _, bad = run_folders(study)
    (bad / "run.json").unlink()
    (bad / "state").mkdir()
    assert bad.name in aggregate(study).failed
    assert "analysis" not in aggregate(study).failed


def test_damage_is_told_once_and_other_warnings_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with damage_told():
        for _ in range(2):
            warnings.warn("a is left out: x", DamagedRunWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: a is left out: x\n"
    with pytest.warns(UserWarning, match="something else"), damage_told():
        warnings.warn("something else", UserWarning, stacklevel=1)


@pytest.mark.parametrize("entry", [{"run": 3, "overrides": []}, {"run": "../x", "overrides": []}])
def test_expected_runs_name_folders_of_its_study(tmp_path: Path, entry: dict[str, object]) -> None:
    (tmp_path / "expected.json").write_text(json.dumps({"runs": [entry]}))
    with pytest.raises(UserError, match=r"expected.json must hold .*: delete it"):
        expected_runs(tmp_path)


def test_notes_of_failures_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / ".failed").mkdir()
    (tmp_path / ".failed" / "a").write_bytes(b"\xff\n")
    (tmp_path / ".failed" / "b").mkdir()
    assert failures(tmp_path, ["a", "b", "c"]) == {"a": "\ufffd"}


def test_what_is_no_run_is_left_alone(study: Path) -> None:
    aggregate(study)
    assert (study / "notes.txt").read_text() == "mine"
    assert (study / "analysis" / "config.yaml").read_text() == "mine: 1"
