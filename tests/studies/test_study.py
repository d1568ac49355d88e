"""Studies: written down first, one folder a run, failures that stay alone, stops that do not, only what is missing."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from submitit.core.utils import UncompletedJobError

from fedlayers.commands import main as app
from fedlayers.config.compose import composed, hydra_ready
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import ClientFailed, Stopped, UserError
from fedlayers.core.machine.disk import DiskError
from fedlayers.runs.expected.expected_runs import expected_runs, failures, write_expected
from fedlayers.runs.folder import run_folder
from fedlayers.studies.status import study_status
from fedlayers.studies.study import compose_sweep, job

BASE = ["metrics=[weights]", "dataset=digits", "study=s"]
STUDY = Path("results/s")
QUICK = ["rounds=1", "clients=2", "engine=local", "figures=false", "progress=none", "training.steps=1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    yield tmp_path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Stand in for real runs: one that is complete has a folder; seed 9 fails, seed 8 is a bug, seed 7 is stopped."""
    seen: list[Config] = []

    def execute(config: Config) -> Path:
        folder = run_folder(config)
        if not folder.exists():
            seen.append(config)
            trouble = {9: ClientFailed("client 3 failed\ntraceback"), 8: KeyError("a bug"), 7: Stopped()}.get(
                config.seed
            )
            if trouble:
                raise trouble
            folder.mkdir(parents=True)
        return folder

    monkeypatch.setattr("fedlayers.execution.execute.execute", execute)
    monkeypatch.setattr("fedlayers.studies.aggregate.aggregate", lambda study: f"gathered {study}")
    return seen


