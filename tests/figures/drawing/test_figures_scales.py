"""Scales say what values can tell apart: colours, axes, ticks and legends."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fedlayers.figures.clients.partition import partition_matrix
from fedlayers.figures.drawing.axes import label_categories, whole_rounds
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import legend_below, new_figure
from tests.support.quantities import KNOWN


def test_a_distance_over_decades_keeps_its_zero() -> None:
    matrix = np.array([[0.0, 0.01], [5.0, 0.0]])
    image = heat_maps({"": {"": matrix}}, ["a", "b"], KNOWN["l2_dst"], "client", (0.01, 5.0)).axes[0].images[0]
    drawn: np.ndarray = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    assert drawn.tolist() == [[0.01, 0.01], [5.0, 0.01]]
    assert np.asarray(image.norm(np.sqrt(0.01 * 5.0))) == pytest.approx(0.5)


@pytest.mark.parametrize("held", [[[3, 0], [1, 2]], [[0, 1], [1, 1]], [[900, 0], [1, 2]], [[3, 4], [5, 6]]])
def test_the_bar_of_a_partition_shows_white_for_none_and_whole_examples(held: list[list[int]]) -> None:
    counts = pd.DataFrame(
        [
            {"client": client, "client_name": str(client), "scope": "client_train", "label": label,
             "label_name": str(label), "examples": held[label][client]}
            for label in range(2) for client in range(2)
        ]
    )  # fmt: skip
    figure = partition_matrix(counts, {})
    assert figure is not None
    image = figure.axes[1].images[0]
    empty = any(0 in row for row in held)
    bar = image.colorbar
    assert bar is not None and ("(white: none)" in figure.axes[-1].get_ylabel()) == empty == (bar.extend == "min")
    cells = image.to_rgba(np.ma.asarray(image.get_array()))
    for place in np.argwhere(np.array(held) == 0):
        assert to_hex(cells[tuple(place)]) == "#ffffff" or cells[tuple(place)][3] == 0
    figure.draw_without_rendering()
    low, high = bar.ax.get_ylim()
    assert all(float(tick).is_integer() for tick in bar.get_ticks() if low <= tick <= high)


def test_ticks_are_at_1_2_or_5_times_a_power_of_ten() -> None:
    for many in (3, 30, 70, 77, 110, 365, 1000):
        axes = new_figure(3, 3).subplots()
        label_categories(axes, [f"client {place}" for place in range(many)], inches=2.0)
        places = axes.get_xticks()
        step = int(places[1] - places[0])
        assert str(step).rstrip("0") in {"1", "2", "5"}
        axes = new_figure(3, 3).subplots()
        axes.plot(range(1, many + 1), range(many))
        whole_rounds(axes)
        steps = set(np.diff(axes.get_xticks()).tolist())
        assert len(steps) == 1 and str(int(steps.pop())).rstrip("0") in {"1", "2", "5"}


def test_a_legend_is_never_wider_than_its_figure() -> None:
    for words in (3, 12):
        figure = new_figure(3.6, 3.0)
        axes = figure.subplots()
        for line in range(4):
            axes.plot([0, 1], [0, line], label=f"line {line} " + "with long words " * words)
        legend_below(figure, "bands: lowest to highest of clients")
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, page = legend.get_window_extent(), figure.bbox
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1


def test_rounding_is_not_drawn_as_structure() -> None:
    axes = new_figure(3, 3).subplots()
    axes.plot([0, 1, 2], [0.5, 0.5 + 1e-6, 0.5 - 1e-6])
    scale_for(axes, [0.5, 0.5 + 1e-6, 0.5 - 1e-6], KNOWN["loss"])
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(6e-4, rel=1e-3) and (low + high) / 2 == pytest.approx(0.5)
    axes = new_figure(3, 3).subplots()
    axes.plot([0, 1], [0.5, 0.6])
    before = axes.get_ylim()
    scale_for(axes, [0.5, 0.6], KNOWN["loss"])
    assert axes.get_ylim() == before
