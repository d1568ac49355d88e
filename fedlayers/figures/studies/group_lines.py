"""A line per group of runs: the mean over runs with its 95 % interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.profile_line import side_by_side
from fedlayers.figures.drawing.style import BAND_ALPHA, PALETTE
from fedlayers.statistics.over_runs import mean_over_runs
from fedlayers.views.run_groups import Group

_MARKERS = "osD^vP*X"
_STYLES = ("-", "--", "-.", ":")
_MOST_MARKERS = 25


def draw_groups(
    axes: Axes,
    rows: pd.DataFrame,
    groups: Sequence[Group],
    quantity: Facts,
    along: str,
    lined: np.ndarray | None = None,
) -> bool:
    """Draw the groups that have rows; the number of runs stands in the label. Say whether there is an interval.

    Args:
        axes: where.
        rows: usable records of one metric with columns ``group``, ``run``, ``value`` and ``along``.
        groups: all groups of the figure, so that each keeps its colour.
        quantity: whose values they are.
        along: the column of the x axis.
        lined: the places at which a line has a gap if there is no value; None for none.
    """
    interval = False
    for number, group in enumerate(groups):
        mine = rows[rows["group"] == number]
        if mine.empty:
            continue
        means = mean_over_runs(mine, along, quantity.limits)
        x = means.x if lined is None else lined[(lined >= means.x.min()) & (lined <= means.x.max())]
        columns = (means.mean, means.low, means.high)
        mean, low, high = (pd.Series(column, index=means.x).reindex(x) for column in columns)
        colour, style = PALETTE[number % len(PALETTE)], _STYLES[number // len(PALETTE) % len(_STYLES)]
        marker = _MARKERS[number % len(_MARKERS)] if len(x) <= _MOST_MARKERS else ""
        label = f"{group.name} ({means.count})"
        shift = 0.0 if lined is None else side_by_side(number, len(groups))
        if len(x) == 1:
            axes.errorbar(
                x + shift, mean, [mean - low, high - mean], color=colour, marker=marker, label=label, capsize=2
            )
        else:
            axes.plot(x + shift, mean, color=colour, ls=style, marker=marker, label=label)
            axes.fill_between(x + shift, low, high, color=colour, alpha=BAND_ALPHA, lw=0)
        interval |= bool(np.isfinite(means.low).any())
    return interval
