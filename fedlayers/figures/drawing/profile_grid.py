"""A grid of layer profiles: a row of panels per quantity or variant, the first and the last round side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.style import new_figure
from fedlayers.views.numbered import names_in
from fedlayers.views.places import LayerAxis


@dataclass(frozen=True)
class Cell:
    """One axes of a grid and what belongs into it.

    Attributes:
        axes: where to draw.
        panel: the number of its row of panels.
        rows: of this panel and column.
        title: that of the column at the top of the grid, else empty.
    """

    axes: Axes
    panel: int
    rows: pd.DataFrame
    title: str


@dataclass(frozen=True)
class ProfileGrid:
    """A figure of layer profiles.

    Attributes:
        figure: it.
        rows: what it shows, of a view with ``place, norm, panel, panel_name, column, column_name``.
        panels: the number of each row of panels and its axes, from left to right.
    """

    figure: Figure
    rows: pd.DataFrame
    panels: dict[int, Sequence[Axes]]

    def cells(self) -> Iterator[Cell]:
        """Yield each axes with what belongs into it, row by row."""
        columns = names_in(self.rows, "column")
        for place, (panel, line) in enumerate(self.panels.items()):
            of_panel = self.rows[self.rows["panel"] == panel]
            for axes, (column, title) in zip(line, columns.items(), strict=True):
                yield Cell(axes, panel, of_panel[of_panel["column"] == column], "" if place else title)

    def lines(self) -> Iterator[tuple[Axes, pd.DataFrame, str]]:
        """Yield the left axes of each row of panels, all rows of the panel and its name."""
        names = names_in(self.rows, "panel")
        for panel, line in self.panels.items():
            yield line[0], self.rows[self.rows["panel"] == panel], names[panel]

    def left_out(self, what: str) -> str:
        """Return how many panels there is no room for, with these words; empty if all are shown."""
        more = len(names_in(self.rows, "panel")) - len(self.panels)
        return f"{more} {what}" if more else ""


def profile_grid(rows: pd.DataFrame, most_panels: int, heights: tuple[float, float]) -> ProfileGrid:
    """Return an empty grid whose x axes are layers.

    Args:
        rows: of a view with ``place, norm, panel, panel_name, column, column_name``.
        most_panels: so many rows of panels at most.
        heights: of what is around all panels and of each panel, in inches.
    """
    axis = LayerAxis.of(rows)
    panels = list(names_in(rows, "panel"))[:most_panels]
    width, columns = axis_width(len(axis.names)), len(names_in(rows, "column"))
    border, height = heights
    figure = new_figure(width * columns, border + height * len(panels))
    grid = figure.subplots(len(panels), columns, sharex=True, sharey="row", squeeze=False)
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    return ProfileGrid(figure, rows, dict(zip(panels, grid, strict=True)))
