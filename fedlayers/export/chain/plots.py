"""The plots of a run under the names that the chain of metric predictors gives them."""

from dataclasses import replace
from pathlib import Path

from fedlayers.export.chain.log_lines import QUANTITIES
from fedlayers.figures.available import figures_in
from fedlayers.figures.draw import draw
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.opening.run import Run

# Our figure -> their name.
_NAMES = {
    "learning_curves": "basic_training_curves",
    "confusion_matrix": "confusion_matrix",
    "confusion_matrix_normalized": "confusion_matrix_normalized",
    "research_questions": "research_questions",
    "all_metrics_overview": "all_metrics_overview_val",
    "metric_distributions": "metric_distributions_val",
    "layer_progression": "layer_progression_analysis",
    "correlation_matrix": "correlation_matrix_val",
}
# Our kind of figure of one metric -> their name, with their metric's name in it.
_OF_A_METRIC = {
    "heatmap": "heatmap_{}_val",
    "timeline": "timeline_{}_all",
    "train_val_comparison": "train_val_comparison_{}",
    "layer_profile": "layer_profile_{}_val",
}


def draw_plots(run: Run, folder: Path) -> list[Path]:
    """Draw those of a run's figures that the original has, too, and return the files."""
    figures = ((figure, _name(figure)) for figure in figures_in(run.tables))
    return draw(
        [replace(figure, family=name, metric=None, part=None) for figure, name in figures if name], folder, ("png",)
    )


def _name(figure: Drawing) -> str | None:
    """Return their name of a figure; None if they have none."""
    if figure.metric in QUANTITIES and figure.family in _OF_A_METRIC:
        return _OF_A_METRIC[figure.family].format(QUANTITIES[figure.metric])
    return _NAMES.get(figure.name)
