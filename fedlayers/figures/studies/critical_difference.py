"""Which algorithms cannot be told apart by their ranks: Demšar's critical-difference diagram."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.errors import UserError
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.drawing.style import PALETTE, new_figure, shortened
from fedlayers.views.comparison.compared import compared
from fedlayers.views.comparison.ranking import Ranking, alike
from fedlayers.views.comparison.scoring import Reported
from fedlayers.views.curves import CURVES

_LINE = 0.22  # inches from one name to the next


def critical_difference(ranking: Ranking) -> Figure:
    """Return algorithms on an axis of mean ranks, the best left; bars join those that Nemenyi's test cannot tell apart.

    Args:
        ranking: of two algorithms or more, with a test.

    References:
        Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, figure 1.
    """
    groups, count = alike(ranking), len(ranking.algorithms)
    below = 0.5 + 0.35 * len(groups)
    lines = below + (count + 1) // 2
    figure = new_figure(6.5, 0.9 + _LINE * (lines + 1))
    axes = figure.add_subplot()
    axes.set_ylim(lines, -1.6)
    axes.set_xlim(0.9, count + 0.1)
    for side in ("left", "bottom", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["top"].set(visible=True, position=("data", 0))
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False, top=True, labeltop=True)
    axes.grid(False)
    axes.set_xticks(_ticks(count))
    _names(axes, ranking, below)
    for place, (first, last) in enumerate(groups):
        ends = ranking.ranks[first] - 0.03, ranking.ranks[last] + 0.03
        axes.plot(ends, [0.45 + 0.35 * place] * 2, color=PALETTE[0], lw=3, solid_capstyle="butt")
    _scale(axes, ranking.critical_difference, count)
    test = ranking.test
    over = "settings" if ranking.blocks == "settings" else f"seeds of {ranking.settings} setting(s)"
    figure.suptitle(f"mean rank by {ranking.metric} over {test.blocks} {over} · Friedman p = {test.p:.2g}")
    return figure


def _ticks(count: int) -> np.ndarray:
    return np.unique(np.linspace(1, count, min(count, 12)).round())


def _names(axes: Axes, ranking: Ranking, below: float) -> None:
    """Write the better half's names on the left and the others' on the right, each led to its rank."""
    count = len(ranking.algorithms)
    half = (count + 1) // 2
    for place, (name, rank) in enumerate(zip(ranking.algorithms, ranking.ranks, strict=True)):
        left = place < half
        line = below + (place if left else count - 1 - place)
        end = 0.0 if left else 1.0
        axes.plot([rank, rank], [0, line], color="#777777", lw=0.8)
        axes.axhline(line, *sorted((end, (rank - 0.9) / (count - 0.8))), color="#777777", lw=0.8)
        text, shift, side = f"{shortened(name)} {rank:.2f}", -4 if left else 4, "right" if left else "left"
        at: Any = ("axes fraction", "data")
        axes.annotate(text, (end, line), (shift, 0), at, "offset points", ha=side, va="center", fontsize="small")


def _scale(axes: Axes, difference: float, count: int) -> None:
    """Draw how far ranks must be apart above the axis, or say that they never are."""
    if difference > count - 1:
        axes.text(1, -1.2, f"CD = {difference:.2f}, more than ranks can be apart", va="center", fontsize="small")
        return
    axes.errorbar(1 + difference / 2, -1.2, xerr=difference / 2, color="black", capsize=3, lw=1.2)
    axes.text(1 + difference, -1.2, f"  CD = {difference:.2f}", va="center", fontsize="small")


def rank_figures(records: pd.DataFrame, runs: Sequence[Path]) -> list[Drawing]:
    """Return the figures of ranks by accuracy and by loss, over runs and over settings, where there is a test of them.

    Args:
        records: of several runs of one study.
        runs: their folders.
    """
    asked = records[records["metric"].isin(CURVES)]
    by_run = {run: asked[asked["run"] == run.name] for run in runs}
    try:
        found = compared(by_run, None, None, Reported()).rankings
    except UserError:  # nothing was evaluated on clients' examples
        return []
    parts = {"runs": None, "settings": "settings"}
    return [
        Drawing("critical_difference", partial(critical_difference, one), one.metric, parts[one.blocks])
        for one in found
        if not one.test.reason
    ]
