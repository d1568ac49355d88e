"""Lines of figures that lie on each other: the one below is wider, and the legend says what that means."""

from collections.abc import Sequence

import numpy as np
import pytest

from fedlayers.figures.drawing.coinciding import NOTE
from fedlayers.figures.drawing.style import legend_below, new_figure


def _widths(*lines: Sequence[float], scale: str = "linear", bars: bool = False) -> tuple[list[float], list[str]]:
    """Return the widths of lines that are drawn one after another, and the words of the legend."""
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    axes.set_yscale(scale)
    for number, values in enumerate(lines):
        x = np.arange(len(values))
        if bars:
            axes.errorbar(x, values, np.full(len(values), 0.01), label=str(number))
        else:
            axes.plot(x, values, label=str(number))
    legend_below(figure)
    drawn = axes.lines[:: len(axes.lines) // len(lines)]
    return [line.get_linewidth() for line in drawn], [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("bars", [False, True])
def test_a_line_below_others_is_wider_and_the_legend_says_why(bars: bool) -> None:
    (one, two, three, other), told = _widths([3, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3], bars=bars)
    assert one > two > three == other
    assert told == ["0", "1", "2", "3", NOTE]


@pytest.mark.parametrize(("above", "hidden"), [([3, 2.004, 1], True), ([3, 2.1, 1], False), ([3, np.nan, 1], False)])
def test_a_line_is_hidden_where_none_of_its_points_is_seen(above: Sequence[float], hidden: bool) -> None:
    (one, two), told = _widths([3, 2, 1], above)
    assert (one > two) == hidden == (NOTE in told)


def test_where_steps_are_ratios_small_values_are_as_far_apart_as_large_ones() -> None:
    (one, two), told = _widths([1e-6, 1, 10], [2e-6, 1, 10], scale="log")
    assert one == two and NOTE not in told


def test_lines_over_names() -> None:
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    for label in ("one", "two"):
        axes.plot(["conv", "fc"], [0.5, 0.25], label=label)
    legend_below(figure)
    one, two = axes.lines
    assert one.get_linewidth() > two.get_linewidth()


def test_below_many_lines_none_is_so_wide_that_it_covers_the_others() -> None:
    widths, _ = _widths(*[[3, 2, 1]] * 9)
    assert max(widths) < 10 and widths[-3] > widths[-2] > widths[-1]
