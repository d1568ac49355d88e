"""The federation plan drawn: which layers were shared in which round, by whom."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import headline
from fedlayers.views.plans.shared_layers import MOST_CLIENTS, shared_layers

# Light to dark in print and for every kind of colour vision.
_COLOURS = ListedColormap(colormaps["YlGnBu"](np.linspace(0.05, 0.75, 256)))
_AWAY = "#bbbbbb"


def federation_plan(records: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Return layers by rounds, dark where a layer was shared; where plans differ a panel for each client as well.

    In the panel of all clients a shade between is the share of those taking part that sent the layer; grey are rounds
    in which a client took no part.
    """
    tables = shared_layers(records, facts)
    first = next(iter(tables.values()))
    width = min(max(0.16 * first.shape[1], 1.6), 4.5)
    height = min(max(0.2 * first.shape[0], 0.8), 6.0)
    names = [str(name) for name in first.index]
    border = (0.8 + 0.07 * min(max(map(len, names)), 24), 1.6)
    figure, panels = small_multiples(len(tables), (width + 0.25, height + 0.5), border)
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        _panel(axes, table)
        axes.set_title(title)
        label_categories(axes, [str(column) for column in table.columns], inches=width)
        label_categories(axes, names, inches=height, axis="y")
    lowest = label_borders(panels, "round", "layer")
    for axes in panels:
        axes.tick_params(labelbottom=axes in lowest, labelleft=bool(axes.get_ylabel()))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), ax=panels, fraction=0.05, pad=0.02, ticks=[0, 1])
    away = any(table.isna().to_numpy().any() for table in tables.values())
    bar.ax.set_yticklabels(["personal,\nor not sent", "shared"])
    several = len(tables) > 1
    some = several and int(facts.get("clients") or 0) > MOST_CLIENTS
    notes = ["between: share of clients"] * several + ["grey: took no part"] * away
    headline(figure, facts, *notes, *([f"the first {MOST_CLIENTS} clients"] if some else []))
    return figure


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    values = np.ma.masked_invalid(table.to_numpy(float))
    axes.imshow(values, aspect="auto", cmap=_COLOURS, vmin=0, vmax=1, interpolation="nearest")
    axes.set_facecolor(_AWAY)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    # Lines between the cells tell layers and rounds of one shade apart.
    rows, columns = values.shape
    axes.hlines(np.arange(rows - 1) + 0.5, -0.5, columns - 0.5, color="white", lw=0.8)
    if columns <= 40:
        axes.vlines(np.arange(columns - 1) + 0.5, -0.5, rows - 0.5, color="white", lw=0.8)
