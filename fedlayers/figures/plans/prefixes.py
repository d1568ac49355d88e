"""How good runs are that share the first layers, by how many these are, and where the automatic choice stands."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import BAND_ALPHA, PALETTE, headline, legend_below, shortened
from fedlayers.statistics.over_runs import mean_over_runs
from fedlayers.views.run_groups import Setting

_GREY = "#999999"
_NAMES = {"accuracy": "test accuracy, mean over clients", "loss": "test loss, mean over clients"}


def shared_prefixes(scores: pd.DataFrame, setting: Setting) -> Figure:
    """Return a panel for accuracy and one for loss: the last scores over the number of shared layers.

    Points with bars are means over seeds with 95 % intervals, grey points single runs; stars are runs that chose for
    themselves, where they chose, and the band is the interval of their mean.

    Args:
        scores: of :func:`fedlayers.views.plans.prefixes.prefix_scores`.
        setting: what the runs have in common.
    """
    metrics = [name for name in _NAMES if name in set(scores["metric"])]
    figure, panels = small_multiples(len(metrics), (4.6, 3.0))
    layers = [str(layer["name"]) for layer in setting.facts.get("layers") or ()]
    labels = ["none", *(f"to {shortened(name, 10)}" for name in layers[:-1]), "all"]
    for axes, metric in zip(panels, metrics, strict=True):
        limits = setting.quantities[metric].limits
        _draw(axes, scores[scores["metric"] == metric], limits)
        axes.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 5 else 0)
        axes.set_title(_NAMES[metric])
    label_borders(panels, below="shared layers")
    runs = scores["run"].nunique()
    legend_below(figure, "band: 95 % interval of the mean of runs that chose", "bars: 95 % interval over runs")
    headline(figure, setting.facts, f"{runs} runs")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, limits: tuple[float, float]) -> None:
    fixed, chosen = rows[~rows["automatic"]], rows[rows["automatic"]]
    axes.plot(fixed["shared"], fixed["value"], ".", color=_GREY, label="single runs", zorder=1)
    means = mean_over_runs(fixed, "shared", limits)
    reach = np.nan_to_num([means.mean - means.low, means.high - means.mean])
    axes.errorbar(means.x, means.mean, reach, fmt="o-", color=PALETTE[0], capsize=3, label="mean over seeds", zorder=2)
    if chosen.empty:
        return
    axes.plot(chosen["shared"], chosen["value"], "*", ms=10, color=PALETTE[1], label="chose by themselves", zorder=3)
    own = mean_over_runs(chosen.assign(shared=0), "shared", limits)
    axes.axhspan(float(own.low[0]), float(own.high[0]), color=PALETTE[1], alpha=BAND_ALPHA, lw=0, zorder=0)
    axes.axhline(float(own.mean[0]), color=PALETTE[1], ls="--", lw=1, zorder=0)
