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
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, at_moments, one_moment
from fedlayers.views.thinning import evenly

_METRIC = "hessian_density"
_MOST_LAYERS = 20
_MOST_NAMED = 7
_DECADES = 5


def density_rows(spectra: pd.DataFrame) -> pd.DataFrame:
    """Return the densities of layers in the last round that has some, at one moment."""
    rows = spectra[(spectra["metric"] == _METRIC) & (spectra["status"] == "ok") & spectra["layer"].notna()]
    _, found = one_moment(at_moments(rows))
    last: pd.DataFrame = found[found["round"] == found["round"].max()]
    return last


def hessian_density(spectra: pd.DataFrame, facts: Mapping[str, Any]) -> Figure | None:
    """Return the eigenvalue density of each layer, a line per client: the last round measured.

    Densities are on a logarithmic axis over five decades. Eigenvalues are on a linear axis, or on one that is linear
    about zero and logarithmic beyond where a few are far larger than most.
    """
    rows = density_rows(spectra)
    if rows.empty:
        return None
    names = rows.drop_duplicates("layer_index").sort_values("layer_index")
    shown = evenly(list(zip(names["layer_index"], names["layer"].astype(str), strict=True)), _MOST_LAYERS)
    clients = client_names(rows, facts)
    figure, panels = small_multiples(len(shown), (2.7, 1.8))
    for axes, (index, name) in zip(panels, shown, strict=True):
        _draw(axes, rows[rows["layer_index"] == index], clients)
        axes.set_title(name)
    label_borders(panels, "eigenvalue", "density")
    legend_below(figure)
    what = [MOMENT_NAMES[str(rows["moment"].iloc[0])], f"round {rows['round'].iloc[0]}"]
    headline(figure, facts, *what, f"{len(shown)} of {len(names)} layers" if len(shown) < len(names) else "")
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


def half_width(x: np.ndarray, y: np.ndarray, share: float = 0.9) -> float:
    """Return the smallest |eigenvalue| below which so much of the density's mass lies (trapezoidal rule).

    Args:
        x: eigenvalues, ascending, shape (n,).
        y: density, shape (n,).
        share: in (0, 1].
    """
    sizes = np.abs((x[1:] + x[:-1]) / 2)
    mass = np.diff(x) * (y[1:] + y[:-1]) / 2
    order = np.argsort(sizes)
    below = np.cumsum(mass[order])
    return float(sizes[order][np.searchsorted(below, share * below[-1])])
