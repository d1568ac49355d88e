"""Learning curves: how accuracy and loss of clients and server go over the rounds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.style import (
    BAND_ALPHA,
    MARKERS,
    MOMENT_COLOURS,
    SERVER_COLOUR,
    headline,
    legend_below,
    new_figure,
)
from fedlayers.statistics.spread import Spread, band_name, spread_along
from fedlayers.views import curves
from fedlayers.views.numbered import parts_of
from fedlayers.views.quantities import axis_label

_MOST_MARKERS = 25


def learning_curves(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure | None:
    """Return accuracy and loss over rounds: clients' mean and spread at each moment, and the server's test set.

    Clients are measured on ``client_test``, or on ``client_val`` if there is no test. What is measured before
    training (round 0) begins the line after aggregation: both are the model that clients receive.
    """
    rows = curves.learning_curves(records)
    if rows.empty:
        return None
    shown = parts_of(rows, "panel")
    figure = new_figure(0.6 + 3.7 * len(shown), 3.9)
    most = 1
    for place, (metric, of_metric) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        most = max(most, _draw(axes, of_metric, quantities[metric]))
        axes.set(xlabel="round", ylabel=axis_label(quantities[metric]))
        whole_rounds(axes)
        if metric != "loss":
            _, top = axes.get_ylim()
            axes.set_ylim(top=min(top, 1.0))
    legend_below(figure, band_name(most).replace("bands", "bands and bars"))
    headline(figure, facts)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, quantity: Facts) -> int:
    """Draw the lines of one metric and return the largest number of clients behind a mean."""
    most = 1
    for name, line in parts_of(rows, "line"):
        spread = spread_along(line, "round", quantity.limits)
        first = line.iloc[0]
        if first["who"] == "server":
            marker = "." if len(spread.x) <= _MOST_MARKERS else ""
            axes.plot(spread.x, spread.mean, color=SERVER_COLOUR, ls=":", marker=marker, label=name)
            continue
        style = "--" if first["kinds"] > 1 and first["kind"] == "personal" else "-"
        _line(axes, spread, str(first["at"]), name, style)
        most = max(most, spread.count)
    return most


def _line(axes: Axes, spread: Spread, moment: str, label: str, style: str) -> None:
    colour = MOMENT_COLOURS[moment]
    marker = MARKERS[moment] if len(spread.x) <= _MOST_MARKERS else ""
    if spread.count > 1:
        label = f"mean over {label}"
    if len(spread.x) == 1:
        below, above = spread.mean - spread.low, spread.high - spread.mean
        axes.errorbar(spread.x, spread.mean, [below, above], color=colour, marker=marker, label=label, capsize=2)
        return
    axes.plot(spread.x, spread.mean, color=colour, marker=marker, ls=style, label=label)
    axes.fill_between(spread.x, spread.low, spread.high, color=colour, alpha=BAND_ALPHA, lw=0)
