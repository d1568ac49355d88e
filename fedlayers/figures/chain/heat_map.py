"""Heat maps of one metric: runs, or rounds of a run, by layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.style import headline, new_figure, shortened
from fedlayers.statistics.decades import spans_decades
from fedlayers.statistics.scale_ends import scale_ends
from fedlayers.views.chain.heat_map import LayerTable
from fedlayers.views.quantities import axis_label

_CELL_IN = (0.55, 0.28)
_MOST_NUMBERED = 200
_LABEL_IN = 0.075
_MOST_LETTERS = 56


def heat_map(table: LayerTable, quantity: Facts, facts: Mapping[str, Any], *notes: str) -> Figure:
    """Return one metric's values as colours, the numbers written into the cells if they are few.

    Args:
        table: the values; one finite one or more.
        quantity: whose values they are.
        facts: for the title.
        notes: what else the title says.
    """
    rows, layers = table.values.shape
    width, height = min(max(_CELL_IN[0] * layers, 2.2), 8.0), min(max(_CELL_IN[1] * rows, 0.8), 9.0)
    margin = 0.4 + _LABEL_IN * min(max(map(len, table.rows)), _MOST_LETTERS)
    figure = new_figure(width + margin + 1.2, height + 1.5)
    axes = figure.subplots()
    limits = scale_ends(table.values, np.full(table.values.shape, np.nan), quantity.limits, np.nan)
    norm = LogNorm(*limits) if spans_decades(limits) else Normalize(*limits)
    image = axes.imshow(
        np.ma.masked_invalid(table.values), cmap=colormaps["viridis"], norm=norm, aspect="auto", interpolation="nearest"
    )
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    label_categories(axes, table.layers, inches=width)
    shown = [shortened(name, _MOST_LETTERS) for name in table.rows]
    step = max(1, round(0.15 * rows / height))
    axes.set_yticks(range(0, rows, step), shown[::step])
    if table.values.size <= _MOST_NUMBERED:
        _write_numbers(axes, table.values, norm)
    missing = "\ngrey: no value" if np.isnan(table.values).any() else ""
    figure.colorbar(image, ax=axes, label=axis_label(quantity) + missing, fraction=0.05, pad=0.03)
    headline(figure, facts, *notes)
    return figure


def _write_numbers(axes: Axes, values: np.ndarray, norm: Normalize) -> None:
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = float(values[row, column])
        colour = "black" if norm(value) > 0.6 else "white"
        axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=6.5, color=colour)
