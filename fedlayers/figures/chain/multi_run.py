"""Several runs of one metric over time, layer by layer: a line for each run."""

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.chain.timeline import time_label
from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.readings import layer_names
from fedlayers.views.quantities import axis_label

_STYLES = ("-", "--", "-.", ":")
_MOST_MARKERS = 25


def multi_run(rows: pd.DataFrame, study: ChainStudy, quantity: Facts) -> Figure:
    """Return a panel per layer with a line per run, the mean over its clients; runs of a group have a colour.

    Args:
        rows: of one metric, of :func:`fedlayers.views.chain.layer_values.layer_times`.
        study: whose runs.
        quantity: whose values they are.
    """
    names = layer_names(rows)
    figure, panels = small_multiples(len(names), (2.9, 1.9), border_in=(0.5, 1.6))
    for axes, (place, name) in zip(panels, names.items(), strict=True):
        here = rows[rows["place"] == place]
        for number, group in enumerate(study.groups):
            mine = here[here["group"] == number]
            style = _STYLES[number // len(PALETTE) % len(_STYLES)]
            for _, run in mine.groupby("run", sort=True):
                means = run.groupby("time")["value"].mean()
                marker = "o" if len(means) <= _MOST_MARKERS else ""
                label = f"{group.group.name} ({len(group.group.runs)} run{'s' * (len(group.group.runs) > 1)})"
                axes.plot(
                    means.index, means, color=PALETTE[number % len(PALETTE)], ls=style, lw=1.0, marker=marker, ms=2.5,
                    label=label,
                )  # fmt: skip
        axes.set_title(name, fontsize=8.5)
        scale_for(axes, here["value"].to_numpy(float), quantity)
        whole_rounds(axes)
    label_borders(panels, below=time_label(rows), left=axis_label(quantity))
    legend_below(figure)
    headline(figure, study.facts, str(rows["what"].iloc[0]))
    return figure
