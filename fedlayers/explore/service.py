"""What all routes answer from."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi import Path as InPath

from fedlayers.core.errors import UserError
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.explore.annotations import Annotations
from fedlayers.explore.answers import RunAnswers
from fedlayers.explore.place import Place
from fedlayers.explore.remembered import Remembered
from fedlayers.explore.slices import TablesInMemory
from fedlayers.explore.slow.jobs import SlowJobs
from fedlayers.explore.slow.kept import Kept
from fedlayers.explore.watching import Watcher
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables


@dataclass(frozen=True)
class Service:
    """What all routes answer from.

    Attributes:
        place: the folder that is explored.
        answers: what its runs' charts show, and their tables in memory.
        watcher: tells when runs go on.
        leaving: says whether the service is about to end.
        jobs: slow work.
    """

    place: Place
    answers: RunAnswers = field(default_factory=RunAnswers)
    watcher: Watcher = field(init=False)
    leaving: Callable[[], bool] = lambda: False
    jobs: SlowJobs = field(default_factory=lambda: SlowJobs(Kept(cache_root() / "explore")))

    def __post_init__(self) -> None:
        """Watch the runs of the place."""
        object.__setattr__(self, "watcher", Watcher(self.place))

    @property
    def tables(self) -> TablesInMemory:
        """Tables of the runs, in memory."""
        return self.answers.tables

    @property
    def remembered(self) -> Remembered:
        """Small results of runs."""
        return self.answers.remembered

    def tables_of(self, runs: Sequence[Path], columns: Sequence[str] = (), **filters: Any) -> Tables:
        """Return tables for a chart, see :meth:`fedlayers.explore.answers.RunAnswers.tables_of`."""
        place = runs[0] if len(runs) == 1 else self.place.root
        return self.answers.tables_of(place, runs, columns, **filters)

    def complete_runs(self) -> list[Path]:
        """Return the folders of the runs that are complete and whole enough to say so."""
        found = []
        for name in self.place.names():
            with suppress(UserError):
                folder = self.place.run(name)
                found += [folder] if run_facts(folder)["status"] == "complete" else []
        return found

    def annotations(self, run: Path) -> Annotations:
        """Return what people have noted about a run."""
        return Annotations(run)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]


def _folder(service: Served, run: Annotated[str, InPath(description="A run's name.", max_length=255)]) -> Path:
    return service.place.run(run)


# The folder of the run that a route's path names.
RunFolder = Annotated[Path, Depends(_folder)]


def _folders(
    service: Served,
    run: Annotated[
        tuple[str, ...], Query(max_length=1000, description="Names of runs; all of the place if none is named.")
    ] = (),
) -> list[Path]:
    return [service.place.run(name) for name in dict.fromkeys(run or service.place.names())]


# The folders of the runs that a route's parameters name.
RunFolders = Annotated[list[Path], Depends(_folders)]
