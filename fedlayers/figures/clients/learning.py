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
from fedlayers.views.moments import MOMENT_NAMES, at_moments
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

CURVES = ("accuracy", "loss")
_MOST_MARKERS = 25


def curve_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and loss of whole models on the server's and clients' test examples, or else validation."""
    whole = records["metric"].isin(CURVES) & records["layer"].isna() & records["subject"].isna()
    rows = usable(at_moments(records[whole]))
    scope = next((name for name in ("client_test", "client_val") if (rows["scope"] == name).any()), None)
    return rows[rows["scope"].isin([scope, "server_test"])]


def learning_curves(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure | None:
    """Return accuracy and loss over rounds: clients' mean and spread at each moment, and the server's test set.

    Clients are measured on ``client_test``, or on ``client_val`` if there is no test. What is measured before
    training (round 0) begins the line after aggregation: both are the model that clients receive.
    """
    rows = curve_rows(records)
    if rows.empty:
        return None
    shown = [metric for metric in CURVES if (rows["metric"] == metric).any()]
    figure = new_figure(0.6 + 3.7 * len(shown), 3.9)
    most = 1
    for place, metric in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        most = max(most, _draw(axes, rows[rows["metric"] == metric], quantities[metric]))
        axes.set(xlabel="round", ylabel=axis_label(quantities[metric]))
        whole_rounds(axes)
        if metric == "accuracy":
            _, top = axes.get_ylim()
            axes.set_ylim(top=min(top, 1.0))
    legend_below(figure, band_name(most).replace("bands", "bands and bars"))
    headline(figure, facts)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, quantity: Facts) -> int:
    """Draw the lines of one metric and return the largest number of clients behind a mean."""
    most = 1
    clients = rows[rows["scope"] != "server_test"]
    both = clients.groupby("moment", observed=True)["model"].nunique() > 1
    for moment in ("after_local", "after_aggregate", "final"):
        same = [moment, "start"] if moment == "after_aggregate" else [moment]
        for model in ("global", "personal"):
            chosen = clients[(clients["model"] == model) & clients["moment"].isin(same)]
            if not (chosen["moment"] == moment).any():
                continue
            spread = spread_along(chosen, "round", quantity.limits)
            most = max(most, spread.count)
            which = f", {model} model" if both[moment] else ""
            style = "--" if both[moment] and model == "personal" else "-"
            _line(axes, spread, moment, f"clients, {MOMENT_NAMES[moment]}{which}", style)
    server = rows[(rows["scope"] == "server_test") & rows["moment"].isin(["start", "after_aggregate"])]
    if not server.empty:
        line = server.groupby(server["round"].astype(int))["value"].mean()
        marker = "." if len(line) <= _MOST_MARKERS else ""
        axes.plot(line.index, line, color=SERVER_COLOUR, ls=":", marker=marker, label="server's test set, global model")
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
