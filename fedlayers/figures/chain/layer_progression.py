"""How each metric progresses from layer to layer: boxes over clients, runs and rounds."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import PALETTE, headline
from fedlayers.views.chain.readings import layer_names
from fedlayers.views.quantities import axis_label

_TITLE_LENGTH = 34
_WIDTH_IN = 2.9
# Fewer values have no quartiles worth a box.
_FEWEST_BOXED = 5


def layer_progression(
    rows: pd.DataFrame, metrics: Sequence[str], quantities: Quantities, facts: Mapping[str, Any]
) -> Figure:
    """Return a panel per metric with a box per layer: median, quartiles, whiskers to 1.5 times their distance.

    A value is one of a client, round and run, a point where it lies beyond the whiskers or a layer has fewer than five.

    Args:
        rows: of :func:`fedlayers.views.chain.layer_values.layer_values`.
        metrics: those that are shown.
        quantities: what is known of them.
        facts: for the title.
    """
    names = layer_names(rows)
    figure, panels = small_multiples(len(metrics), (_WIDTH_IN, 1.85), border_in=(0.2, 1.0))
    for axes, metric in zip(panels, metrics, strict=True):
        mine = rows[rows["metric"] == metric]
        values = {place: own["value"].to_numpy(float) for place, own in mine.groupby("place")}
        _draw(axes, {int(str(place)): own for place, own in values.items()})
        sizes = sorted({len(own) for own in values.values()})
        counted = f"n = {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
        title = [*wrap(axis_label(quantities[metric]), _TITLE_LENGTH), counted]
        axes.set_title("\n".join(title), fontsize=8.0)
        label_categories(axes, list(names.values()), inches=_WIDTH_IN - 0.6)
        axes.set_xlim(-0.6, len(names) - 0.4)
    label_borders(panels)
    headline(figure, facts, "boxes over clients, rounds and runs")
    return figure


def _draw(axes: Axes, values: Mapping[int, np.ndarray]) -> None:
    boxed = {place: own for place, own in values.items() if len(own) >= _FEWEST_BOXED}
    for place, own in values.items():
        if place not in boxed:
            axes.plot(np.full(len(own), place), own, "o", color=PALETTE[0], ms=3, alpha=0.8)
    if boxed:
        box = {"facecolor": "#cfe0ee", "edgecolor": PALETTE[0]}
        axes.boxplot(
            list(boxed.values()), positions=list(boxed), widths=0.5, patch_artist=True, boxprops=box,
            medianprops={"color": PALETTE[1]}, flierprops={"marker": ".", "ms": 3},
        )  # fmt: skip
    if len(values) > 1:
        places = sorted(values)
        axes.plot(places, [np.median(values[place]) for place in places], color=PALETTE[1], lw=0.9, alpha=0.7)
