"""Where each client's own and the common model disagree: clients side by side, and over the rounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import label_categories, whole_rounds
from fedlayers.figures.drawing.client_lines import draw_clients
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below, new_figure
from fedlayers.views.heterogeneity.disagreements import METRIC, disagreements
from fedlayers.views.quantities import axis_label

NULL_COLOUR = "#888888"
NULL = "null level: two seeds"
BARS = "bars: ± 1 standard error"


def client_disagreement(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return disagreement per client in the last round measured, beside its null level, and over the rounds.

    The null level is how far two models disagree that the client trained alone with different seeds.
    """
    rows = disagreements(records, facts)
    last = rows[rows["round"] == rows["round"].max()]
    several = rows["round"].nunique() > 1
    width = min(max(0.25 * len(last) + 1.2, 3.6), 9.0)
    figure = new_figure(width + (4.4 if several else 0), 3.9)
    axes = figure.subplots(1, 2 if several else 1, squeeze=False, width_ratios=[width, 4.4] if several else [width])[0]
    _side_by_side(axes[0], last, width - 0.8)
    axes[0].set(ylabel=axis_label(quantities[METRIC]), xlabel="client", title=f"round {int(last['round'].iloc[0])}")
    if several:
        _over_rounds(axes[1], rows)
    legend_below(figure, BARS if rows["stderr"].notna().any() else "")
    headline(figure, facts)
    return figure


def _side_by_side(axes: Axes, rows: pd.DataFrame, inches: float) -> None:
    places = np.arange(len(rows))
    stderr = rows["stderr"].to_numpy(float)
    label = "own and common model"
    axes.errorbar(places, rows["value"], np.nan_to_num(stderr), fmt="o", color=PALETTE[0], capsize=2, label=label)
    if rows["chance"].notna().any():
        axes.plot(places, rows["chance"], ls="", marker="_", ms=12, mew=2, color=NULL_COLOUR, label=NULL)
    label_categories(axes, list(rows["client_name"]), inches=inches)
    axes.set_ylim(bottom=0)


def _over_rounds(axes: Axes, rows: pd.DataFrame) -> None:
    names = dict(zip(rows["client"].astype(int), rows["client_name"], strict=True))
    draw_clients(axes, rows.assign(place=rows["round"], status="ok"), np.sort(rows["round"].unique()), names)
    chance = rows.groupby("round")["chance"].mean().dropna()
    if not chance.empty:
        axes.plot(chance.index, chance, color=NULL_COLOUR, ls=(0, (1, 1)), label=f"{NULL}, mean over clients", zorder=1)
    axes.set(xlabel="round", ylim=(0, None), title="over the rounds")
    whole_rounds(axes)
