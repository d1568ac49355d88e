"""How far each client's representations are from the other clients', layer by layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.client_lines import draw_clients
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import MOMENT_NAMES, one_moment
from fedlayers.views.pairs import in_relations
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
from fedlayers.views.variants import by_variant

_DISTANCES = ("procrustes_distance", "cka_distance")


def distance_rows(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return metric -> rows between clients at one moment, of the distances that have some."""
    found = {metric: one_moment(in_relations(pairs, metric, ("clients",)))[1] for metric in _DISTANCES}
    return {metric: by_variant(rows)[0][1] for metric, rows in found.items() if not rows.empty}


def similarity_composite(pairs: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> Figure | None:
    """Return distances in radians over the layers: for every client the mean over the other clients, and chance.

    A row per distance (Procrustes, CKA), the first and the last round side by side.
    """
    found = distance_rows(pairs)
    if not found:
        return None
    rows, axis = placed(pd.concat(found.values()), facts)
    columns = first_and_last(rows)
    means = {metric: mean_over_others(rows[rows["metric"] == metric]) for metric in found}
    names = client_names(pd.concat(means.values()), facts)
    width = axis_width(len(axis.names))
    figure = new_figure(width * len(columns), 1.8 + 2.2 * len(found))
    grid = figure.subplots(len(found), len(columns), sharex=True, sharey="row", squeeze=False)
    for line, metric in zip(grid, found, strict=True):
        of_metric = rows[rows["metric"] == metric]
        for axes, (title, of_column) in zip(line, columns, strict=True):
            here = of_metric[of_column.loc[of_metric.index]]
            draw_chance(axes, here)
            mine = means[metric][means[metric]["round"].isin(here["round"])]
            draw_clients(axes, mine, axis.lined(rows), names)
            axes.set_title(title if axes in grid[0] else "")
        line[0].set_ylabel(axis_label(quantities[metric]))
        line[0].set_ylim(bottom=0)
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    legend_below(figure)
    headline(figure, facts, MOMENT_NAMES[str(rows["moment"].iloc[0])], "mean over the other clients")
    return figure


def mean_over_others(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each round, place and client the mean of the pairs in which it is one of the two.

    Args:
        rows: usable rows between clients, each pair once.

    Returns:
        Columns ``round, place, client, value, stderr, status``; no standard errors, for pairs share clients.
    """
    ends = [rows[["round", "place", end, "value"]].rename(columns={end: "client"}) for end in ("client", "other")]
    values = pd.concat(ends).groupby(["round", "place", "client"])["value"]
    return values.mean().reset_index().assign(stderr=np.nan, status="ok")
