"""What a study expects and what went wrong: ``expected.json``, and a note for every run whose last attempt failed."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors, make_folder, write_text

# What expected.json was called before.
_FORMER = "plan.json"


def write_expected(study: Path, runs: Mapping[str, Sequence[str]]) -> None:
    """Add runs to ``expected.json`` of a study: ``{"runs": [{"run": name, "overrides": [text, ...]}, ...]}``."""
    make_folder(study)
    with disk_errors(study / "expected.json"), FileLock(study / ".expected.lock"):
        _write(study, expected_runs(study) | {run: list(words) for run, words in runs.items()})


def drop_expected(study: Path, runs: Collection[str]) -> None:
    """Take runs out of ``expected.json`` of a study; those that it does not name change nothing."""
    with disk_errors(study / "expected.json"), FileLock(study / ".expected.lock"):
        known = expected_runs(study)
        if not known.keys().isdisjoint(runs):
            _write(study, {run: words for run, words in known.items() if run not in runs})


def _write(study: Path, runs: Mapping[str, Sequence[str]]) -> None:
    entries = [{"run": run, "overrides": list(words)} for run, words in runs.items()]
    write_text(study / "expected.json", json.dumps({"runs": entries}, indent=1))
    (study / _FORMER).unlink(missing_ok=True)


def expected_file(study: Path) -> Path:
    """Return where a study's expected runs stand; studies of before have ``plan.json`` until runs are added."""
    new, former = study / "expected.json", study / _FORMER
    return former if former.is_file() and not new.is_file() else new


def expected_runs(study: Path) -> dict[str, list[str]]:
    """Return run -> arguments of the runs that a study expects, empty if nothing says which.

    Raises:
        UserError: it cannot be read.
    """
    file = expected_file(study)
    if not file.is_file():
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["runs"]
        return {_name(entry["run"]): [str(word) for word in entry["overrides"]] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{file} must hold {{"runs": [{{"run": name, "overrides": [text, …]}}, …]}}: '
            "delete it, and missing runs are no longer looked for until the sweep is started again"
        ) from error


def note_failure(folder: Path, reason: str) -> None:
    """Write down beside a run's folder, which may not exist, why its last attempt failed."""
    note = _note(folder)
    make_folder(note.parent)
    write_text(note, reason)


def forget_failure(folder: Path) -> None:
    """Take the note of a run's failure away, since it is attempted again."""
    note = _note(folder)
    with disk_errors(note), suppress(FileNotFoundError):
        note.unlink()
    with suppress(OSError):
        note.parent.rmdir()


def failures(study: Path, runs: Iterable[str]) -> dict[str, str]:
    """Return run -> reason, in one line, of those of the given runs whose last attempt failed."""
    notes = {run: _note(study / run) for run in runs}
    return {run: _first_line(note) for run, note in notes.items() if note.is_file()}


def _first_line(note: Path) -> str:
    lines = note.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[0] if lines else "no reason given; see log.txt"


def _name(run: object) -> str:
    """Return a run's name, which is that of a folder in the study folder."""
    if not isinstance(run, str) or Path(run).name != run:
        raise TypeError(f"no name of a run: {run}")
    return run


def _note(folder: Path) -> Path:
    """Where the reason of a run's failure stands: beside the run folder, which a mistake never gets to create."""
    return folder.parent / ".failed" / folder.name
