"""All layer metrics over time in small panels: a line for each layer."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.chain.time_lines import draw_layers
from fedlayers.figures.chain.timeline import time_label
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.statistics.spread import band_name
from fedlayers.views.chain.readings import layer_names
from fedlayers.views.quantities import axis_label

_TITLE_LENGTH = 34


def all_metrics_overview(
    rows: pd.DataFrame, metrics: Sequence[str], quantities: Quantities, facts: Mapping[str, Any]
) -> Figure:
    """Return a small panel per metric, in it a line per layer over time.

    Args:
        rows: of one run, of :func:`fedlayers.views.chain.layer_values.layer_times`.
        metrics: those that are shown.
        quantities: what is known of them.
        facts: of the run.
    """
    names = layer_names(rows)
    figure, panels = small_multiples(len(metrics), (2.7, 1.6), border_in=(0.2, 2.0))
    most = 1
    for axes, metric in zip(panels, metrics, strict=True):
        mine = rows[rows["metric"] == metric]
        most = max(most, draw_layers(axes, mine, names, quantities[metric]))
        title = [*wrap(axis_label(quantities[metric]), _TITLE_LENGTH), str(mine["what"].iloc[0])]
        axes.set_title("\n".join(title), fontsize=8.0)
        axes.minorticks_off()
    label_borders(panels, below=time_label(rows))
    legend_below(figure, band_name(most))
    headline(figure, facts)
    return figure
