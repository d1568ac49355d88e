"""Layer profiles: a metric's value at each layer, at the moments and in the first and last round measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.figures.drawing.axes import axis_width, label_layers
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.profile_line import Look, draw_profile, side_by_side
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import MARKERS, MOMENT_COLOURS, headline, legend_below, new_figure
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.moments import MOMENT_NAMES, at_moments, last_steps
from fedlayers.views.places import placed
from fedlayers.views.quantities import axis_label
from fedlayers.views.rounds import first_and_last
from fedlayers.views.values import usable
from fedlayers.views.variants import differ, names_of

_MOST_PANELS = 4
_OF_A_PANEL = ["model", "scope", "variant"]
# Subjects that are ranks and not classes: a mean over them says nothing, the first one is the largest.
_RANKED = ("hessian_eigenvalue",)
_MOST_NAMED = 4


def layer_metrics(records: pd.DataFrame) -> list[str]:
    """Return the metrics that have values of single layers, by name."""
    rows = usable(records[records["layer"].notna()])
    return sorted(str(name) for name in rows["metric"].unique())


def layer_rows(records: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, str]:
    """Return a metric's rows of single layers, and what they are if not values of all examples."""
    rows = records[(records["metric"] == metric) & records["layer"].notna()]
    ends = at_moments(rows)
    if rows.empty or not ends.empty:
        return _whole(ends, metric)
    rows, note = _whole(last_steps(rows), metric)
    return rows, ", ".join(part for part in ("at the last step measured", note) if part)


def layer_profile(records: pd.DataFrame, metric: str, facts: Mapping[str, Any], quantities: Quantities) -> Figure:
    """Return a metric's profile over the layers: a row per variant, the first and the last round side by side."""
    quantity = quantities[metric]
    rows, note = layer_rows(records, metric)
    rows, axis = placed(rows, facts)
    lined = axis.lined(rows)
    rows = rows[rows["place"].isin(lined)]
    panels = panels_of(rows)
    columns = first_and_last(rows)
    shown = panels[:_MOST_PANELS]
    width = axis_width(len(axis.names))
    figure = new_figure(width * len(columns), 1.8 + 2.0 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    most = 1
    for line, (name, of_panel) in zip(grid, shown, strict=True):
        for axes, (title, of_column) in zip(line, columns, strict=True):
            here = of_panel[of_column.loc[of_panel.index]]
            most = max(most, draw_moments(axes, here, lined, quantity))
            parts = (title if axes in grid[0] else "", _missing(here))
            axes.set_title(" · ".join(part for part in parts if part))
        line[0].set_ylabel(f"{axis_label(quantity)}\n{name}" if name else axis_label(quantity))
        scale_for(line[0], usable(of_panel)["value"].to_numpy(), quantity)
    for axes in grid[-1]:
        label_layers(axes, axis, width - 0.5)
    legend_below(figure, band_name(most))
    left_out = f"{len(panels) - len(shown)} more variants in the tables" if len(panels) > len(shown) else ""
    headline(figure, facts, note, left_out)
    return figure


def _whole(rows: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, str]:
    """Return the values of all examples; else those of the first rank, else the mean over subjects."""
    whole = rows[rows["subject"].isna()]
    if not whole.empty:
        return whole, ""
    if metric in _RANKED:
        return rows[rows["subject"] == "1"], "the largest in magnitude"
    subjects = sorted(str(subject) for subject in rows["subject"].unique())
    named = ", ".join(subjects) if len(subjects) <= _MOST_NAMED else f"{len(subjects)} subjects"
    same = ["run", "metric", "round", "moment", "client", "layer", "layer_index", *_OF_A_PANEL, "status"]
    means = rows.groupby(same, dropna=False, observed=True, as_index=False)["value"].mean()
    return means.assign(stderr=np.nan, chance=np.nan, chance_hi=np.nan), f"mean over {named}"


def panels_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each panel: by model, scope and variant, as far as they differ."""
    keys = rows[_OF_A_PANEL].astype(object).fillna("")
    varied = [key for key in _OF_A_PANEL if keys[key].nunique() > 1]
    if "model" in varied and _one_model_a_moment(rows):
        varied.remove("model")  # the moment says which model it is: the lines belong together
    if "variant" in varied and not differ(rows):
        varied.remove("variant")
    if not varied:
        return [(names_of(rows), rows)]
    found = rows.groupby([keys[key] for key in varied], sort=True)
    return [(", ".join(str(part) for part in key if part), of_key) for key, of_key in found]


def _one_model_a_moment(rows: pd.DataFrame) -> bool:
    return bool(rows.groupby(["run", "moment"], dropna=False, observed=True)["model"].nunique().max() == 1)


def draw_moments(axes: Axes, rows: pd.DataFrame, lined: np.ndarray, quantity: Facts) -> int:
    """Draw a line per moment for clients and for the server; return the largest number of clients behind a mean."""
    rows = usable(rows)
    lines = [
        (moment, is_client, rows[(rows["moment"] == moment) & (rows["client"].notna() == is_client)])
        for moment in MOMENT_NAMES
        for is_client in (True, False)
    ]
    lines = [line for line in lines if not line[2].empty]
    most = 1
    for number, (moment, is_client, values) in enumerate(lines):
        spread = spread_along(values, "place", quantity.limits)
        who = "server" if not is_client else "mean over clients" if spread.count > 1 else "client"
        look = Look(MOMENT_COLOURS[moment], MARKERS[moment], not is_client, side_by_side(number, len(lines)))
        draw_profile(axes, spread, lined, f"{who}, {MOMENT_NAMES[moment]}", look)
        most = max(most, spread.count if is_client else 1)
    draw_chance(axes, rows)
    return most


def _missing(rows: pd.DataFrame) -> str:
    absent = len(rows) - len(usable(rows))
    return f"{absent} of {len(rows)} missing" if absent else ""
