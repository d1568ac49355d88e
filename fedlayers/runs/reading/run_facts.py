"""What run.json says of a run, and which folders are runs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.runs.damage import WRITTEN_ANEW, guarded
from fedlayers.runs.done import read_done
from fedlayers.runs.lock import holder_of
from fedlayers.runs.reading.fact_kinds import check_kinds


def is_run(folder: Path) -> bool:
    """Say whether the folder is a run's: it has a run.json, or what a run has made that lost it or has just begun."""
    return os.path.lexists(folder / "run.json") or ((folder / "config.yaml").exists() and (folder / "state").is_dir())


def run_folders(study: Path) -> tuple[Path, ...]:
    """Return the run folders in a study folder by name, without those whose name starts with a dot."""
    return tuple(sorted(f for f in study.iterdir() if not f.name.startswith(".") and f.is_dir() and is_run(f)))


def is_complete(run: Path) -> bool:
    """Say whether a folder is that of a run with all of its rounds; False where there is none."""
    return is_run(run) and run_facts(run)["status"] == "complete"


def complete_runs_in(folders: Sequence[Path]) -> list[Path]:
    """Return the runs that folders are, complete or not, or hold: of a study the complete ones.

    Raises:
        UserError: a folder is neither, or a study without a complete run.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: give results/<study>/<run> or results/<study>")
        own = [folder] if is_run(folder) else [run for run in run_folders(folder) if is_complete(run)]
        if not own:
            raise UserError(f"{folder} is no run and holds no complete one: give results/<study>/<run>")
        found += own
    return list(dict.fromkeys(found))


def run_facts(run: Path) -> dict[str, Any]:
    """Return what run.json says; ``status`` is ``complete`` if, and only if, done.json has the rounds asked for.

    ``run`` is the folder's name. A run that was killed could not say so: it is ``interrupted`` if it says ``running``
    and nobody holds its folder.

    Raises:
        UserError: one of the two cannot be read.
    """
    if not (run / "run.json").exists() and is_run(run):
        raise UserError(f"run {run.name} has lost its run.json: {WRITTEN_ANEW.replace(', or delete it and', ', or')}")
    facts = guarded(lambda file: json.loads(file.read_text(encoding="utf-8")), run / "run.json", WRITTEN_ANEW)
    if not isinstance(facts, dict):
        raise UserError(f"{run / 'run.json'} must hold an object, got {type(facts).__name__}: {WRITTEN_ANEW}")
    check_kinds(run / "run.json", facts)
    status = facts.get("status", "running")
    done = read_done(run)
    # One that goes on with more rounds has the end of fewer.
    ended = done is not None and done.covers(facts.get("rounds"))
    if ended or status not in ("running", "complete"):
        told = {"status": "complete" if ended else status}
    elif holder_of(run):
        told = {"status": "running"}
    else:
        told = {"status": "interrupted", "reason": facts.get("reason") or "its process was killed"}
    # A folder that was renamed or copied is the run of its name: the rows of its tables have that one.
    return facts | {"run": run.name, **told}
