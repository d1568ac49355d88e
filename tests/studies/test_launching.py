"""Jobs of a sweep without a cluster: what is submitted, what is waited for, what is told."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from submitit.helpers import DelayedSubmission

from fedlayers.core.errors import UserError
from fedlayers.execution.execute import execute
from fedlayers.runs.expected.expected_runs import failures
from fedlayers.studies.launching import jobs as jobs_module
from fedlayers.studies.launching import slurm as slurm_module
from fedlayers.studies.launching.job import Job, remember, remembered
from fedlayers.studies.launching.launch import launch
from fedlayers.studies.launching.slurm import ended_as, queued
from fedlayers.studies.study import Sweep, compose_sweep

QUICK = [
    "study=s",
    "rounds=1",
    "clients=2",
    "metrics=[weights]",
    "engine=local",
    "figures=false",
    "training.steps=1",
    "model.hidden=[8]",
    "hydra.launcher.cpus_per_task=1",
]
SLURM = [*QUICK, "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs_module, "POLL_S", 0.02)


class FakeSlurm:
    """Answers SLURM's commands: an array of which every job leaves the queue when it is asked for the second time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[Sequence[str]] = []
        self.script = ""
        self.queue: list[list[str]] = []
        self.state = "TIMEOUT"
        monkeypatch.setattr(slurm_module, "_ask", self.ask)
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr("submitit.core.utils.CommandFunction.__call__", self.submit)
        monkeypatch.setattr(slurm_module, "ASK_S", 0.0)
        monkeypatch.setattr(slurm_module, "LATE_S", 0.0)

    def submit(self, function: Any = None, *_: Any, **__: Any) -> str:
        return "Submitted batch job 77"

    def ask(self, *command: str) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        if command[0] == "scontrol":
            return subprocess.CompletedProcess(command, 0, f"JobId=5 JobState={self.state} Reason=None", "")
        lines = self.queue.pop(0) if self.queue else []
        return subprocess.CompletedProcess(command, 0, "\n".join(lines), "")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return FakeSlurm(monkeypatch)


def sweep_of(*words: str) -> Sweep:
    return compose_sweep(list(words))


def test_local_processes_run_nothing_that_is_complete() -> None:
    said: list[str] = []
    sweep = sweep_of(*QUICK, "hydra/launcher=local", "seed=0")
    execute(sweep.configs[0])
    launch(sweep, said.append)
    assert said == ["already complete: 1 of 1 runs; force=true runs them again"]


def test_without_slurm_it_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="no sbatch here; use hydra/launcher=local"):
        launch(sweep_of(*SLURM, "seed=0,1"))


def test_an_array_holds_the_options_and_a_job_that_vanished_has_failed(slurm: FakeSlurm) -> None:
    said: list[str] = []
    sweep = sweep_of(*SLURM, "hydra.launcher.partition=big", "hydra.launcher.setup=['module load x']", "seed=0,1")
    launch(sweep, said.append)
    script = next(Path("results/s/.submitit").rglob("*submission.sh")).read_text()
    for line in ("--partition=big", "--array=0-1%2", "--signal=USR2@120", "--time=240", "module load x"):
        assert line in script
    assert said[0] == "submitted 2 runs as SLURM job 77; their output: results/s/.submitit/77_*"
    assert "the same command again waits for them" in said[1]
    reasons = failures(Path("results/s"), next(iter(sweep.expected().values())))
    assert [reason.partition(";")[0] for reason in reasons.values()] == [
        "job 77_0 ended as TIMEOUT",
        "job 77_1 ended as TIMEOUT",
    ]


def test_a_second_call_waits_for_the_jobs_of_the_first(slurm: FakeSlurm) -> None:
    sweep = sweep_of(*SLURM, "seed=0,1")
    first, second = next(iter(sweep.expected().items()))[1]
    remember(Path("results/s") / first, "60_0")
    remember(Path("results/s") / second, "61")
    slurm.queue = [["60_0 RUNNING", "60_1 PENDING"], ["60_0 RUNNING", "77 RUNNING"], ["77 RUNNING"]]
    said: list[str] = []
    launch(sweep, said.append)
    assert said[:2] == [
        "already in the queue: 1 runs, of an earlier call",
        "submitted 1 runs as SLURM job 77; their output: results/s/.submitit/77_*",
    ]
    assert remembered(Path("results/s") / second) == "77"


def test_ctrl_c_leaves_the_jobs_and_says_how_to_end_them(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        launch(sweep_of(*SLURM, "seed=0,1"), said.append)
    assert said[-1] == "the jobs go on; to end them: scancel 77"


def test_settings_that_submitit_refuses_are_told(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("sbatch: error: invalid partition specified: nowhere")

    monkeypatch.setattr("submitit.core.utils.CommandFunction.__call__", refuse)
    with pytest.raises(UserError, match=r"hydra.launcher has settings .* invalid partition specified: nowhere"):
        launch(sweep_of(*SLURM, "seed=0,1"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, "5_0 RUNNING\n5_1 PENDING\n6_0 RUNNING", ""), {"5_0": "RUNNING", "5_1": "PENDING"}),
        ((1, "", "slurm_load_jobs error: Invalid job id specified"), {}),
        ((1, "", "Unable to contact slurm controller"), None),
        (None, None),
    ],
)
def test_a_queue_that_does_not_answer_says_nothing(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str, str] | None, expected: dict[str, str] | None
) -> None:
    found = None if answer is None else subprocess.CompletedProcess((), *answer)
    monkeypatch.setattr(slurm_module, "_ask", lambda *command: found)
    assert queued(["5_0", "5_1", "7"]) == expected
    assert queued([]) == {}


def test_how_a_job_ended_may_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_module, "_ask", lambda *command: None)
    assert ended_as("5") == "unknown"


def test_slurm_that_is_not_there_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert queued(["5"]) is None


def test_a_job_that_is_queued_again_makes_the_same_call() -> None:
    job = Job(("seed=1",), Path("results/s/x"))
    again = job.checkpoint()
    assert isinstance(again, DelayedSubmission)
    assert again.function is job
    assert remembered(Path("nowhere/x")) is None
