"""Algorithms compared, from the folders of runs and studies."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.runs.damage import readable
from fedlayers.runs.reading.parts import load, to_pandas
from fedlayers.runs.reading.run_facts import is_run, run_facts, run_folders
from fedlayers.runs.reading.selection import Selection
from fedlayers.runs.reading.tables import Tables
from fedlayers.studies.status import study_status
from fedlayers.views.comparison.compared import AlgorithmComparison, compared
from fedlayers.views.comparison.scoring import COLUMNS, COMPARED_SCOPES, SCORES, Reported
from fedlayers.views.run_groups import complete_runs

_LISTED = 10


def comparison(
    *folders: str | Path,
    metric: str | None = None,
    baseline: str | None = None,
    moment: str = "after_aggregate",
    round: str = "last",
    clients: str = "trained",
) -> AlgorithmComparison:
    """Return how the algorithms of runs or studies compare, which is what ``python -m fedlayers.compare`` prints.

    Args:
        folders: ``results/<study>`` or ``results/<study>/<run>``, one or more.
        metric: what texts and paper tables show: one of :data:`fedlayers.views.comparison.scoring.SCORES`, or another
            one of clients' whole models; None for the first of those that was measured, which is ``accuracy``, and
            ``subset_accuracy`` of examples of which several labels may hold.
        baseline: the algorithm that differences are from; None for ``fedavg``, else ``local``.
        moment: ``after_aggregate``, or ``after_local`` training.
        round: ``last``, or ``best``: of each run the round with the lowest validation loss.
        clients: ``trained``, or ``unseen``, those that never train.

    Raises:
        UserError: there is nothing to compare at a place, or no such metric, algorithm, moment, round or group of
            clients.

    Examples:
        >>> import fedlayers
        >>> for algorithm in ("fedavg", "local"):
        ...     tables = fedlayers.run(algorithm=algorithm, rounds=1, clients=2, metrics=["evaluation"], figures=False)
        run: results/main/digits-fedavg-s0-...
        >>> sorted(fedlayers.comparison("results/main", baseline="local").algorithms["algorithm"].unique())
        ['fedavg', 'local']
    """
    reported = Reported(moment, round, clients)
    if not folders:
        raise UserError("comparison needs one folder or more, such as results/main, got none")
    places = [Path(folder).expanduser() for folder in folders]
    runs = _runs(places)
    sound = complete_runs(Tables(places[0], runs, several=True))
    found = compared(_records(sound, metric), metric, baseline, reported)
    used = {run.resolve() for run in sound}
    return replace(found, notes=(*found.notes, *(note for folder in places for note in _not_used(folder, used))))


def _records(runs: Sequence[Path], metric: str | None) -> dict[Path, pd.DataFrame]:
    """Return the clients' scores of some runs."""
    asked = {"metric": (*SCORES, *filter(None, [metric])), "scope": COMPARED_SCOPES}
    selection = Selection(asked, COLUMNS)
    return {run: to_pandas(table) for run, table in readable(lambda run: load(run, "records", selection), runs).items()}


def _runs(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the runs that folders are or hold, each once.

    Raises:
        UserError: there is no such folder, or it holds neither runs nor expected ones.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not (folder.is_dir() and is_run(folder)):
            study_status(folder)
        for run in (folder,) if is_run(folder) else run_folders(folder):
            found.setdefault(run.resolve(), run)
    return tuple(found.values())


def _not_used(folder: Path, used: Set[Path]) -> Iterator[str]:
    """Yield a sentence for each run of a folder that is not used: not there, not complete, or damaged."""
    if is_run(folder):
        facts = run_facts(folder)
        lost = [] if folder.resolve() in used else [f"{folder.name} ({facts['status']})"]
    else:
        others = [one for one in study_status(folder) if (folder / one.run).resolve() not in used]
        lost = [f"{one.run} ({', '.join(filter(None, (one.state, one.detail)))})" for one in others]
    yield from (f"not used: {run}" for run in lost[:_LISTED])
    if len(lost) > _LISTED:
        yield f"not used: {len(lost) - _LISTED} more, see python -m fedlayers.status {folder}"
