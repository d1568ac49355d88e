"""Learning curves of a study: algorithms side by side, averaged over runs."""

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.figures.studies.group_lines import draw_groups
from fedlayers.statistics.over_runs import band_over_runs
from fedlayers.views.curves import evaluations
from fedlayers.views.numbered import names_in, parts_of
from fedlayers.views.quantities import axis_label
from fedlayers.views.run_groups import Setting


def study_curves(records: pd.DataFrame, setting: Setting) -> Figure | None:
    """Return accuracy and loss over rounds, a line per group of runs: mean over clients, then over runs.

    A row per kind of evaluation: clients after local training, clients after aggregation (clients that have a model
    of their own: with that), the global model on the server's test set.

    Args:
        records: of the setting's runs.
        setting: what to compare.
    """
    rows = evaluations(records, setting.groups)
    kinds = parts_of(rows, "evaluation")
    if not kinds:
        return None
    shown = names_in(rows, "panel")
    figure = new_figure(0.9 + 3.5 * len(shown), 1.6 + 2.1 * len(kinds))
    grid = figure.subplots(len(kinds), len(shown), sharex=True, squeeze=False)
    interval = False
    for line, (name, of_kind) in zip(grid, kinds, strict=True):
        for axes, (panel, metric) in zip(line, shown.items(), strict=True):
            quantity = setting.quantities[metric]
            interval |= draw_groups(axes, of_kind[of_kind["panel"] == panel], setting.groups, quantity, "round")
            axes.set_ylabel(axis_label(quantity) + (f"\n{name}" if axes is line[0] else ""))
            whole_rounds(axes)
            if metric != "loss":
                axes.set_ylim(top=min(axes.get_ylim()[1], 1.0))
    for axes in grid[-1]:
        axes.set_xlabel("round")
    legend_below(figure, band_over_runs() if interval else "")
    headline(figure, setting.facts, "mean over runs" if interval else "")
    return figure
