"""A run in TensorBoard's event files."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from fedlayers.core.checks import check_path
from fedlayers.core.machine.disk import disk_errors, make_folder, write_text
from fedlayers.export.trackers.event_file import PATTERN, EventFile, file_name
from fedlayers.export.trackers.outlet import Outlet, Sink, name_of, settings_of
from fedlayers.export.trackers.values import RoundValues
from fedlayers.opening.run import Run

_MARK = "whole.json"
# Of which scalars runs are compared beside their hyperparameters: not those of each client.
_COMPARED = ("accuracy/", "loss/")


class TensorBoard(Outlet):
    """Writes event files: ``tensorboard --logdir results/<study>`` shows all runs of a study.

    Numbers and histograms stand at their round, figures and the configuration (as text and as hyperparameters) at the
    last one. A run that continues is written anew from its tables: no round twice, and none missing.

    Args:
        folder: a folder for all runs, ``<folder>/<study>/<run>``; None for ``tensorboard/`` in each run's own folder.
        clients: see :class:`fedlayers.export.trackers.outlet.Outlet`.
    """

    library, package = "tensorboard", "tensorboard"

    def __init__(self, folder: str | None = None, clients: bool = True) -> None:
        super().__init__(clients)
        if folder is not None:
            check_path("tracking.tensorboard.folder", folder)
        self.folder = folder

    def place(self, run: Run) -> str:
        """Return the folder of the event files."""
        own = run.folder.absolute()
        return str(own / "tensorboard" if self.folder is None else Path(self.folder) / own.parent.name / own.name)

    def existing(self, run: Run) -> str | None:
        """Return the folder if it holds all of this run."""
        mark = Path(self.place(run)) / _MARK
        return self.place(run) if mark.is_file() and mark.read_text(encoding="utf-8") == _told(run) else None

    def open(self, run: Run) -> Sink:
        """Return new event files in place of those there."""
        self.needs_library()
        return _Events(Path(self.place(run)), run)


def _told(run: Run) -> str:
    return json.dumps({"run": name_of(run), "rounds": run.facts.get("rounds")})


class _Events(Sink):
    """Event files in a folder of their own, written from the first round on."""

    def __init__(self, folder: Path, run: Run) -> None:
        from torch.utils.tensorboard.summary import text

        self._folder, self._run, self._settings = folder, run, settings_of(run)
        with disk_errors(folder, of_a_run=False):
            make_folder(folder)
            (folder / _MARK).unlink(missing_ok=True)
            for old in folder.glob(PATTERN):
                old.unlink()
            self._file = EventFile(folder / file_name())
        lines = "\n".join(f"    {key}: {value}" for key, value in self._settings.items())
        self._file.add(text("configuration", lines))  # type: ignore[no-untyped-call]

    def log(self, values: RoundValues) -> None:
        """Add a round and put it on the disk."""
        with disk_errors(self._folder, of_a_run=False):
            self._add(values)
            self._file.flush()

    def _add(self, values: RoundValues) -> None:
        from torch.utils.tensorboard.summary import histogram_raw, scalar

        number = values.number
        for name, value in values.scalars.items():
            self._file.add(scalar(name, value), number)  # type: ignore[no-untyped-call]
        for name, one in values.histograms.items():
            middles = (one.edges[1:] + one.edges[:-1]) / 2
            sums = float((one.counts * middles).sum()), float((one.counts * middles**2).sum())
            # The first count is of what lies below the first edge.
            limits, counts = one.edges.tolist(), [0.0, *one.counts.tolist()]
            ends = float(one.edges[0]), float(one.edges[-1])
            summary = histogram_raw(name, *ends, float(one.counts.sum()), *sums, limits, counts)  # type: ignore[no-untyped-call]
            self._file.add(summary, number)

    def finish(self, last: RoundValues, figures: Mapping[str, Path]) -> None:
        """Add the end, figures as they are, and the settings as hyperparameters."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard.summary import hparams

        with disk_errors(self._folder, of_a_run=False):
            self._add(last)
            for name, path in figures.items():
                data = path.read_bytes()
                width, height = struct.unpack(">II", data[16:24])
                image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=data)
                self._file.add(Summary(value=[Summary.Value(tag=name, image=image)]), last.number)
            plain = {key: value for key, value in self._settings.items() if isinstance(value, str | int | float)}
            shown = {
                name: 0.0
                for name in last.scalars
                if name.startswith(_COMPARED) and not name.split("/")[-1][-1].isdigit()
            }
            for summary in hparams(plain, shown):  # type: ignore[no-untyped-call]
                self._file.add(summary)
            self._file.flush()
            write_text(self._folder / _MARK, _told(self._run))

    def close(self) -> None:
        """Close the files."""
        self._file.close()
