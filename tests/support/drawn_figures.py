"""Reads back what a figure shows, for tests."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure


def drawn(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return label -> x and y of the lines of an axes."""
    lines = {str(line.get_label()): line for line in axes.lines}
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            lines[str(container.get_label())] = container[0]
    return {label: (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for label, line in lines.items()}


def bars(axes: Axes) -> dict[str, np.ndarray]:
    """Return label -> length of the error bars to either side, shape (n,); only lines that have some."""
    found = {}
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer) and container.has_yerr:
            segments = container[2][0].get_segments()
            lengths = [np.ptp(np.asarray(segment)[:, 1]) / 2 if len(segment) else np.nan for segment in segments]
            found[str(container.get_label())] = np.array(lengths)
    return found


def bands(axes: Axes) -> dict[str, tuple[float, float]]:
    """Return label -> lowest and highest point of every labelled filled area."""
    return {
        str(area.get_label()): (float(ends.min()), float(ends.max()))
        for area in axes.collections
        if not str(area.get_label()).startswith("_") and area.get_paths()
        for ends in [np.asarray(area.get_paths()[0].vertices)[:, 1]]
    }


def legend_of(figure: Figure) -> list[str]:
    """Return the texts of the figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def overlapping(figure: Figure) -> list[str]:
    """Return titles and tick labels that overlap another one of the same kind."""
    figure.draw_without_rendering()
    kinds = [[axes.title for axes in figure.axes]]
    kinds += [labels for axes in figure.axes for labels in (axes.get_xticklabels(), axes.get_yticklabels())]
    found = []
    for texts in kinds:
        shown = [text for text in texts if text.get_text() and text.get_visible() and text.get_rotation() != 45]
        boxes = [text.get_window_extent() for text in shown]
        found += [
            text.get_text()
            for place, text in enumerate(shown)
            if any(boxes[place].overlaps(box) for box in boxes[:place])
        ]
    return found
