"""What every format that runs are written in has in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from fedlayers.config.building import build_plugins
from fedlayers.core.machine.disk import disk_errors, make_folder
from fedlayers.opening.run import Run


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        folder: where; of a tracker that has an address of its own, the run's.
        notes: what is not among it and why, a sentence each.
        address: of the run in a tracker.
    """

    folder: Path
    notes: tuple[str, ...] = ()
    address: str | None = None

    @property
    def where(self) -> str:
        """The address, or else the folder."""
        return self.address or str(self.folder)


class Exporter(ABC):
    """Writes finished runs in the files of another program; ``export=[<its name>]`` chooses it for a run."""

    @abstractmethod
    def existing(self, run: Run) -> Path | str | None:
        """Return where this run, with as many rounds, has been written before; None if it has not."""

    @abstractmethod
    def write(self, run: Run) -> Written:
        """Write a run, all of it or nothing.

        Raises:
            UserError: it has been written before, or lacks what the format cannot do without.
        """


def exporters(export: Mapping[str, Any]) -> dict[str, Exporter]:
    """Return the exporters of a configuration by name.

    Args:
        export: name -> ``_target_`` and its arguments, or None for one that was taken away again.

    Raises:
        UserError: one cannot be built.
    """
    return build_plugins("export", export, Exporter, "a subclass of fedlayers.export.exporter.Exporter")


@contextmanager
def whole_folder(scratch: Path) -> Iterator[Path]:
    """Yield an empty folder to write into, which is gone after an error; what a killed process left is removed first.

    Args:
        scratch: its path, with a name that starts with a dot; whoever has written everything renames it.
    """
    with disk_errors(scratch, of_a_run=False):
        rmtree(scratch, ignore_errors=True)
        make_folder(scratch)
        try:
            yield scratch
        finally:
            rmtree(scratch, ignore_errors=True)
