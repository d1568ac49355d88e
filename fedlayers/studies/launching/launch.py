"""Launching a sweep: submit what is missing, wait until the last job has ended, note what ended without a word."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.execution.continuation import nothing_left
from fedlayers.runs.expected.expected_runs import note_failure
from fedlayers.runs.folder import RunFolder, run_folder
from fedlayers.runs.lock import Holder, LockedError, holder_of
from fedlayers.studies.launching.job import Job
from fedlayers.studies.launching.local import LocalJobs
from fedlayers.studies.launching.slurm import SlurmJobs
from fedlayers.studies.study import Sweep

Say = Callable[[str], None]
_PLUGIN = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."
_KINDS = {f"{_PLUGIN}SlurmLauncher": SlurmJobs, f"{_PLUGIN}LocalLauncher": LocalJobs}


def launches(settings: DictConfig) -> bool:
    """Say whether ``hydra.launcher`` is one of hydra-submitit-launcher's, which :func:`launch` carries out."""
    return settings.get("_target_") in _KINDS


def launch(sweep: Sweep, say: Say = print) -> None:
    """Give every run of a sweep that is neither complete nor under way to a job, and wait until all have ended.

    Hydra's own launcher would start every run again, wait for ever for a job that was killed where SLURM keeps no
    accounts, and give up at the first that failed.

    Args:
        sweep: the runs, and under ``master.hydra.launcher`` the settings of hydra-submitit-launcher.
        say: how to tell the user.

    Raises:
        UserError: jobs cannot be submitted from here, or the settings are refused.
    """
    settings = OmegaConf.to_container(sweep.master.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    jobs = _KINDS[settings["_target_"]]({str(key): value for key, value in settings.items()}, say)
    missing = _missing(sweep, say)
    try:
        jobs.start(missing)
        total = jobs.waiting
        while jobs.waiting:
            for folder, reason in jobs.ended():
                _told(folder, reason, total - jobs.waiting, total, say)
    except KeyboardInterrupt:
        jobs.leave()
        raise


def _missing(sweep: Sweep, say: Say) -> dict[Path, Job]:
    """Return run folder -> job of the runs to start: each once, without the complete and those of other programs."""
    missing: dict[Path, Job] = {}
    complete = 0
    for config, words in zip(sweep.configs, sweep.words, strict=True):
        folder = run_folder(config)
        run = RunFolder(folder)
        if _is_complete(run, config):
            complete += 1
        elif (holder := _holder_of(folder)) and not holder.job:
            say(f"already running there ({holder}): {folder}")
        else:
            missing[folder] = Job(words, folder)
    if complete:
        say(f"already complete: {complete} of {len(sweep.configs)} runs; force=true runs them again")
    return missing


def _holder_of(folder: Path) -> Holder | None:
    """Return who writes a folder; what stands in the way of knowing is told by the run itself."""
    try:
        return holder_of(folder)
    except (UserError, OSError):
        return None


def _is_complete(run: RunFolder, config: Config) -> bool:
    """Say whether a run needs no job; one that cannot be looked at gets one, which tells why."""
    try:
        return nothing_left(run, config) is not None
    except (UserError, LockedError):
        return False


def _told(folder: Path, reason: str | None, number: int, total: int, say: Say) -> None:
    """Tell that a job has ended; one that left neither a result nor a reason has failed."""
    done = RunFolder(folder).is_done()
    if reason is not None and not done:
        note_failure(folder, reason)
    say(f"{'complete' if done else 'not complete'} ({number} of {total} jobs have ended): {folder.name}")
