"""Small layer profiles of many metrics in one figure."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.axes import label_layers
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.views.numbered import parts_of
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

PANELS_A_FIGURE = 20
_WIDTH_IN = 2.7
_TITLE_LENGTH = 34
_Drawn = TypeVar("_Drawn")


def pages(metrics: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """Return the number, from the second on, and the metrics of each figure of small panels."""
    starts = range(0, len(metrics), PANELS_A_FIGURE)
    return [
        (str(page + 1) if page else "", metrics[start : start + PANELS_A_FIGURE]) for page, start in enumerate(starts)
    ]


def small_profiles(
    rows: pd.DataFrame, quantities: Quantities, draw: Callable[[Axes, pd.DataFrame, np.ndarray, Facts], _Drawn]
) -> tuple[Figure, list[_Drawn]]:
    """Return a figure with a small panel per metric, and what each drawing returned.

    Args:
        rows: of :func:`fedlayers.views.profiles.last_profiles` or ``last_study_profiles``; one metric or more.
        quantities: what is known of the metrics.
        draw: draws rows of a quantity into an axes, given the places of lines.
    """
    axis, parts = LayerAxis.of(rows), parts_of(rows, "panel")
    figure, panels = small_multiples(len(parts), (_WIDTH_IN, 1.45), border_in=(0.2, 2.3))
    drawn = []
    for axes, (name, here) in zip(panels, parts, strict=True):
        quantity = quantities[str(here["metric"].iloc[0])]
        drawn.append(draw(axes, here, axis.lined(here), quantity))
        scale_for(axes, usable(here)["value"].to_numpy(), quantity)
        title = [*wrap(axis_label(quantity), _TITLE_LENGTH), name]
        axes.set_title("\n".join(line for line in title if line), fontsize=8.5)
        label_layers(axes, axis, _WIDTH_IN - 0.6)
        axes.minorticks_off()
    for axes in set(panels) - set(label_borders(panels)):
        axes.tick_params(labelbottom=False)
    return figure, drawn
