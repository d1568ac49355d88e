"""A run opened again in Python: what its folder holds, with the figures that can be drawn of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedlayers.commands.reading import Tables, of
from fedlayers.core.errors import UserError
from fedlayers.opening import run
from fedlayers.runs.reading.run_facts import is_run


@dataclass(frozen=True)
class Run(run.Run):
    """A run's folder, each part read or built when it is first asked for.

    See :class:`fedlayers.opening.run.Run` for what it holds.
    """

    @cached_property
    def tables(self) -> Tables:
        """All tables, and the figures that can be drawn of them."""
        return self._tables((), {})

    def _tables(self, columns: Sequence[str], filters: Mapping[str, Any]) -> Tables:
        return of(super()._tables(columns, filters))


def open(folder: str | Path) -> Run:
    """Return a run opened again: its configuration, data, models and tables.

    Args:
        folder: ``results/<study>/<run>``; also one that is still going on, or of a training loop of one's own.

    Raises:
        UserError: it is no run's folder.

    Examples:
        >>> import fedlayers
        >>> tables = fedlayers.run(rounds=1, clients=2, metrics=["weights"], figures=False)
        run: results/main/digits-fedavg-s0-...
        >>> run = fedlayers.open(tables.path)
        >>> run.config.rounds, run.data.num_clients
        (1, 2)
        >>> [name for name, _ in run.model(1).named_children()]
        ['flatten', 'fc1', 'relu1', 'fc2']
    """
    place = Path(folder).expanduser()
    if not place.is_dir() or not is_run(place):
        raise UserError(
            f"{place} is not a run folder: give results/<study>/<run>; fedlayers.read takes a study as well"
        )
    return Run(place)
