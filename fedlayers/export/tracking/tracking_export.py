"""A run's classes, training dynamics and resources as figures, in the folders that trackers write."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlayers.core.checks import check_path
from fedlayers.core.errors import UserError
from fedlayers.export.exporter import Exporter, Written, whole_folder
from fedlayers.export.tracking.resources import resource_figures
from fedlayers.export.tracking.weights import gradient_and_weight_figures
from fedlayers.figures.training.attention import attention_figures
from fedlayers.figures.training.batch_sizes import HOW, batch_size_figures
from fedlayers.figures.training.class_scores import class_figures
from fedlayers.figures.training.drawn import drawn
from fedlayers.opening.run import Run
from metrics.tracking.drawing import look, save

Figures = Mapping[str, Callable[[], Any]]
# Folder -> who says what can be drawn into it, and how a run comes to have what is lacking.
_FOLDERS: Mapping[str, tuple[tuple[Callable[[Run], Figures], str], ...]] = {
    "class_metrics": ((lambda run: class_figures(run.tables), "class scores (metrics=[classes])"),),
    "training_dynamics": (
        (gradient_and_weight_figures, "gradients and weights of layers (metrics=[dynamics], [gradients] or [weights])"),
        (lambda run: attention_figures(run.tables), "attention (metrics=[attention], of a model that attends)"),
    ),
    "resource_usage": (
        (resource_figures, "times (metrics=[resources])"),
        (lambda run: batch_size_figures(run.folder), HOW),
    ),
}


class TrackingExport(Exporter):
    """Writes ``<folder>/<run>/`` with ``class_metrics``, ``training_dynamics`` and ``resource_usage``: PNG files.

    Class distribution by tier, scores and curves by tier, gradient flow, weights over time, attention, memory, times of
    parts and throughput, each as far as the run's tables hold what it shows; notes say what they lack.

    Args:
        folder: below which runs are written.
    """

    def __init__(self, folder: str = "visualizations") -> None:
        check_path("export.tracking.folder", folder)
        self.folder = Path(folder)

    def existing(self, run: Run) -> Path | None:
        """Return where this run has been written before; None if it has not."""
        place = self.folder / run.folder.absolute().name
        return place if place.exists() else None

    def write(self, run: Run) -> Written:
        """Draw all there is, all of it or nothing.

        Raises:
            UserError: it has been written before.
        """
        if before := self.existing(run):
            raise UserError(f"{before} exists already: delete it, or export into another folder")
        name, notes = run.folder.absolute().name, []
        with whole_folder(self.folder / f".{name}") as scratch:
            for folder, sources in _FOLDERS.items():
                for source, what in sources:
                    made = source(run)
                    for stem, make in made.items():
                        _draw(make, scratch / folder / f"{stem}.png", "stretches" in run.facts)
                    notes += [] if made else [f"{folder} lacks {what}"]
            scratch.rename(self.folder / name)
        return Written(self.folder / name, tuple(notes))


def _draw(make: Callable[[], Any], path: Path, of_rounds: bool) -> None:
    with look():
        save(drawn(make, of_rounds), path)
