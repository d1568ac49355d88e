"""The Hessian's eigenvalue density of every layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.drawing.scale import symlog
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below
from fedlayers.statistics.density import half_width
from fedlayers.views.client_names import client_names
from fedlayers.views.densities import hessian_densities
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import parts_of

_MOST_NAMED = 7
_DECADES = 5


def hessian_density(spectra: pd.DataFrame, facts: Mapping[str, Any]) -> Figure | None:
    """Return the eigenvalue density of each layer, a line per client: the last round measured.

    Densities are on a logarithmic axis over five decades. Eigenvalues are on a linear axis, or on one that is linear
    about zero and logarithmic beyond where a few are far larger than most.
    """
    rows = hessian_densities(spectra)
    if rows.empty:
        return None
    layers, clients = parts_of(rows, "panel"), client_names(facts, rows["client"])
    figure, panels = small_multiples(len(layers), (2.7, 1.8))
    for axes, (name, here) in zip(panels, layers, strict=True):
        _draw(axes, here, clients)
        axes.set_title(name)
    label_borders(panels, "eigenvalue", "density")
    legend_below(figure)
    what = [MOMENT_NAMES[str(rows["moment"].iloc[0])], f"round {rows['round'].iloc[0]}"]
    measured = rows["layer_index"].nunique()
    headline(figure, facts, *what, f"{len(layers)} of {measured} layers" if len(layers) < measured else "")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, clients: Mapping[int, str]) -> None:
    top, bulk = 0.0, np.inf
    ends = []
    curves = zip(rows["client"], rows["x"], rows["y"], strict=True)
    for client, x, y in ((None if pd.isna(c) else int(c), np.asarray(x), np.asarray(y)) for c, x, y in curves):
        named = client is None or len(clients) <= _MOST_NAMED
        who = "global model" if client is None else f"client {clients[client]}" if named else "one client"
        colour = "#000000" if client is None else PALETTE[list(clients).index(client)] if named else "#999999"
        axes.plot(x, np.where(y > 0, y, np.nan), color=colour, lw=1.0, label=who, alpha=1.0 if named else 0.6)
        top = max(top, float(y.max()))
        ends.append(x[[0, -1]])
        bulk = min(bulk, half_width(x, y))
    axes.set_yscale("log")
    axes.set_ylim(top * 10**-_DECADES, 2 * top)
    axes.minorticks_off()
    if np.abs(ends).max() > 30 * bulk:
        symlog(axes, "x", np.concatenate(ends), bulk)
