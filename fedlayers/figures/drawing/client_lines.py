"""A line per client over the layers, and the clients' median."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedlayers.figures.drawing.style import PALETTE
from fedlayers.statistics.over_clients import median_over_clients
from fedlayers.views.values import usable

# Without black, which is the median's; more colours nobody tells apart.
_COLOURS = tuple(colour for colour in PALETTE if colour != "#000000")
_SINGLE = "#999999"
_MEDIAN = "#000000"


def draw_clients(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, names: Mapping[int, str]) -> None:
    """Draw a line per client with its standard errors, and from three clients on their median.

    Up to seven clients have a colour and their name in the legend; more are thin grey lines.

    Args:
        axes: where.
        rows: at most one row per client and ``place``, with ``value``, ``stderr`` and ``status``.
        lined: the places at which a line has a gap if there is no value.
        names: client -> name, of all clients of the figure.
    """
    rows = usable(rows)
    named = len(names) <= len(_COLOURS)
    for number, client in enumerate(names):
        of_client = rows[rows["client"] == client].set_index("place").reindex(lined)
        stderr = of_client["stderr"].to_numpy(float)
        has_error = bool(np.isfinite(stderr).any())
        axes.errorbar(
            lined,
            of_client["value"].to_numpy(float),
            stderr if has_error else None,
            label=f"client {names[client]}" if named else "one client",
            color=_COLOURS[number] if named else _SINGLE,
            marker="o" if named else "",
            ms=3,
            lw=1.2 if named else 0.7,
            elinewidth=0.8,
            alpha=1.0 if named else 0.7,
            capsize=1.5 if named else 0,
        )
    if len(names) > 2:
        median = median_over_clients(rows, "place").reindex(lined)
        axes.plot(lined, median, color=_MEDIAN, ls=(0, (4, 1.5)), lw=1.6, label="median over clients", zorder=5)


def bars_name(rows: pd.DataFrame) -> str:
    """Return what the bars at the values of these rows are, for a legend; empty if there are none."""
    return "bars: ± 1 standard error" if usable(rows)["stderr"].notna().any() else ""
