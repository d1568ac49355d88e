"""Where the runs of a study stand: done, running, waiting, interrupted or failed, read from its folder."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from fedlayers.core.errors import UserError
from fedlayers.core.machine.terminal import line, plain
from fedlayers.execution.pace import duration
from fedlayers.runs.expected.expected_runs import expected_runs, failures
from fedlayers.runs.expected.living_sweeps import awaited
from fedlayers.runs.lock import Holder, holder_of
from fedlayers.runs.reading.completeness import check_finished
from fedlayers.runs.reading.pace import pace_of
from fedlayers.runs.reading.run_facts import run_facts, run_folders

STATES = ("failed", "interrupted", "missing", "waiting", "running", "done")
UNDER_WAY = ("waiting", "running")
_STYLES = {
    "failed": "red",
    "interrupted": "yellow",
    "missing": "yellow",
    "waiting": "cyan",
    "running": "cyan",
    "done": "green",
}
# Columns of a terminal that a table takes beside the names of runs: states, what is between, and details to be read.
_BESIDE_NAMES = 17 + 20


@dataclass(frozen=True)
class RunStatus:
    """Where one run stands.

    Attributes:
        run: its name.
        state: one of ``STATES``: ``waiting`` is in a queue or will be started by a process that lives; ``interrupted``
            and ``missing`` (expected, but not begun) by nobody, until the same command is given again.
        detail: round, rate and time left of a running one, the reason of a failed one …
    """

    run: str
    state: str
    detail: str


def study_status(study: Path) -> list[RunStatus]:
    """Return where every run of a study stands, expected ones without a folder included; failed ones first.

    Args:
        study: ``results/<study>``.

    Raises:
        UserError: there is no such folder, or it holds neither runs nor expected ones.
    """
    study = Path(study)
    if not study.is_dir():
        raise UserError(f"there is no folder {study}: give a study folder, such as results/main")
    folders = {folder.name: folder for folder in run_folders(study)}
    names = list(dict.fromkeys([*expected_runs(study), *folders]))
    if not names:
        raise UserError(f"{study} holds no runs and no expected.json: give a study folder (results/<study>)")
    queue = _queue(study, names)
    coming = awaited(study)
    notes = failures(study, names)
    found = [
        _status(study / name, folders.get(name), _Notes(notes.get(name), queue.get(name), coming.get(name)))
        for name in names
    ]
    return sorted(found, key=lambda one: STATES.index(one.state))


def describe(runs: Sequence[RunStatus], most: int | None = None) -> str:
    """Return the states as text: a line of counts, then a line a run.

    Args:
        runs: as :func:`study_status` returns them.
        most: how many runs of one state are listed; None lists all.
    """
    return plain(status_table(runs, most))


def status_table(runs: Sequence[RunStatus], most: int | None, width: float = math.inf) -> Group:
    """Return counts and a table of the runs, to be printed by :func:`fedlayers.core.machine.terminal.show`.

    Names of runs, which one may want to copy, are broken only where they leave no room for what is said about them.

    Args:
        runs: see :func:`describe`.
        most: see :func:`describe`.
        width: how many columns the terminal has.
    """
    counts = Counter(one.state for one in runs)
    told = ", ".join(f"{counts[state]} {state}" for state in reversed(STATES) if counts[state])
    is_whole = max(cell_len(one.run) for one in runs) + _BESIDE_NAMES <= width
    columns = Column(overflow="fold"), Column(no_wrap=is_whole, overflow="fold"), Column(overflow="fold")
    table = Table.grid(*columns, padding=(0, 2, 0, 0))
    for state in STATES:
        shown = Text(f"{state:<11}", _STYLES[state])
        alike = [one for one in runs if one.state == state]
        listed = alike if most is None else alike[:most]
        for one in listed:
            table.add_row(shown, Text(one.run), Text(one.detail))
        if len(listed) < len(alike):
            table.add_row(shown, f"and {len(alike) - len(listed)} more")
    return Group(line(f"{len(runs)} runs: {told}"), Padding(table, (0, 0, 0, 2)))


@dataclass(frozen=True)
class _Notes:
    """What is known of a run beside its folder: why it failed, its job in the queue, and who is going to start it."""

    failure: str | None
    job: str | None
    starter: Holder | None


def _status(place: Path, folder: Path | None, notes: _Notes) -> RunStatus:
    """Return where a run stands."""
    try:
        state, *details = _state(place, run_facts(folder) if folder else {}, notes)
    except (UserError, OSError) as error:
        state, details = "failed", [str(error)]
    return RunStatus(place.name, state, ", ".join(details))


def _state(place: Path, facts: Mapping[str, Any], notes: _Notes) -> list[str]:
    """Return state and details: from the run's folder, then the queue, its note of failure, and the sweep."""
    if facts.get("status") == "complete":
        if not holder_of(place):  # whoever holds it may be replacing files
            check_finished(place)
        return ["done", f"{facts.get('round')} rounds in {duration(facts.get('wall_s') or 0)}"]
    if facts and (holder := holder_of(place)):
        return ["running", *_pace(place, facts), str(holder)]
    has_failed = notes.failure or facts.get("status") == "failed"
    if awaits := notes.job or (notes.starter and not has_failed and f"to be started by {notes.starter}"):
        return ["waiting", *_reached(facts), awaits]
    if has_failed:
        return ["failed", notes.failure or str(facts.get("reason") or "no reason given; see log.txt")]
    if not facts:
        return ["missing", "expected, but nobody is going to start it"]
    why = facts.get("reason") if facts.get("status") == "stopped" else "its process was killed"
    return ["interrupted", *_reached(facts), str(why)]


def _reached(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts:
        yield f"round {facts.get('round') or 0} of {facts.get('rounds', '?')}"


def _pace(run: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield how far a running run is, how fast it goes, and how long it has to go."""
    yield from _reached(facts)
    if pace := pace_of(run, facts):
        yield f"{pace.round_s:.1f} s/round"
        yield f"about {duration(pace.left_s)} left"


def _queue(study: Path, names: Sequence[str]) -> dict[str, str]:
    """Return run -> what SLURM's queue says about its job, for the runs that have one there."""
    from fedlayers.studies.launching.job import remembered

    jobs = {name: job for name in names if (job := remembered(study / name))}
    if not jobs:
        return {}
    from fedlayers.studies.launching.slurm import queued

    states = queued(list(jobs.values())) or {}
    return {name: f"job {job} {states[job].lower()}" for name, job in jobs.items() if job in states}
