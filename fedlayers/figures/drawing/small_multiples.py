"""A grid of small panels of the same kind."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.drawing.style import new_figure

_WIDEST = 11.0


def small_multiples(
    panels: int,
    panel_in: tuple[float, float],
    border_in: tuple[float, float] = (0.4, 1.3),
    columns: int | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, row by row; the first row may be shorter than the others.

    Args:
        panels: how many, 1 or more.
        panel_in: width and height of one panel, in inches.
        border_in: width and height of what is around all panels: labels, title, legend.
        columns: panels side by side; None for as many as make the figure compact and fit a page.
    """
    width, height = panel_in
    if columns is None:
        columns = _columns(panels, width, height)
    rows = math.ceil(panels / columns)
    figure = new_figure(max(width * columns + border_in[0], 4.2), height * rows + border_in[1])
    grid = figure.subplots(rows, columns, squeeze=False)
    first = panels - columns * (rows - 1)
    for axes in grid[0, first:]:
        axes.remove()
    return figure, [*grid[0, :first], *grid[1:].flat]


def _columns(panels: int, width_in: float, height_in: float) -> int:
    """Return the number of columns that gives few empty places in a figure about 1.6 times as wide as high."""
    ideal = math.sqrt(1.6 * panels * height_in / width_in)
    allowed = range(min(2, panels), max(min(panels, int(_WIDEST / width_in)), 1) + 1)
    return min(allowed, key=lambda columns: -panels % columns + abs(columns - ideal) / 2)


def label_borders(panels: Sequence[Axes], below: str = "", left: str = "") -> list[Axes]:
    """Label the x axes of the last row and the y axes of the first column.

    Returns:
        The panels of the last row.
    """
    lowest = []
    for axes in panels:
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel(left)
        if place is not None and place.is_last_row():
            axes.set_xlabel(below)
            lowest.append(axes)
    return lowest
