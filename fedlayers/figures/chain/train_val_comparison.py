"""Training against validation: how far models are ahead on what they have seen."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.style import BAND_ALPHA, PALETTE, headline, legend_below, new_figure
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.chain.train_validation import TRAINED, UNSEEN
from fedlayers.views.quantities import axis_label


def train_val_comparison(rows: pd.DataFrame, quantity: Facts, facts: Mapping[str, Any]) -> Figure:
    """Return both over rounds, and beside it how far training is ahead of validation: the mean over clients.

    Args:
        rows: of one run, of :func:`fedlayers.views.chain.train_validation.train_validation`.
        quantity: whose values they are.
        facts: of the run.
    """
    figure = new_figure(8.2, 3.6)
    left, right = figure.subplots(1, 2)
    most = max(
        _draw(left, rows[rows["examples"] == name], quantity.limits, name, number)
        for number, name in enumerate((TRAINED, UNSEEN))
    )
    keys = ["round", "client"]
    apart = rows.pivot_table(index=keys, columns="examples", values="value").dropna()
    gap = (apart[TRAINED] - apart[UNSEEN]).rename("value").reset_index().assign(stderr=float("nan"))
    if not gap.empty:
        _draw(right, gap, (-float("inf"), float("inf")), f"{TRAINED} less {UNSEEN}", 2)
    right.axhline(0, color="#888888", lw=0.8, zorder=0)
    left.set(ylabel=axis_label(quantity))
    right.set(ylabel=axis_label(quantity, "difference"))
    for axes in (left, right):
        axes.set_xlabel("round")
        whole_rounds(axes)
    legend_below(figure, band_name(most))
    headline(figure, facts, "clients after local training")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, limits: tuple[float, float], name: str, number: int) -> int:
    spread = spread_along(rows, "round", limits)
    axes.plot(spread.x, spread.mean, color=PALETTE[number], marker="os^"[number], label=name)
    axes.fill_between(spread.x, spread.low, spread.high, color=PALETTE[number], alpha=BAND_ALPHA, lw=0)
    return spread.count
