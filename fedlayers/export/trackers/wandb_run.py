"""A run in Weights & Biases."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlayers.core.checks import check_path, one_of
from fedlayers.core.machine.disk import disk_errors, make_folder, write_text
from fedlayers.export.trackers.outlet import Outlet, Sink, name_of, settings_of
from fedlayers.export.trackers.values import RoundValues
from fedlayers.opening.run import Run

# Long enough for a slow server, short enough for a run that ends.
_TIMEOUT_S = 30


class WeightsAndBiases(Outlet):
    """Writes a run of Weights & Biases, at first on the disk alone: ``wandb sync`` sends it.

    ``round`` is the x axis of everything; figures and what was measured at the end stand at the last round. A run that
    continues has the same id: offline it is written anew from its tables, online it goes on after the last round there.

    Args:
        mode: ``offline`` (no account, no network) or ``online``.
        project: where it is shown; None for the study's name.
        folder: below which ``wandb/`` lies; None for each run's own folder.
        clients: see :class:`fedlayers.export.trackers.outlet.Outlet`.
    """

    library = package = "wandb"

    def __init__(
        self, mode: str = "offline", project: str | None = None, folder: str | None = None, clients: bool = True
    ) -> None:
        super().__init__(clients)
        one_of("tracking.wandb.mode", mode, ("offline", "online"))
        if folder is not None:
            check_path("tracking.wandb.folder", folder)
        self.mode, self.project, self.folder = mode, project, folder

    def place(self, run: Run) -> str:
        """Return the folder in which the run's files lie."""
        return str((run.folder.absolute() if self.folder is None else Path(self.folder).absolute()) / "wandb")

    def existing(self, run: Run) -> str | None:
        """Return the folder if all of this run was written there."""
        mark = self.mark(run)
        return self.place(run) if mark.is_file() and mark.read_text(encoding="utf-8") == _told(run) else None

    def mark(self, run: Run) -> Path:
        """Return the file that says that a run is whole."""
        return Path(self.place(run)) / f"whole-{_id(run)}.json"

    def open(self, run: Run) -> Sink:
        """Return the run's place, and forget what was written of it on the disk alone."""
        self.needs_library()
        import wandb

        folder = Path(self.place(run))
        with disk_errors(folder, of_a_run=False):
            make_folder(folder)
            self.mark(run).unlink(missing_ok=True)
            for old in folder.glob(f"offline-run-*-{_id(run)}") if self.mode == "offline" else ():
                shutil.rmtree(old)
        project = self.project or str(run.facts.get("study") or "fedlayers")
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, login_timeout=_TIMEOUT_S,
            init_timeout=_TIMEOUT_S, finish_timeout=_TIMEOUT_S,
        )  # fmt: skip
        made = wandb.init(
            project=re.sub(r"[^\w.-]+", "_", project), name=run.folder.absolute().name, id=_id(run), resume="allow",
            mode="online" if self.mode == "online" else "offline", dir=str(folder.parent), settings=quiet,
            config=settings_of(run), reinit="create_new",
        )  # fmt: skip
        return _WandbRun(made, self.mark(run), run)


def _id(run: Run) -> str:
    return hashlib.sha256(name_of(run).encode()).hexdigest()[:12]


def _told(run: Run) -> str:
    return json.dumps({"run": name_of(run), "rounds": run.facts.get("rounds")})


class _WandbRun(Sink):
    """A run of theirs."""

    def __init__(self, made: Any, mark: Path, run: Run) -> None:
        self._made, self._mark, self._run = made, mark, run
        made.define_metric("*", step_metric="round")
        self.last = int(made.summary.get("round", -1)) if made.resumed else -1

    def log(self, values: RoundValues) -> None:
        """Add a round."""
        self._made.log({"round": values.number, **_as_theirs(values)})

    def finish(self, last: RoundValues, figures: Mapping[str, Path]) -> None:
        """Add the end and the figures."""
        import wandb

        images = {name: wandb.Image(str(path)) for name, path in figures.items()}
        self._made.log({"round": last.number, **_as_theirs(last), **images})
        self._made.finish()
        with disk_errors(self._mark, of_a_run=False):
            write_text(self._mark, _told(self._run))

    def close(self) -> None:
        """Say that nothing more comes from this process."""
        self._made.finish()


def _as_theirs(values: RoundValues) -> dict[str, Any]:
    import wandb

    histograms = {
        name: wandb.Histogram(np_histogram=(one.counts.tolist(), one.edges.tolist()))
        for name, one in values.histograms.items()
    }
    return {**values.scalars, **histograms}
