"""Matrices as small heat maps with one colour scale."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import shortened
from fedlayers.statistics.decades import spans_decades
from fedlayers.views.quantities import axis_label, value_of_itself

# Light to dark in print and for every kind of colour vision.
_COLOURS = ListedColormap(colormaps["YlGnBu"](np.linspace(0.05, 0.95, 256)))
_NUMBER_IN = 0.27
_MOST_NUMBERED = 8


def heat_maps(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    labels: Sequence[str],
    quantity: Facts,
    along: str,
    limits: tuple[float, float],
) -> Figure:
    """Return a panel per matrix; what is alike is dark, what has no value grey; few cells have their numbers in them.

    Args:
        rows: name of a row of panels -> title -> values, shape (m, m), NaN where there is none; one finite value or
            more. A single row is wrapped.
        labels: of rows and columns of the matrices, shape (m,).
        quantity: what the values are.
        along: what rows and columns of the matrices are.
        limits: the values at the two ends of the colour scale, see :func:`fedlayers.views.matrices.value_ends`.
    """
    matrices = [matrix for row in rows.values() for matrix in row.values()]
    titles = [title for row in rows.values() for title in row]
    side = min(max(_NUMBER_IN * len(labels), 1.2), 4.5 if len(matrices) < 3 else 2.2)
    margin = 0.3 + 0.055 * min(max(map(len, labels)), 24)
    border = (margin + 0.9, margin + 0.7)
    figure, panels = small_multiples(
        len(matrices), (side + 0.2, side + 0.3), border, len(matrices) // len(rows) if len(rows) > 1 else None
    )
    # Squares leave gaps otherwise.
    figure.set_layout_engine("compressed")
    values = np.stack(matrices)
    itself = value_of_itself(quantity)
    norm = LogNorm(*limits) if spans_decades(limits) else Normalize(*limits)
    lowest = label_borders(panels, along, along)
    for axes, title, matrix in zip(panels, titles, matrices, strict=True):
        image = _panel(axes, matrix, norm, dark_is_low=itself == 0.0)
        label_categories(axes, labels, inches=side)
        label_categories(axes, labels, inches=side, axis="y")
        axes.tick_params(labelbottom=axes in lowest, labelleft=bool(axes.get_ylabel()))
        if len(rows) == 1 or axes in panels[: len(panels) // len(rows)]:
            axes.set_title(shortened(title, 18), fontsize=8.5)
    if len(rows) > 1:
        for axes, name in zip(panels[:: len(panels) // len(rows)], rows, strict=True):
            axes.set_ylabel(f"{name}\n{along}")
    reading = ["dark: alike"] * bool(np.isfinite(itself)) + ["grey: no value"] * bool(np.isnan(values).any())
    label = axis_label(quantity) + (f"\n{', '.join(reading)}" if reading else "")
    figure.colorbar(image, ax=panels, label=label, fraction=0.05, pad=0.02, aspect=30)
    return figure


def _panel(axes: Axes, matrix: np.ndarray, norm: Normalize, dark_is_low: bool) -> AxesImage:
    colours = _COLOURS.reversed() if dark_is_low else _COLOURS
    # A thing's distance to itself, 0, is the end of a logarithmic scale.
    drawn = np.maximum(matrix, float(norm.vmin or 0)) if isinstance(norm, LogNorm) else matrix
    image = axes.imshow(np.ma.masked_invalid(drawn), cmap=colours, norm=norm, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    if len(matrix) <= _MOST_NUMBERED:
        _write_numbers(axes, matrix, norm, dark_is_low)
    return image


def _write_numbers(axes: Axes, matrix: np.ndarray, norm: Normalize, dark_is_low: bool) -> None:
    # Two decimals say nothing of values that are all smaller.
    small = max(abs(norm.vmin or 0.0), abs(norm.vmax or 0.0)) < 0.1
    for row, column in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
        value = float(matrix[row, column])
        text = f"{value:.1g}" if small else f"{value:.2f}" if abs(value) < 10 else f"{value:.2g}"
        share = norm(max(value, norm.vmin or value))
        darkness = 1 - share if dark_is_low else share
        colour = "white" if darkness > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
