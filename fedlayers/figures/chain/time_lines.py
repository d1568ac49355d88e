"""Lines over time, one for each layer, from the first (dark) to the last (light)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import BAND_ALPHA
from fedlayers.statistics.bands import band_ends, chosen_band

_MOST_MARKERS = 25
# Yellow is not seen on white.
_LIGHTEST = 0.85


def layer_colours(names: Mapping[int, str]) -> dict[int, tuple[float, float, float, float]]:
    """Return place -> colour of each layer, told apart with every kind of colour vision, also in grey.

    Args:
        names: place -> name of the layers.
    """
    shares = np.linspace(0, _LIGHTEST, max(len(names), 2))
    return {place: colormaps["viridis"](share) for place, share in zip(names, shares, strict=False)}


def draw_layers(axes: Axes, rows: pd.DataFrame, names: Mapping[int, str], quantity: Facts) -> int:
    """Draw a line per layer over time: the mean over clients or runs, its band from the lowest to the highest.

    Args:
        axes: where.
        rows: of one metric, of :func:`fedlayers.views.chain.layer_values.layer_times`.
        names: place -> name of all layers of the figure, so that each keeps its colour.
        quantity: whose values they are.

    Returns:
        The largest number of values behind a mean.
    """
    colours, most = layer_colours(names), 1
    for place, name in names.items():
        values = rows[rows["place"] == place].groupby("time")["value"]
        means = values.mean()
        if means.empty:
            continue
        marker = "o" if len(means) <= _MOST_MARKERS else ""
        axes.plot(means.index, means, color=colours[place], marker=marker, ms=3, label=name)
        count = int(values.size().max())
        if count > 1:
            low, high = band_ends(values, chosen_band() or "range", quantity.limits)
            axes.fill_between(means.index.to_numpy(), low, high, color=colours[place], alpha=BAND_ALPHA, lw=0)
        most = max(most, count)
    whole_rounds(axes)
    scale_for(axes, rows["value"].to_numpy(float), quantity)
    return most
