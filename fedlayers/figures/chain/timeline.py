"""The timeline of one metric: how its value at each layer goes over rounds, or over the steps inside them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.chain.time_lines import draw_layers
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.statistics.spread import band_name
from fedlayers.views.chain.readings import layer_names
from fedlayers.views.quantities import axis_label


def timeline(rows: pd.DataFrame, quantity: Facts, facts: Mapping[str, Any]) -> Figure:
    """Return a line per layer over time; ``--layers`` chooses one.

    Args:
        rows: of one metric and run, of :func:`fedlayers.views.chain.layer_values.layer_times`.
        quantity: whose values they are.
        facts: of the run.
    """
    figure = new_figure(6.0, 4.0)
    axes = figure.subplots()
    most = draw_layers(axes, rows, layer_names(rows), quantity)
    axes.set(ylabel=axis_label(quantity), xlabel=time_label(rows))
    legend_below(figure, band_name(most))
    headline(figure, facts, str(rows["what"].iloc[0]))
    return figure


def time_label(rows: pd.DataFrame) -> str:
    """Return the label of an axis of time: what the parts of a round are, where there are some."""
    return "round" + (", with the steps inside it" if (rows["time"] % 1 != 0).any() else "")
