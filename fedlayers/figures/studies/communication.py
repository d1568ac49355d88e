"""Bytes that travel until an accuracy is reached, a line an algorithm."""

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.figures.drawing.style import PALETTE, legend_below, new_figure


def communication_figure(rows: pd.DataFrame) -> Figure:
    """Return bytes against accuracy of one setting: geometric means, 95 % t intervals of the logarithms."""
    figure = new_figure(4.6, 3.2)
    axes = figure.subplots()
    for place, (name, own) in enumerate(rows.groupby("algorithm", sort=False)):
        colour, megabytes = PALETTE[place % len(PALETTE)], own[["bytes", "low", "high"]] / 1e6
        axes.plot(own["accuracy"], megabytes["bytes"], marker="o", ms=3, color=colour, label=str(name))
        axes.fill_between(own["accuracy"], megabytes["low"], megabytes["high"], color=colour, alpha=0.15)
    axes.set_yscale("log")
    axes.set_xlabel("mean test accuracy of clients")
    axes.set_ylabel(
        "megabytes sent and received until then\n(geometric mean, 95 % t interval of logarithms)", size="small"
    )
    legend_below(figure)
    return figure
