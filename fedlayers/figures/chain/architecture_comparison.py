"""Architectures compared: bars of one metric by depth, one for each model."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below
from fedlayers.views.chain.groups import ChainGroup, ChainStudy, alike_but_model
from fedlayers.views.chain.readings import layer_names
from fedlayers.views.quantities import axis_label

_WIDTH_IN = 4.4


def architecture_comparison(rows: pd.DataFrame, study: ChainStudy, quantity: Facts) -> Figure:
    """Return grouped bars over depth: the mean over runs of each model, ± one standard deviation, runs as points.

    A panel holds runs that are alike in all but their model, which their configuration names.

    Args:
        rows: of one metric, of :func:`fedlayers.views.chain.layer_values.last_layer_values`.
        study: whose runs; some are alike in all but their model.
        quantity: whose values they are.
    """
    measured = set(rows["group_name"])
    panels = [mine for groups in alike_but_model(study) if len(mine := _measured(groups, measured)) > 1]
    models = sorted({group.model for groups in panels for group in groups})
    names = layer_names(rows)
    figure, grid = small_multiples(len(panels), (_WIDTH_IN, 2.5), border_in=(0.3, 1.4))
    for axes, groups in zip(grid, panels, strict=True):
        for group in groups:
            of_group = rows[rows["group_name"] == group.group.name]
            _bars(axes, of_group, group.model, models.index(group.model), len(models))
        axes.set_title(_title(groups[0]) if len(panels) > 1 else "", fontsize=8.5)
        label_categories(axes, list(names.values()), inches=_WIDTH_IN - 0.7)
    label_borders(grid, left=axis_label(quantity))
    legend_below(figure, "bars ± standard deviation over runs, points: runs")
    headline(figure, study.facts, "last values measured")
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, model: str, number: int, models: int) -> None:
    """Draw the bars of one model, beside those of the others."""
    of_runs = rows.groupby(["place", "run"])["value"].mean()
    means, deviations = of_runs.groupby("place").mean(), of_runs.groupby("place").std(ddof=1)
    wide = 0.8 / models
    at = means.index.to_numpy(float) + wide * (number - (models - 1) / 2)
    label = f"{model} (n = {of_runs.index.get_level_values('run').nunique()})"
    error = deviations.fillna(0.0)
    axes.bar(at, means, wide, yerr=error, color=PALETTE[number % len(PALETTE)], alpha=0.75, capsize=2, label=label)
    of_values = pd.Series(at, means.index).reindex(of_runs.index.get_level_values("place"))
    axes.plot(of_values, of_runs, "o", color="#333333", ms=2, zorder=3)


def _measured(groups: Sequence[ChainGroup], measured: set[str]) -> list[ChainGroup]:
    return [group for group in groups if group.group.name in measured]


def _title(group: ChainGroup) -> str:
    clients = group.facts.get("clients")
    return f"{group.own}, {clients} client{'' if clients == 1 else 's'}"
