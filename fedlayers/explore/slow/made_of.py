"""What slow work on a run is made of: when that is the same, so is its result."""

from collections.abc import Mapping
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.explore.place import check_links
from fedlayers.explore.slow.kept import digest_of
from fedlayers.heterogeneity.standalone import FOLDER
from fedlayers.runs.reading.run_facts import is_run, run_facts, run_folders


def made_of(run: Path) -> Mapping[str, str]:
    """Return name -> digest of what is read for it: configuration, models, and the runs it may be compared with.

    Args:
        run: the run's folder.

    Raises:
        UserError: a run it may be compared with has a symbolic link to a place outside of the study.
    """
    files = [run / "config.yaml", *sorted((run / "snapshots").glob("*.safetensors"))]
    found = {file.name: digest_of(file) for file in files if file.is_file()}
    own, study = run / FOLDER, run.parent
    beside = () if is_run(study) else (one for one in run_folders(study) if one != run and not one.is_symlink())
    for other in (*(run_folders(own) if own.is_dir() else ()), *beside):
        try:
            facts = run_facts(other)
        except UserError:
            continue  # with a damaged one nothing is compared
        if facts.get("algorithm") == "local":
            check_links(other, study)
            found[other.name] = str(facts.get("identity")) + _reached(other)
    return found


def _reached(run: Path) -> str:
    """Return which models a run keeps, in short."""
    folder = run / "snapshots"
    return f" {folder.stat().st_mtime_ns}" if folder.is_dir() else ""
