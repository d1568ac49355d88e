"""What chance alone produces, behind the lines of a layer profile."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedlayers.statistics.over_clients import mean_chance

_COLOUR = "#888888"


def draw_chance(axes: Axes, rows: pd.DataFrame) -> None:
    """Shade the band from the mean of chance to its end towards agreement; a line where only the mean is known.

    Args:
        axes: where.
        rows: usable rows with ``place``, ``chance`` and ``chance_hi``; each layer shows the mean over its rows.
    """
    if rows["chance"].isna().all():
        return
    chance = mean_chance(rows, "place")
    band = chance.dropna(subset="chance_hi")
    axes.plot(chance.index, chance["chance"], color=_COLOUR, ls=(0, (1, 1)), lw=1.2, label="chance level", zorder=1)
    if band.empty:
        return
    place, low, high = (column.to_numpy(float) for column in (band.index, band["chance"], band["chance_hi"]))
    # A distance agrees where it is small.
    end = 95 if np.mean(high - low) >= 0 else 5
    if len(place) == 1:
        place, low, high = place + np.array([-0.3, 0.3]), low.repeat(2), high.repeat(2)
    label = f"chance: mean to {end} % quantile"
    axes.fill_between(place, low, high, color=_COLOUR, alpha=0.3, lw=0, label=label, zorder=1)
