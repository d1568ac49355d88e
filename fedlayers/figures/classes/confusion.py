"""Which class was taken for which: counts, or shares of each true class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.style import headline, new_figure
from fedlayers.views.confusions import Confusion

# Light to dark in print and for every kind of colour vision; zero is white.
_COLOURS = ListedColormap(["white", *colormaps["YlGnBu"](np.linspace(0.08, 0.98, 255))])
_MOST_NUMBERED = 20
_CELL_IN = 0.36


def confusion_matrix(confusion: Confusion, facts: Mapping[str, Any], normalized: bool = False) -> Figure:
    """Return the matrix of true by predicted classes, the numbers written into its cells if there are few.

    Args:
        confusion: the counts; classes without examples have no shares and are grey.
        facts: of the run, for the title.
        normalized: whether each row is divided by its sum.
    """
    values = confusion.shares if normalized else confusion.counts.astype(float)
    side = min(max(_CELL_IN * len(values), 1.8), 7.2)
    figure = new_figure(side + 2.1, side + 1.5)
    axes = figure.subplots()
    top = 1.0 if normalized else max(float(values.max()), 1.0)
    norm = Normalize(0, top)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=_COLOURS, norm=norm, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    label_categories(axes, confusion.classes, inches=side)
    label_categories(axes, confusion.classes, inches=side, axis="y")
    axes.set(xlabel="predicted class", ylabel="true class")
    label = "share of the true class" if normalized else "examples"
    figure.colorbar(image, ax=axes, label=label, fraction=0.046, pad=0.03)
    if len(values) <= _MOST_NUMBERED:
        _write_numbers(axes, values, norm, normalized)
    total = int(confusion.counts.sum())
    right = f"accuracy {np.trace(confusion.counts) / total:.3f} of {total:,}" if total else "no examples"
    headline(figure, facts, *confusion.what, right)
    return figure


def _write_numbers(axes: Axes, values: np.ndarray, norm: Normalize, normalized: bool) -> None:
    for row, column in zip(*np.nonzero(np.nan_to_num(values)), strict=True):
        value = float(values[row, column])
        text = f"{value:.2f}" if normalized else f"{value:.0f}"
        colour = "white" if norm(value) > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
