"""One run of a sweep as a job: what submitit pickles, starts elsewhere, and queues again when its time ends."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

from fedlayers.core.machine.disk import disk_errors, make_folder, write_text


@dataclass(frozen=True)
class Job:
    """A call that carries out one run, or what is missing of it.

    Attributes:
        words: the run's arguments, ready for Hydra.
        folder: the run folder.
    """

    words: Sequence[str]
    folder: Path

    def __call__(self) -> None:
        """Carry the run out; a failure is noted in the study folder."""
        from fedlayers.config.compose import composed, hydra_ready
        from fedlayers.studies.study import job

        with hydra_ready():
            content = composed(self.words)
        job(content)

    def checkpoint(self, *_: Any) -> DelayedSubmission:
        """Return what is queued again: the same call, which continues after the last complete round."""
        return DelayedSubmission(self)


def remember(folder: Path, job_id: str) -> None:
    """Write down which job a run was given to, beside the run folders."""
    path = _card(folder)
    make_folder(path.parent)
    write_text(path, json.dumps({"job": job_id}))


def remembered(folder: Path) -> str | None:
    """Return the job that a run was last given to, None if it never was."""
    try:
        return str(json.loads(_card(folder).read_text())["job"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_job(folder: Path) -> None:
    """Take away what :func:`remember` wrote."""
    with disk_errors(_card(folder), of_a_run=False):
        _card(folder).unlink(missing_ok=True)


def _card(folder: Path) -> Path:
    return folder.parent / ".jobs" / f"{folder.name}.json"
