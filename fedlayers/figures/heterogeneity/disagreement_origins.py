"""Where disagreement comes from: classes, tiers, groups of clients, and the depth of the network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.client_lines import draw_clients
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below, new_figure
from fedlayers.figures.heterogeneity.client_disagreement import BARS, NULL, NULL_COLOUR
from fedlayers.views.heterogeneity.disagreements import SPLITS, origins
from fedlayers.views.quantities import axis_label

_COLOURS = ListedColormap(colormaps["YlGnBu"](np.linspace(0.03, 0.9, 256)))
_CELL_IN = 0.3


def disagreement_origins(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a panel for each way in which the disagreement of the last round was split.

    Classes and tiers: clients × classes as a heat map; groups of clients: a mark each; layers: a line per client and
    the median, of what can be read out of each layer of both models.
    """
    shown = {by: rows for by in SPLITS if not (rows := origins(records, facts, by)).empty}
    widths = [_width(rows) for rows in shown.values()]
    clients = max(rows["client"].nunique() for rows in shown.values())
    figure = new_figure(sum(widths) + 0.6, min(max(0.24 * clients, 2.6), 9.0) + 1.6)
    panels = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)[0]
    for axes, (by, rows), width in zip(panels, shown.items(), widths, strict=True):
        if by in ("disagreement_by_class", "disagreement_by_tier"):
            _matrix(axes, rows, width - 1.2)
        else:
            (_groups if by == "disagreement_by_group" else _layers)(axes, rows)
            axes.set(ylabel=axis_label(quantities[by]), ylim=(0, None))
            label_categories(axes, list(dict.fromkeys(rows["part"])), inches=width - 1.0)
        axes.set_title(f"by {SPLITS[by]}")
    legend_below(figure, BARS if "disagreement_by_group" in shown else "")
    headline(figure, facts)
    return figure


def _width(rows: pd.DataFrame) -> float:
    return min(max(_CELL_IN * rows["part"].nunique() + 1.4, 2.4), 6.0)


def _matrix(axes: Axes, rows: pd.DataFrame, inches: float) -> None:
    """Draw clients by classes; a class of which a client has no examples is grey."""
    parts, clients = list(dict.fromkeys(rows["part"])), list(dict.fromkeys(rows.sort_values("client")["client_name"]))
    values = rows.pivot_table(index="client_name", columns="part", values="value", observed=True)
    drawn = values.reindex(index=clients, columns=parts).to_numpy(float)
    image = axes.imshow(np.ma.masked_invalid(drawn), cmap=_COLOURS, norm=Normalize(0, 1), aspect="auto")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    label_categories(axes, parts, inches=inches)
    label_categories(axes, clients, inches=2.6, axis="y")
    axes.set_ylabel("client")
    axes.figure.colorbar(image, ax=axes, label="share of examples", fraction=0.08, pad=0.03)


def _groups(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    stderr = np.nan_to_num(rows["stderr"].to_numpy(float))
    axes.errorbar(places, rows["value"], stderr, fmt="o", color=PALETTE[0], capsize=2, label="own and common model")
    if rows["chance"].notna().any():
        axes.plot(places, rows["chance"], ls="", marker="_", ms=12, mew=2, color=NULL_COLOUR, label=NULL)


def _layers(axes: Axes, rows: pd.DataFrame) -> None:
    order = {name: place for place, name in enumerate(dict.fromkeys(rows["part"]))}
    placed = rows.assign(place=rows["part"].map(order), status="ok", stderr=np.nan)
    names = dict(zip(rows["client"].astype(int), rows["client_name"], strict=True))
    draw_clients(axes, placed, np.arange(len(order)), names)
    chance = placed.groupby("place")["chance"].mean().dropna()
    if not chance.empty:
        axes.plot(chance.index, chance, color=NULL_COLOUR, ls=(0, (1, 1)), label=f"{NULL}, mean over clients", zorder=1)
