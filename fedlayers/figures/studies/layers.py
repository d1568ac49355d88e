"""Layer profiles of a study: algorithms side by side, averaged over runs."""

from collections.abc import Sequence
from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.figures.layers.overview import small_profiles
from fedlayers.figures.layers.profiles import layer_rows, panels_of
from fedlayers.figures.studies.group_lines import draw_groups, runs_band
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
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
    rows, note = layer_rows(records, metric)
    rows, axis = placed(rows, setting.facts)
    lined = axis.lined(rows)
    columns = first_and_last(rows)
    panels = _panels(rows)
    shown = panels[:_MOST_PANELS]
    width = axis_width(len(axis.names))
    figure = new_figure(width * len(columns), 1.8 + 2.0 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    interval = False
    for line, (name, of_panel) in zip(grid, shown, strict=True):
        for axes, (title, of_column) in zip(line, columns, strict=True):
            here = usable(of_panel[of_column.loc[of_panel.index]])
            interval |= draw_groups(axes, here, setting.groups, setting.quantities[metric], "place", lined)
            axes.set_title(title if axes in grid[0] else "")
        line[0].set_ylabel(f"{axis_label(setting.quantities[metric])}\n{name}")
        scale_for(line[0], usable(of_panel)["value"].to_numpy(), setting.quantities[metric])
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    legend_below(figure, runs_band() if interval else "")
    left_out = f"{len(panels) - len(shown)} more in the tables" if len(panels) > len(shown) else ""
    headline(figure, setting.facts, note, _MEANS, left_out)
    return figure


def study_overview(records: pd.DataFrame, metrics: Sequence[str], setting: Setting) -> Figure:
    """Return a small profile of each metric, of its first moment and variant and the last round with values."""
    figure, interval = small_profiles(
        records,
        metrics,
        setting.facts,
        setting.quantities,
        _panels,
        lambda axes, rows, lined, quantity: draw_groups(axes, usable(rows), setting.groups, quantity, "place", lined),
    )
    legend_below(figure, runs_band() if interval else "")
    headline(figure, setting.facts, "last round measured", _MEANS)
    return figure


def _panels(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each panel: by variant, by who was measured, and by moment."""
    panels = [
        (", ".join(part for part in (who, MOMENT_NAMES[moment], variant) if part), _of(of_variant, who, moment))
        for variant, of_variant in panels_of(rows)
        for who, moment in product(("clients", "server"), MOMENT_NAMES)
    ]
    return [(name, here) for name, here in panels if not usable(here).empty]


def _of(rows: pd.DataFrame, who: str, moment: str) -> pd.DataFrame:
    return rows[(rows["client"].notna() == (who == "clients")) & (rows["moment"] == moment)]
