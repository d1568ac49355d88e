"""The plots of a run under the names that the chain of metric predictors gives them."""

from dataclasses import replace
from pathlib import Path

from fedlayers.figures.available import figures_in
from fedlayers.figures.draw import draw
from fedlayers.opening.run import Run

# Our figure -> their name.
NAMES = {
    "learning_curves": "basic_training_curves",
    "confusion_matrix": "confusion_matrix",
    "confusion_matrix_normalized": "confusion_matrix_normalized",
    "research_questions": "research_questions",
}


def draw_plots(run: Run, folder: Path) -> list[Path]:
    """Draw those of a run's figures that the original has, too, and return the files."""
    found = [
        replace(figure, family=NAMES[figure.name], metric=None, part=None)
        for figure in figures_in(run.tables)
        if figure.name in NAMES
    ]
    return draw(found, folder, ("png",))
