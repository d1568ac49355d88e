"""Sweeps on a real SLURM cluster: an array of jobs, a time limit, a failure, a submitter that dies."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlayers.studies.launching.job import remembered
from fedlayers.studies.status import study_status
from tests.support.slurm_cluster import slurm_cluster

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
ROOT = Path(__file__).parents[2]
SLOW, FAILING = 2, 3
# 14 rounds of 2 clients at 2 s: more than the time between a job's start and SLURM's signal.
RUN = [
    "rounds=14",
    "clients=2",
    "examples_per_client=60",
    "partition=iid",
    "model.hidden=[16]",
    "metrics=[evaluation,weights]",
    "training.batch_size=16",
    "figures=false",
    "engine=local",
    "algorithm.client._target_=tests.support.odd_clients.JobClient",
    f"+algorithm.client.slow_seed={SLOW}",
    f"+algorithm.client.failing_seed={FAILING}",
    "+algorithm.client.seconds=2",
]
# SLURM's limits are whole minutes; the signal comes so long before the end, up to half a minute early.
JOB = [
    "hydra/launcher=slurm",
    "hydra.launcher.timeout_min=1",
    "hydra.launcher.signal_delay_s=10",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.gpus_per_node=0",
    "hydra.launcher.mem_gb=1",
    "hydra.launcher.max_num_timeout=50",
]
# Jobs wait to be killed by their time limit, several times on a slow machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    with slurm_cluster() as environment:
        yield {**environment, "OMP_NUM_THREADS": "1"}


def start(slurm: dict[str, str], results: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fedlayers", "-m", f"results_dir={results}", "study=s", *RUN, *JOB, *words]
    return subprocess.Popen(command, cwd=ROOT, env=slurm, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def states(study: Path) -> dict[str, str]:
    """Return seed -> state."""
    return {one.run.split("-")[2].removeprefix("s"): one.state for one in study_status(study)}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it never came:\n{process.communicate()[0]}")
        time.sleep(0.2)


def test_a_sweep_survives_a_time_limit_pre_emption_a_failure_and_the_end_of_its_submitter(
    slurm: dict[str, str], quick_run: Run, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    study = tmp_path / "s"
    first = start(slurm, tmp_path, f"seed=0,1,{SLOW},{FAILING}")
    wait_for(lambda: (study / "expected.json").exists() and states(study).get(str(SLOW)) == "running", first)
    first.send_signal(signal.SIGKILL)
    first.communicate()

    # What pre-emption does: the job is killed where it stands and starts again.
    job = remembered(next(study.glob(f"*-s{SLOW}-*")))
    assert job is not None
    subprocess.run(["scontrol", "requeue", job], env=slurm, check=True)

    second = start(slurm, tmp_path, f"seed=0,1,{SLOW},{FAILING}")
    said = second.communicate(timeout=500)[0]
    assert second.returncode == 1, said
    assert "the answer is not a number" in said
    assert "(3 complete, 1 failed)" in said
    assert states(study) == {"0": "done", "1": "done", str(SLOW): "done", str(FAILING): "failed"}
    assert (study / "study.parquet").is_file()

    slow = next(study.glob(f"*-s{SLOW}-*"))
    stretches = json.loads((slow / "run.json").read_text())["stretches"]
    assert len(stretches) > 1, "the time limit never struck"
    assert [one["from_round"] for one in stretches] == sorted(one["from_round"] for one in stretches)
    for seed in (0, SLOW):
        undisturbed = quick_run(*RUN, f"seed={seed}", "study=s")
        assert tables(next(study.glob(f"*-s{seed}-*"))) == tables(undisturbed)


def test_scripts_submit_jobs_that_run(slurm: dict[str, str], tmp_path: Path) -> None:
    quick = ["rounds=1", "clients=2", "metrics=[weights]", "model.hidden=[8]", "figures=false"]
    environment = Path(sys.executable).parent.parent
    resources = ["--cpus=1", "--memory=1G", "--time=5"]
    submit = ["bash", str(ROOT / "launch" / "submit.sh"), "--datasets=digits", f"--dir={tmp_path}", *resources]
    words = [f"--env-path={environment}", "--", *quick, "engine=local"]
    said = subprocess.run([*submit, *words], cwd="/", env=slurm, text=True, capture_output=True, check=True).stdout
    assert said.startswith("digits: Submitted batch job")

    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / ".venv").symlink_to(environment)
    options = ["--wait", "--nodes=1", "--cpus-per-task=2", "--mem=1G", "--time=5", "--output=log.txt"]
    sweep = [str(ROOT / "launch" / "ray_cluster.sbatch"), "-m", "seed=0,1", *quick, "engine=ray"]
    done = subprocess.run(["sbatch", *options, *sweep], cwd=tmp_path / "cluster", env=slurm, check=False)
    log = (tmp_path / "cluster" / "log.txt").read_text()
    assert done.returncode == 0, log
    assert "Ray cluster of 1 node" in log
    assert "(2 complete)" in log

    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("results/main/*/done.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "complete, 1 of 1 rounds" in (tmp_path / "logs" / "outputs" / "digits_analytics.txt").read_text()
