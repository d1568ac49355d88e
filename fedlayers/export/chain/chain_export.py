"""A run in the files of the chain of metric predictors, which its validator and its scripts read."""

import errno
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
import yaml

from fedlayers.core.checks import check, check_path
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import whole_file, write_text
from fedlayers.export.assessment_files import save_tests
from fedlayers.export.chain.log_lines import log_lines
from fedlayers.export.chain.parameters import parameters
from fedlayers.export.chain.plots import draw_plots
from fedlayers.export.chain.weights import in_their_names
from fedlayers.export.exporter import Exporter, Written, whole_folder
from fedlayers.opening.assessment import assess
from fedlayers.opening.run import Run

_PARAMS, _LOG = "params.yaml", "log.jsonl"


class ChainExport(Exporter):
    """Writes ``<folder>/<data set>/<model>/<number>_<date>/``, the number one more than the highest there.

    The folder holds ``params.yaml``, ``log.jsonl``, ``best.pt`` and ``last.pt`` (``torch.load(weights_only=True)``),
    ``test_results.json``, ``confusion.npy`` and ``class_report.json`` of the best model on the server's test set, and
    plots under the original's names. What a run has not kept or measured is left out, and the log says less.

    Args:
        folder: below which runs are written.

    References:
        github.com/FedericoRubbi/chain-of-metric-predictors.
    """

    def __init__(self, folder: str = "runs") -> None:
        check_path("export.chain.folder", folder)
        place = Path(folder)
        nearest = next(path for path in (place, *place.absolute().parents) if path.exists())
        allowed = "a folder, or a name for a new one"
        check(nearest.is_dir(), "export.chain.folder", allowed, folder, f"{nearest} is a file")
        self.folder = place

    def existing(self, run: Run) -> Path | None:
        """Return where this run, with as many rounds, has been written before; None if it has not."""
        told = _mark(run)
        found = (file for file in self._place(run).glob(f"*/{_PARAMS}") if told in file.read_text(encoding="utf-8"))
        return next((file.parent for file in sorted(found)), None)

    def write(self, run: Run) -> Written:
        """Write a run, all of it or nothing.

        Raises:
            UserError: it has been written before, or is not finished.
        """
        if before := self.existing(run):
            raise UserError(f"{before} exists already and holds {run.folder}: delete it, or export into another folder")
        if run.facts["status"] != "complete":
            raise UserError(f"{run.folder} is {run.facts['status']}: a run is exported when it is complete")
        with whole_folder(self._place(run) / f".{run.folder.name}") as scratch:
            notes = tuple(_fill(scratch, run))
            return Written(_numbered(scratch, datetime.fromtimestamp(run.facts["stretches"][0]["began"])), notes)

    def _place(self, run: Run) -> Path:
        told = parameters(run)
        return self.folder / str(told["dataset"]) / str(told["model"])


def _numbered(scratch: Path, began: datetime) -> Path:
    """Rename what is written to the next number: another process may take it first."""
    while True:
        names = (folder.name.partition("_")[0] for folder in scratch.parent.iterdir())
        number = max((int(name) for name in names if name.isdecimal()), default=0) + 1
        try:
            return scratch.rename(scratch.parent / f"{number:04d}_{began:%Y-%m-%d_%H-%M-%S}")
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


def _fill(folder: Path, run: Run) -> Iterator[str]:
    """Write all files; yield what cannot be written and why."""
    told, best = parameters(run), run.facts.get("best")
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    write_text(folder / _PARAMS, f"{text}# {_mark(run)}\n")
    lines, missing = log_lines(run)
    write_text(folder / _LOG, "".join(f"{line}\n" for line in lines))
    yield from missing
    for name, number in {"best": best["round"] if best else None, "last": run.facts["round"]}.items():
        try:
            weights = run.weights("best" if number is None else number)
        except UserError as error:
            yield f"there is no {name}.pt: {error}"
            continue
        with whole_file(folder / f"{name}.pt") as file:
            torch.save({"model": in_their_names(weights, told), "cfg": told}, file)
    try:
        found = assess(run, "best" if best else "last")
    except UserError as error:
        yield f"there are no test results: {error}"
    else:
        save_tests(found, folder, {})
    draw_plots(run, folder)


def _mark(run: Run) -> str:
    """Return what names the run in its parameters."""
    return f"written from {run.facts['study']}/{run.folder.name} after {run.facts['rounds']} rounds"