def leave(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        app.main([*words, *BASE])
    return int(left.value.code or 0)


def entries_of(study: Path = STUDY) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = json.loads((study / "expected.json").read_text())["runs"]
    return entries


def test_a_sweep_expects_runs_and_gathers(started: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("-m", "seed=0,1", "algorithm=fedavg,fedprox") == 0
    assert [(config.seed, config.algorithm["name"]) for config in started] == [
        (0, "fedavg"), (0, "fedprox"), (1, "fedavg"), (1, "fedprox"),
    ]  # fmt: skip
    folders = {folder.name for folder in STUDY.iterdir() if folder.is_dir()}
    assert folders == {entry["run"] for entry in entries_of()} and len(folders) == 4
    assert entries_of()[1]["overrides"] == [
        "seed=0",
        "algorithm=fedprox",
        "metrics=[weights]",
        "dataset=digits",
        "study=s",
    ]
    assert "gathered results/s" in capsys.readouterr().out
    # Besides the runs: which are expected, with its lock.
    assert {file.name for file in STUDY.iterdir() if file.is_file()} == {"expected.json", ".expected.lock"}
    assert [path.name for path in Path().iterdir()] == ["results"]


def test_what_is_expected_is_there_before_the_first_run(started: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[int] = []
    monkeypatch.setattr("fedlayers.execution.execute.execute", lambda config: expected.append(len(entries_of())))
    assert leave("-m", "seed=0,1") == 0
    assert expected == [2, 2]


def test_hydra_composes_no_run_of_a_sweep_again(
    started: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again: list[object] = []
    monkeypatch.setattr("fedlayers.commands.main._hydra", lambda *words: again.append(words))
    assert leave("-m", "seed=0,1,2") == 0
    assert not again and [config.seed for config in started] == [0, 1, 2]
    assert "run 2 of 3: seed=1 metrics=[weights]" in capsys.readouterr().out
    # What is asked of Hydra itself is left to it.
    assert leave("-m", "seed=3,4", "hydra.job.chdir=false") == 0 and len(again) == 1


def test_a_failed_run_does_not_lose_the_others(started: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("-m", "seed=9,8,0") == 1
    assert [config.seed for config in started] == [9, 8, 0]
    said = capsys.readouterr()
    last = said.err.splitlines()[-2:]
    assert last[0].startswith("failed: digits-fedavg-s9-") and last[0].endswith(": client 3 failed traceback")
    assert last[1].startswith("failed: digits-fedavg-s8-") and last[1].endswith(": 'a bug'")
    assert "KeyError" in said.err  # a bug keeps its traceback
    assert "gathered results/s" in said.out


def test_a_second_call_does_what_is_missing(started: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    assert leave("-m", "seed=9,0") == 1
    monkeypatch.setattr("fedlayers.execution.execute.execute", started.append)
    assert leave("-m", "seed=9,0") == 0
    assert [config.seed for config in started] == [9, 0, 9, 0]
    assert not (STUDY / ".failed").exists()


def test_a_stop_ends_the_sweep_and_still_gathers(started: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("-m", "seed=0,7,1") == 130
    assert [config.seed for config in started] == [0, 7]
    said = capsys.readouterr()
    assert "gathered results/s" in said.out
    assert said.err.splitlines()[-1].startswith("stopped; the same command continues after the last complete round,")
    assert len(entries_of()) == 3


def test_sigterm_has_its_own_code(started: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(config: Config) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    monkeypatch.setattr("fedlayers.execution.execute.execute", execute)
    assert leave("-m", "seed=7,1") == 143


def test_inside_a_job_of_a_cluster_a_stop_queues_the_job_again(
    started: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def requeue(number: int, frame: object) -> None:
        raise SystemExit(-1)

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setattr("fedlayers.core.machine.signals._State.submitit", requeue)
    with pytest.raises(SystemExit, match="-1"):
        run_job("seed=7")
    assert not (STUDY / ".failed").exists()


def test_a_job_without_time_left_has_failed_and_says_what_to_do(
    started: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(number: int, frame: object) -> None:
        raise UncompletedJobError("Job not requeued because: timed-out too many times.")

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setattr("fedlayers.core.machine.signals._State.submitit", refuse)
    run_job("seed=7")
    assert "timed-out too many times.); give hydra.launcher.timeout_min more" in capsys.readouterr().err
    assert len(list((STUDY / ".failed").iterdir())) == 1


def test_a_stop_that_nobody_handles_is_told(started: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setattr("fedlayers.core.machine.signals._State.submitit", None)
    run_job("seed=7")
    (note,) = (STUDY / ".failed").iterdir()
    assert note.read_text() == "Stopped"


def run_job(*words: str) -> None:
    with hydra_ready():
        job(composed([*BASE, *words]))


def test_a_mistake_in_one_run_starts_none(started: list[Config], elsewhere: Path) -> None:
    assert leave("-m", "seed=0,1", "training.lr=0.1,-1") == 1
    assert started == [] and list(elsewhere.iterdir()) == []


def test_expected_runs_are_added_up() -> None:
    write_expected(STUDY, {"a": ["seed=0"], "b": ["seed=1"]})
    write_expected(STUDY, {"b": ["seed=1", "rounds=20"], "c": ["seed=2"]})
    assert entries_of() == [
        {"run": "a", "overrides": ["seed=0"]},
        {"run": "b", "overrides": ["seed=1", "rounds=20"]},
        {"run": "c", "overrides": ["seed=2"]},
    ]
    assert {file.name for file in STUDY.iterdir()} == {"expected.json", ".expected.lock"}


def test_a_study_of_before_keeps_what_it_expected() -> None:
    STUDY.mkdir(parents=True)
    (STUDY / "plan.json").write_text(json.dumps({"runs": [{"run": "a", "overrides": ["seed=0"]}]}))
    assert expected_runs(STUDY) == {"a": ["seed=0"]}
    assert [run.state for run in study_status(STUDY)] == ["missing"]
    write_expected(STUDY, {"b": ["seed=1"]})
    assert [entry["run"] for entry in entries_of()] == ["a", "b"]
    assert not (STUDY / "plan.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"runs": 3}', '{"runs": [{"run": "a"}]}'])
def test_an_expectation_that_cannot_be_read(text: str) -> None:
    STUDY.mkdir(parents=True)
    (STUDY / "expected.json").write_text(text)
    with pytest.raises(UserError, match=r"expected.json must hold .*: delete it"):
        write_expected(STUDY, {"a": []})
    assert (STUDY / "expected.json").read_text() == text


def test_the_grid_of_an_experiment_and_what_the_command_line_changes() -> None:
    two_seeds = compose_sweep(["+experiment=heart_baselines", "metrics=[weights]", "seed=3,7"])
    assert len(two_seeds.configs) == 8
    one_seed = compose_sweep(["+experiment=heart_baselines", "metrics=[weights]", "seed=3"])
    assert [(config.algorithm["name"], config.seed) for config in one_seed.configs] == [
        ("local", 3), ("centralized", 3), ("fedavg", 3), ("fedprox", 3),
    ]  # fmt: skip


def test_runs_that_differ_only_in_how_they_are_carried_out_are_one() -> None:
    sweep = compose_sweep([*BASE, "engine=local,ray"])
    ((study, runs),) = sweep.expected().items()
    assert study == STUDY and len(sweep.configs) == 2 and len(runs) == 1


def test_studies_may_be_swept_too(started: list[Config]) -> None:
    with pytest.raises(SystemExit):
        app.main(["-m", *BASE[:2], "study=one,two", "seed=0,1"])
    assert len(entries_of(Path("results/one"))) == len(entries_of(Path("results/two"))) == 2


def test_settings_of_hydra_reach_every_run(started: list[Config], tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    own = "name: small\n_target_: fedlayers.models.mlp.MLP\nhidden: [3]\n"
    (tmp_path / "mine" / "model" / "small.yaml").write_text(own)
    assert leave("-m", "seed=0,1", "--config-dir", str(tmp_path / "mine"), "model=small") == 0
    assert [config.model["hidden"] for config in started] == [[3], [3]]


def test_one_run_may_be_submitted_to_a_cluster() -> None:
    assert len(compose_sweep([*BASE, "hydra/launcher=slurm"]).configs) == 1


def test_failures_are_read_from_their_notes() -> None:
    (STUDY / ".failed").mkdir(parents=True)
    (STUDY / ".failed" / "b").write_text("no memory\nand more")
    assert failures(STUDY, {"a": [], "b": []}) == {"b": "no memory"}


def test_two_real_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("-m", "seed=0,1", *QUICK) == 0
    assert all((STUDY / str(entry["run"]) / "done.json").is_file() for entry in entries_of())
    assert "2 complete" in capsys.readouterr().out
    assert leave("-m", "seed=0,1", *QUICK) == 0
    assert capsys.readouterr().out.count("already complete") == 2


def test_a_table_that_cannot_be_written_is_told(
    started: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def aggregate(study: Path) -> None:
        raise UserError(f"another process has been aggregating {study}")

    monkeypatch.setattr("fedlayers.studies.aggregate.aggregate", aggregate)
    assert leave("-m", "seed=0,1") == 1
    assert capsys.readouterr().err == "error: another process has been aggregating results/s\n"


@pytest.mark.slow
def test_real_runs_in_processes_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["hydra/launcher=local", "hydra.launcher.cpus_per_task=1", "init=null,nowhere.safetensors"]
    assert leave("-m", *words, *QUICK) == 1
    good, bad = (str(entry["run"]) for entry in entries_of())
    assert (STUDY / good / "done.json").is_file()
    out = capsys.readouterr().out
    assert re.search(r"^2 runs in processes of their own, \d at a time with 1 CPU each$", out, re.MULTILINE)
    for said, run in (("complete", good), ("not complete", bad)):
        assert re.search(rf"^{said} \(\d of 2 jobs have ended\): {run}$", out, re.MULTILINE)
    # A mistake that only shows there comes back with its reason.
    assert "nowhere.safetensors" in failures(STUDY, {good: [], bad: []})[bad]


def test_an_expectation_that_cannot_be_written_is_all_that_is_told(
    started: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "fedlayers.runs.expected.expected_runs.write_text", mock.Mock(side_effect=DiskError("cannot write it"))
    )
    assert leave("-m", "seed=0,1") == 1
    assert capsys.readouterr().err == "error: cannot write it\n"
    assert started == []
