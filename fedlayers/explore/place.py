"""The folder that is explored: which runs it holds, and that nothing outside of it is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.spelling import in_brackets
from fedlayers.explore.mistakes.statuses import NotThere
from fedlayers.runs.reading.run_facts import is_run, run_folders

# What the service reads of a run beside the files that stand in its folder itself.
_READ = ("records", "pairs", "spectra", "resources", "snapshots", "arrays")
_NAMED = 5


@dataclass(frozen=True)
class Place:
    """A run's folder or a study's, and what may be read of it.

    Attributes:
        root: the folder, without symbolic links.
        is_run: whether it is one run's; else it is a study's.
    """

    root: Path
    is_run: bool

    @classmethod
    def at(cls, folder: Path) -> "Place":
        """Return the place that a user names.

        Raises:
            UserError: there is no such folder, or it is neither a run's nor a study's.
        """
        place = folder.expanduser()
        if not place.is_dir():
            raise UserError(f"there is no folder {folder}: give results/<study>/<run> or results/<study>")
        own = is_run(place)
        if not own and not run_folders(place):
            raise UserError(
                f"{folder} is neither a run folder (no run.json in it) nor a study folder (no run folders in it): "
                "give results/<study>/<run> or results/<study>, or run the study first"
            )
        return cls(place.resolve(), own)

    def names(self) -> list[str]:
        """Return the names of the runs there are now."""
        if self.is_run:
            return [self.root.name]
        return [folder.name for folder in run_folders(self.root) if self._stays(folder)]

    def run(self, name: str) -> Path:
        """Return the folder of a run.

        Raises:
            NotThere: there is no such run.
            UserError: a file of it is a symbolic link to somewhere else.
        """
        names = self.names()
        if name not in names:
            some = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            raise NotThere(f"run must be one of {some}, got {name!r}{in_brackets(name, names)}")
        folder = self.root if self.is_run else self.root / name
        check_links(folder, self.root)
        return folder

    def _stays(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)


def check_links(run: Path, root: Path) -> None:
    """Check that what is read of a run lies within a folder.

    Args:
        run: the run's folder.
        root: the folder, without symbolic links.

    Raises:
        UserError: a file of the run is a symbolic link to somewhere else.
    """
    for folder in (run, *(run / name for name in _READ)):
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                raise UserError(
                    f"{entry.name} of run {run.name} is a symbolic link to a place outside of the folder that is "
                    "explored: put the file itself there"
                )
