"""Who holds what: examples of each class at each client."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.style import PALETTE, headline, new_figure
from fedlayers.statistics.decades import spans_decades
from fedlayers.views.holdings import SPLITS, holdings

_MOST_NUMBERED_CELLS = 160
# Light to dark in print and for every kind of colour vision; without the lightest part, which looks like none.
_COLOURS = ListedColormap(colormaps["YlGnBu"](np.linspace(0.15, 1.0, 256))).with_extremes(under="white")


def partition_matrix(partition: pd.DataFrame, facts: Mapping[str, Any]) -> Figure | None:
    """Return a matrix, clients by classes, coloured by examples; on top each client's total by split."""
    held = holdings(partition)
    if held.empty:
        return None
    matrix = held.pivot_table(index="label", columns="client", values="examples", aggfunc="sum", fill_value=0)
    labels = held.drop_duplicates("label").set_index("label")["label_name"].astype(str)
    names = held.drop_duplicates("client").set_index("client")["client_name"].astype(str)
    num_classes, num_clients = matrix.shape
    width = min(max(0.42 * num_clients + 2.2, 4.8), 11.0)
    height = min(max(0.28 * num_classes, 1.4), 6.5)
    figure = new_figure(width, height + 2.2)
    top, main = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.1, height]})
    _totals(top, held, [int(client) for client in matrix.columns])
    _cells(figure, main, matrix.to_numpy(float), width, height)
    label_categories(main, [names[client] for client in matrix.columns], inches=0.8 * width)
    label_categories(main, [labels[label] for label in matrix.index], inches=height, axis="y")
    main.set(xlabel="client", ylabel="class")
    total, everyone = int(matrix.to_numpy().sum()), facts.get("clients") or num_clients
    some = f" {num_clients:,} of {everyone:,}" if everyone > num_clients else ""
    headline(figure, facts, f"{total:,} examples at{some} clients")
    return figure


def _totals(axes: Axes, held: pd.DataFrame, clients: list[int]) -> None:
    bottom = np.zeros(len(clients))
    for name, colour in zip(SPLITS.values(), PALETTE, strict=False):
        of_split = held[held["split"] == name].groupby("client")["examples"].sum()
        heights = of_split.reindex(clients, fill_value=0).to_numpy(float)
        if heights.any():
            axes.bar(range(len(clients)), heights, bottom=bottom, color=colour, width=0.8, label=name)
        bottom += heights
    axes.set_ylabel("examples")
    axes.tick_params(labelbottom=False, bottom=False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _cells(figure: Figure, axes: Axes, matrix: np.ndarray, width: float, height: float) -> None:
    counts = matrix[matrix > 0]
    decades = spans_decades(counts)
    norm = LogNorm(counts.min(), counts.max()) if decades else Normalize(1, max(counts.max(), 2))
    image = axes.imshow(matrix, aspect="auto", cmap=_COLOURS, norm=norm, interpolation="nearest")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    # The bar ends in white below if there are cells without examples, and in whole numbers of them.
    empty = len(counts) < matrix.size
    ticks = None if decades else MaxNLocator(integer=True, steps=[1, 2, 5, 10])
    figure.colorbar(
        image,
        ax=axes,
        label="examples" + (" (white: none)" if empty else ""),
        extend="min" if empty else "neither",
        ticks=ticks,
        pad=0.01,
        fraction=0.05,
    )
    fits = matrix.shape[1] * 0.32 <= width and matrix.shape[0] * 0.18 <= height
    if matrix.size <= _MOST_NUMBERED_CELLS and fits:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            value = matrix[row, column]
            colour = "white" if norm(value) > 0.55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
