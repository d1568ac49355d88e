"""The scripts in ``launch/``: their options, their errors, the jobs they write."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBMIT, STUDY = ROOT / "launch" / "submit.sh", ROOT / "launch" / "study.sh"


def call(script: Path, *words: str, folder: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **variables}
    return subprocess.run(
        ["bash", str(script), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of what the scripts need, with a user's own defaults and no environment."""
    for name in ("launch", "conf/dataset", "conf/experiment", "conf/local"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
    for script in (SUBMIT, STUDY):
        (tmp_path / "checkout" / "launch" / script.name).write_text(script.read_text())
    for name in ("FMNIST", "Heart", "hub"):
        (tmp_path / "checkout" / "conf" / "dataset" / f"{name}.yaml").touch()
    (tmp_path / "checkout" / "conf" / "local" / "slurm.yaml").write_text("partition: big # ours\naccount: 'proj-1'\n")
    yield tmp_path / "checkout"


@pytest.mark.parametrize("script", [SUBMIT, STUDY], ids=["submit", "study"])
def test_help_teaches_from_any_folder(script: Path, tmp_path: Path) -> None:
    answer = call(script, "--help", folder=tmp_path)
    assert answer.returncode == 0
    assert script.name in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_one_job_per_data_set_with_every_option(tmp_path: Path) -> None:
    options = ["--time=1:00:00", "--memory=8G", "--cpus=3", "--gpus=2", "--partition=p", "--account=a", "--qos=q"]
    words = ["--datasets=FMNIST,Heart", f"--dir={tmp_path}", f"--env-path={tmp_path}", *options, "--dry-run"]
    answer = call(SUBMIT, *words, "--", "rounds=3", "metrics=[weights]", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    jobs = answer.stdout.split("# ---- ")[1:]
    assert [job.splitlines()[0] for job in jobs] == ["FMNIST", "Heart"]
    settings = [
        "time=1:00:00", "mem=8G", "cpus-per-task=3", "gpus-per-node=2", "partition=p", "account=a", "qos=q",
        f"output={tmp_path}/logs/outputs/FMNIST_analytics.txt", f"error={tmp_path}/logs/errors/FMNIST_analytics.txt",
        f"chdir={tmp_path}", "signal=B:USR1@120",
    ]  # fmt: skip
    for setting in settings:
        assert f"#SBATCH --{setting}\n" in jobs[0]
    assert f"conda activate {tmp_path}\n" in jobs[0]
    assert "python -m fedlayers +dataset=FMNIST rounds=3 metrics=\\[weights\\] &\n" in jobs[0]
    assert list(tmp_path.iterdir()) == []
    for job in jobs:
        assert subprocess.run(["bash", "-n"], input=job, text=True, check=False).returncode == 0


def test_the_local_file_gives_defaults_and_hub_needs_a_name(checkout: Path) -> None:
    answer = call(checkout / "launch" / "submit.sh", "--env-name=fed", "--dry-run", folder=checkout.parent)
    jobs = answer.stdout.split("# ---- ")[1:]
    assert [job.splitlines()[0] for job in jobs] == ["FMNIST", "Heart"]
    assert "#SBATCH --partition=big\n#SBATCH --account=proj-1\n" in jobs[0]
    assert "--qos" not in jobs[0] and "--gpus" not in jobs[0]
    assert "conda activate fed\n" in jobs[0]
    assert f"#SBATCH --chdir={checkout}\n" in jobs[0]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--nonsense", "unknown option '--nonsense'"),
        ("rounds=3", r"unknown option 'rounds=3' (arguments of fedlayers come after --)"),
        ("--datasets=FMNST", "unknown data set 'FMNST'; known: CIFAR10 CIFAR100"),
        ("--cpus=0", "--cpus must be 1 or more, got '0'"),
        ("--gpus=x", "--gpus must be 0 or more, got 'x'"),
        ("--dir=/nowhere", "--dir must be an existing folder, got '/nowhere'"),
        ("--env-path=/nowhere", "--env-path must be an existing folder, got '/nowhere'"),
    ],
)
def test_mistakes_are_told_before_anything_is_submitted(word: str, message: str) -> None:
    answer = call(SUBMIT, "--dry-run", word)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stdout == ""


def test_two_environments_are_refused(tmp_path: Path) -> None:
    answer = call(SUBMIT, "--dry-run", "--env-name=a", f"--env-path={tmp_path}")
    assert answer.returncode == 2 and "give one of them" in answer.stderr


def test_without_slurm_it_says_where_to_go(tmp_path: Path) -> None:
    for program in ("bash", "dirname", "cat", "sed", "grep", "paste", "head"):
        for folder in ("/usr/bin", "/bin"):
            if (Path(folder) / program).exists() and not (tmp_path / program).exists():
                (tmp_path / program).symlink_to(Path(folder) / program)
    answer = call(SUBMIT, "--datasets=FMNIST", PATH=str(tmp_path))
    assert answer.returncode == 2 and "there is no sbatch here" in answer.stderr


def test_a_study_needs_an_experiment() -> None:
    answer = call(STUDY, "nothing")
    assert answer.returncode == 2 and "there is no experiment 'nothing'" in answer.stderr


def test_a_study_runs_an_experiment_with_a_launcher(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/usr/bin/env bash\necho "$@"\n')
    python.chmod(0o755)
    checkout = tmp_path / "checkout"
    (checkout / "launch").mkdir(parents=True)
    (checkout / "conf" / "experiment").mkdir(parents=True)
    (checkout / "conf" / "experiment" / "mine.yaml").touch()
    (checkout / "launch" / "study.sh").write_text(STUDY.read_text())
    path = f"{tmp_path}:{os.environ['PATH']}"
    for words, launcher in ((["mine"], "basic"), (["mine", "slurm"], "slurm")):
        answer = call(checkout / "launch" / "study.sh", *words, "seed=1", folder=tmp_path, PATH=path)
        expected = f"-m fedlayers -m +experiment=mine hydra/launcher={launcher} seed=1\n"
        assert answer.stdout == expected, answer.stderr
