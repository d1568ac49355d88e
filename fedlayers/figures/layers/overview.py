"""All layer metrics of a run in small panels: the last round measured."""

from collections.abc import Callable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.axes import label_layers
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.figures.layers.profiles import draw_moments, layer_rows, panels_of
from fedlayers.statistics.spread import band_name
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
from fedlayers.views.values import usable

PANELS_A_FIGURE = 20
_WIDTH_IN = 2.7
_TITLE_LENGTH = 34

# Draws rows of a quantity into an axes, given the places of lines, and returns what the note of the legend depends on.
Draw = Callable[[Axes, pd.DataFrame, np.ndarray, Facts], int]


def layer_overview(
    records: pd.DataFrame, metrics: Sequence[str], facts: Mapping[str, Any], quantities: Quantities
) -> Figure:
    """Return a small layer profile of each metric, of its first variant and of the last round with values.

    Args:
        records: the run's records.
        metrics: some of :func:`fedlayers.figures.layers.profiles.layer_metrics`, at most ``PANELS_A_FIGURE``.
        facts: run facts.
        quantities: what is known of them.
    """
    figure, most = small_profiles(records, metrics, facts, quantities, panels_of, draw_moments)
    legend_below(figure, band_name(most))
    headline(figure, facts, "last round measured")
    return figure


def small_profiles(
    records: pd.DataFrame,
    metrics: Sequence[str],
    facts: Mapping[str, Any],
    quantities: Quantities,
    panels_of: Callable[[pd.DataFrame], list[tuple[str, pd.DataFrame]]],
    draw: Draw,
) -> tuple[Figure, int]:
    """Return a figure with a small panel per metric, of the last round with values, and the largest that draw returned.

    Args:
        records: of one run, or of several with the same layers.
        metrics: which; all have values of layers.
        facts: run facts.
        quantities: what is known of them.
        panels_of: splits a metric's rows by name; the first part with values is drawn.
        draw: draws rows of a quantity with places.
    """
    chosen = {metric: _last(*layer_rows(records, metric), panels_of) for metric in metrics}
    rows, axis = placed(pd.concat([rows for _, rows in chosen.values()]), facts)
    figure, panels = small_multiples(len(metrics), (_WIDTH_IN, 1.45), border_in=(0.2, 2.3))
    most = 0
    for axes, metric in zip(panels, metrics, strict=True):
        here = rows[rows["metric"] == metric]
        most = max(most, draw(axes, here, axis.lined(here), quantities[metric]))
        scale_for(axes, usable(here)["value"].to_numpy(), quantities[metric])
        title = [*wrap(axis_label(quantities[metric]), _TITLE_LENGTH), chosen[metric][0]]
        axes.set_title("\n".join(line for line in title if line), fontsize=8.5)
        label_layers(axes, axis, _WIDTH_IN - 0.6)
        axes.minorticks_off()
    for axes in set(panels) - set(label_borders(panels)):
        axes.tick_params(labelbottom=False)
    return figure, most


def _last(
    rows: pd.DataFrame, note: str, panels_of: Callable[[pd.DataFrame], list[tuple[str, pd.DataFrame]]]
) -> tuple[str, pd.DataFrame]:
    """Return the name of the first panel with values in the last round that has some, and its rows."""
    rows = rows[rows["round"] == usable(rows)["round"].max()]
    name, rows = next(panel for panel in panels_of(rows) if not usable(panel[1]).empty)
    _, of_column = first_and_last(rows)[-1]
    return name or note, rows[of_column]
