"""How the values of each layer metric are spread over layers, clients and runs."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import PALETTE, headline
from fedlayers.views.quantities import axis_label

_TITLE_LENGTH = 34
_MOST_BINS = 30
# Fewer values are drawn one by one.
_FEWEST_BINNED = 10


def metric_distributions(
    rows: pd.DataFrame, metrics: Sequence[str], quantities: Quantities, facts: Mapping[str, Any]
) -> Figure:
    """Return a histogram per metric of its last values, one for each layer, client and run, with their number n.

    Args:
        rows: of :func:`fedlayers.views.chain.layer_values.last_layer_values`.
        metrics: those that are shown.
        quantities: what is known of them.
        facts: for the title.
    """
    figure, panels = small_multiples(len(metrics), (2.7, 1.75), border_in=(0.3, 0.9))
    for axes, metric in zip(panels, metrics, strict=True):
        values = rows.loc[rows["metric"] == metric, "value"].to_numpy(float)
        if len(values) < _FEWEST_BINNED or np.ptp(values) == 0:
            axes.eventplot(values, lineoffsets=0.5, colors=PALETTE[0], linewidths=1.2)
            axes.set(ylim=(0, 1), yticks=[])
        else:
            bins = np.histogram_bin_edges(values, bins="auto")
            axes.hist(values, min(len(bins) - 1, _MOST_BINS), color=PALETTE[0])
        title = [*wrap(axis_label(quantities[metric]), _TITLE_LENGTH), f"n = {len(values):,}"]
        axes.set_title("\n".join(title), fontsize=8.0)
        axes.locator_params(axis="x", nbins=4)
    label_borders(panels, left="count")
    headline(figure, facts, "last values of all layers, clients and runs")
    return figure
