"""Jobs of a SLURM cluster: submitted as an array, found again in the queue by whoever asks later."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import submitit
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from submitit.core.utils import pickle_load

from fedlayers.core.errors import UserError
from fedlayers.studies.launching import jobs as jobs_module
from fedlayers.studies.launching.job import Job, remember, remembered
from fedlayers.studies.launching.jobs import Jobs, refused

# How often SLURM is asked about its queue.
ASK_S = 15.0
# How long a result may take to show on a shared file system.
LATE_S = 60.0


class SlurmJobs(Jobs):
    """Tasks of one job array a sweep, submitted through submitit with the settings of hydra-submitit-launcher.

    Those that are still in the queue from an earlier call are waited for.
    """

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        if shutil.which("sbatch") is None:
            raise UserError(
                "hydra/launcher=slurm must be used where jobs are submitted (a cluster's login node), but there is "
                "no sbatch here; use hydra/launcher=local for parallel processes on this machine"
            )
        super().__init__(settings, say)
        self.running: dict[Path, submitit.Job[None]] = {}
        try:
            self.executor = _executor(settings)
        except Exception as error:  # whatever submitit raises, it is about these settings
            raise refused(error) from error
        self._asked = time.monotonic()
        self._gone_since: dict[Path, float] = {}

    def start(self, jobs: Mapping[Path, Job]) -> None:
        """Submit as one array what is not in the queue yet."""
        known = {folder: job_id for folder in jobs if (job_id := remembered(folder))}
        alive = queued(list(known.values())) or {}
        for folder, job_id in known.items():
            if job_id in alive:
                self.running[folder] = submitit.SlurmJob(self.settings["submitit_folder"], job_id)
        if self.running:
            self.say(f"already in the queue: {len(self.running)} runs, of an earlier call")
        fresh = {folder: job for folder, job in jobs.items() if folder not in self.running}
        if fresh:
            self._submit(fresh)
        if self.running:
            self.say(
                "waiting for the jobs; if this process ends they go on, and the same command again waits for them. "
                f"Watch: python -m fedlayers.status {next(iter(jobs)).parent}"
            )

    def leave(self) -> None:
        """Tell that the jobs go on."""
        arrays = sorted({job.job_id.partition("_")[0] for job in self.running.values()})
        if arrays:
            self.say(f"the jobs go on; to end them: scancel {' '.join(arrays)}")

    @property
    def waiting(self) -> int:
        """The number of jobs that have not ended."""
        return len(self.running)

    def ended(self) -> Iterator[tuple[Path, str | None]]:
        """Wait a moment; yield run folder and reason of the jobs that ended since, None for an orderly end."""
        time.sleep(jobs_module.POLL_S)
        for folder, job in list(self.running.items()):
            if job.paths.result_pickle.exists():
                del self.running[folder]
                outcome, content = pickle_load(job.paths.result_pickle)
                yield folder, None if outcome == "success" else str(content).strip().splitlines()[-1]
        for folder, reason in list(self._vanished()):
            del self.running[folder]
            yield folder, reason

    def _vanished(self) -> Iterator[tuple[Path, str]]:
        """Yield run folder and reason of the jobs that have been out of the queue for a while."""
        now = time.monotonic()
        if now - self._asked < ASK_S:
            return
        self._asked = now
        ids = {folder: job.job_id for folder, job in self.running.items()}
        alive = queued(list(ids.values()))
        if alive is None:
            return
        for folder, job_id in ids.items():
            if job_id in alive:
                self._gone_since.pop(folder, None)
            elif now - self._gone_since.setdefault(folder, now) >= LATE_S:
                output = self.running[folder].paths.stderr
                yield folder, f"job {job_id} ended as {ended_as(job_id)}; its output: {output}"

    def _submit(self, jobs: Mapping[Path, Job]) -> None:
        try:
            with self.executor.batch():
                submitted = [self.executor.submit(job) for job in jobs.values()]
        except Exception as error:  # whatever sbatch or submitit say, nothing was submitted
            raise refused(error) from error
        for folder, one in zip(jobs, submitted, strict=True):
            self.running[folder] = one
            remember(folder, one.job_id)
        array = submitted[0].job_id.partition("_")[0]
        output = Path(str(self.settings["submitit_folder"]).replace("%j", f"{array}_*"))
        self.say(f"submitted {len(jobs)} runs as SLURM job {array}; their output: {output}")


def _executor(settings: Mapping[str, Any]) -> submitit.AutoExecutor:
    general = {field.name for field in fields(BaseQueueConf)}
    own = ("_target_", "submitit_folder", "max_num_timeout")
    timeouts = {f"slurm_{key}": value for key, value in settings.items() if key == "max_num_timeout"}
    parameters = {key if key in general else f"slurm_{key}": value for key, value in settings.items() if key not in own}
    executor = submitit.AutoExecutor(settings["submitit_folder"], cluster="slurm", **timeouts)
    executor.update_parameters(**parameters)
    return executor


def queued(job_ids: Sequence[str]) -> dict[str, str] | None:
    """Return job -> state (``PENDING``, ``RUNNING``, …) of those jobs that are in the queue.

    Args:
        job_ids: numbers, those of an array's tasks as ``<array>_<task>``.

    Returns:
        None if SLURM does not answer, which says nothing about the jobs.
    """
    if not job_ids:
        return {}
    arrays = ",".join(sorted({job.partition("_")[0] for job in job_ids}))
    answer = _ask("squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={arrays}")
    if answer is None or (answer.returncode and "Invalid job id" not in answer.stderr):
        return None
    states = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines() if line.strip())
    return {job: states[job] for job in job_ids if job in states}


def ended_as(job_id: str) -> str:
    """Return how a job ended, such as ``TIMEOUT`` or ``NODE_FAIL``, as long as SLURM remembers it."""
    answer = _ask("scontrol", "show", "job", job_id)
    found = None if answer is None else re.search(r"JobState=(\S+)", answer.stdout)
    return found[1] if found else "unknown"


def _ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """Return what one of SLURM's commands answers, None if it does not."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
