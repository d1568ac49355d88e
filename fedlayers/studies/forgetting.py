"""Forgetting runs that a study expects and nobody will start: a changed sweep would list them as missing for ever."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.runs.expected.expected_runs import drop_expected, forget_failure
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.lock import LockedError, lock
from fedlayers.runs.reading.run_facts import is_run


def forget(study: Path, patterns: Sequence[str], states: Mapping[str, str]) -> list[str]:
    """Let a study expect some runs no more and drop their notes; their folders, if any, move to ``.old/``.

    Args:
        study: the study folder.
        patterns: names of runs, ``*`` standing for anything; empty for all that are missing, or failed before they had
            a folder.
        states: run -> state, see :class:`fedlayers.studies.status.RunStatus`.

    Returns:
        Lines that tell what was done.

    Raises:
        UserError: nothing has that name, or it is under way.
    """
    chosen = _named(study, patterns, states) if patterns else _left(study, states)
    if not chosen:
        return ["nothing to forget: no run is missing, and none has failed without a folder"]
    lines = [_forget(study / run) for run in chosen]
    drop_expected(study, chosen)
    return lines


def _left(study: Path, states: Mapping[str, str]) -> list[str]:
    return [run for run, state in states.items() if state in ("missing", "failed") and not is_run(study / run)]


def _named(study: Path, patterns: Sequence[str], states: Mapping[str, str]) -> list[str]:
    chosen: dict[str, str] = {}
    for pattern in patterns:
        found = {run: state for run, state in states.items() if fnmatchcase(run, pattern)}
        if not found:
            raise UserError(
                f"--forget must name runs of {study}, got {pattern}: see python -m fedlayers.status {study}"
            )
        chosen |= found
    for run, state in chosen.items():
        if state in ("running", "waiting"):
            raise UserError(f"--forget must name runs that are not under way, but {run} is {state}: stop it first")
    return list(chosen)


def _forget(folder: Path) -> str:
    """Forget one run and tell it."""
    from fedlayers.studies.launching.job import forget_job

    said = f"forgotten: {folder.name}"
    if is_run(folder):
        try:
            with lock(folder), disk_errors(folder.parent / ".old", of_a_run=False):
                RunFolder(folder).set_aside()
        except LockedError as holder:
            raise UserError(f"{folder} is being written ({holder}): stop that run first") from None
        said += f" (its folder is in {folder.parent / '.old'})"
    forget_failure(folder)
    forget_job(folder)
    return said
