"""Which layer metrics go together: Pearson's correlation of each two over runs and layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.style import headline, new_figure
from fedlayers.statistics.correlations import LEAST_OBSERVATIONS, correlations
from fedlayers.views.quantities import axis_label

_CELL_IN = 0.34
_MOST_NUMBERED = 25


def correlation_matrix(rows: pd.DataFrame, quantities: Quantities, facts: Mapping[str, Any]) -> Figure | None:
    """Return the correlations of the last values; None with fewer than two metrics.

    An observation is a layer of a run, the mean over clients. Cells are grey where fewer than three observations have
    both metrics, or one is the same in all of them.

    Args:
        rows: of :func:`fedlayers.views.chain.layer_values.last_layer_values`.
        quantities: what is known of the metrics.
        facts: for the title.
    """
    table = rows.groupby(["run", "place", "metric"])["value"].mean().unstack()
    if table.shape[1] < 2:
        return None
    found, counts = correlations(table.to_numpy(float))
    names = [axis_label(quantities[str(metric)]).partition(" (")[0] for metric in table.columns]
    side = min(max(_CELL_IN * len(names), 2.0), 9.0)
    figure = new_figure(side + 3.2, side + 2.4)
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(found), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    label_categories(axes, names, inches=side)
    label_categories(axes, names, inches=side, axis="y")
    if len(names) <= _MOST_NUMBERED:
        for row, column in zip(*np.nonzero(np.isfinite(found)), strict=True):
            value = found[row, column]
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=5.5, color=colour)
    grey = f"\ngrey: fewer than {LEAST_OBSERVATIONS} or constant" if np.isnan(found).any() else ""
    figure.colorbar(image, ax=axes, label=f"Pearson's correlation{grey}", fraction=0.046, pad=0.03)
    low, high = counts[counts > 0].min(), counts.max()
    counted = f"n = {high}" if low == high else f"n = {low} to {high}"
    runs = rows["run"].nunique()
    headline(figure, facts, f"over layers of {runs} run{'s' * (runs > 1)}, {counted}")
    return figure
