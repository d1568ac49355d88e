"""Layer profiles of a study: algorithms side by side, averaged over runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.profile_grid import profile_grid
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.small_profiles import small_profiles
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.figures.studies.group_lines import draw_groups
from fedlayers.statistics.over_runs import band_over_runs
from fedlayers.views import profiles
from fedlayers.views.places import LayerAxis
from fedlayers.views.quantities import axis_label
from fedlayers.views.run_groups import Setting
from fedlayers.views.values import usable

_MOST_PANELS = 6
_MEANS = "mean over clients and runs"


def study_profile(records: pd.DataFrame, metric: str, setting: Setting) -> Figure:
    """Return a metric over the layers, a line per group of runs: mean over clients, then over runs.

    A row per moment, variant and who was measured (clients, server), the first and the last round side by side.

    Args:
        records: of the setting's runs; some have values of layers.
        metric: which.
        setting: what to compare.
    """
    rows = profiles.study_profile(records, metric, setting)
    quantity, lined = setting.quantities[metric], LayerAxis.of(rows).lined(rows)
    grid = profile_grid(rows, _MOST_PANELS, (1.8, 2.0))
    interval = False
    for cell in grid.cells():
        interval |= draw_groups(cell.axes, usable(cell.rows), setting.groups, quantity, "place", lined)
        cell.axes.set_title(cell.title)
    for axes, of_panel, name in grid.lines():
        axes.set_ylabel(f"{axis_label(quantity)}\n{name}")
        scale_for(axes, usable(of_panel)["value"].to_numpy(), quantity)
    legend_below(grid.figure, band_over_runs() if interval else "")
    headline(grid.figure, setting.facts, str(rows["note"].iloc[0]), _MEANS, grid.left_out("more in the tables"))
    return grid.figure


def study_overview(records: pd.DataFrame, metrics: Sequence[str], setting: Setting) -> Figure:
    """Return a small profile of each metric, of its first moment and variant and the last round with values."""

    def draw(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, quantity: Facts) -> bool:
        return draw_groups(axes, usable(rows), setting.groups, quantity, "place", lined)

    rows = profiles.last_study_profiles(records, metrics, setting)
    figure, drawn = small_profiles(rows, setting.quantities, draw)
    legend_below(figure, band_over_runs() if any(drawn) else "")
    headline(figure, setting.facts, "last round measured", _MEANS)
    return figure
