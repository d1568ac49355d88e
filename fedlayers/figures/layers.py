"""Layer profiles: a metric's value at each layer, at the moments and in the first and last round measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.quantities import axis_label
from fedlayers.figures.spread import spans_decades, spread_over_clients, usable
from fedlayers.figures.style import (
    BAND_ALPHA,
    MARKERS,
    MOMENT_COLOURS,
    MOMENT_NAMES,
    headline,
    label_categories,
    new_figure,
)

_MOST_PANELS = 4
_ROUND_MOMENTS = ("after_local", "after_aggregate")
_OF_A_PANEL = ["model", "scope", "variant"]


def layer_metrics(records: pd.DataFrame) -> list[str]:
    """Return the metrics that have values of single layers, by name."""
    rows = usable(records[records["layer"].notna()])
    return sorted(str(name) for name in rows["metric"].unique())


def layer_profile(records: pd.DataFrame, metric: str, facts: Mapping[str, Any]) -> Figure:
    """Return a metric's profile over the layers: a row per variant, the first and the last round side by side."""
    rows = records[(records["metric"] == metric) & records["layer"].notna()]
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    place = pd.Series(range(len(layers)), index=layers["layer_index"].astype(int))
    rows = rows.assign(place=rows["layer_index"].astype(int).map(place))
    panels = _panels(rows)
    columns = _columns(rows)
    shown = panels[:_MOST_PANELS]
    width = min(max(0.34 * len(layers) + 1.0, 3.6), 7.0)
    figure = new_figure(width * len(columns), 1.7 + 2.3 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    for line, (name, of_panel) in zip(grid, shown, strict=True):
        for axes, (title, of_column) in zip(line, columns, strict=True):
            here = of_panel[of_column.loc[of_panel.index]]
            _draw(axes, here)
            axes.set_title(" · ".join(part for part in (title, name, _missing(here)) if part))
        line[0].set_ylabel(axis_label(metric))
        if spans_decades(usable(of_panel)["value"].to_numpy()):
            line[0].set_yscale("log")
    for axes in grid[-1]:
        label_categories(axes, [str(name) for name in layers["layer"]], at_most=int(7 * width))
        axes.set_xlim(-0.5, len(layers) - 0.5)
    _legend(figure, grid)
    left_out = f"{len(panels) - len(shown)} more variants in the tables" if len(panels) > len(shown) else ""
    figure.suptitle(headline(facts, left_out))
    return figure


def _panels(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each panel; values of single classes only where there are none of all."""
    whole = rows[rows["subject"].isna()]
    rows = rows if whole.empty else whole
    keys = rows[_OF_A_PANEL].astype(object).fillna("")
    varied = [key for key in _OF_A_PANEL if keys[key].nunique() > 1]
    if not varied:
        return [("", rows)]
    found = rows.groupby([keys[key] for key in varied], sort=True)
    return [(", ".join(str(part) for part in key if part), of_key) for key, of_key in found]


def _columns(rows: pd.DataFrame) -> list[tuple[str, "pd.Series[bool]"]]:
    """Return a title and the rows of the first and the last round measured; start and final go with them."""
    rounds = sorted(rows.loc[rows["moment"].isin(_ROUND_MOMENTS), "round"].unique())
    start, final = rows["moment"] == "start", rows["moment"] == "final"
    if len(rounds) < 2:
        return [(f"round {rounds[0]}" if rounds else "", start | final | rows["moment"].isin(_ROUND_MOMENTS))]
    first, last = (
        rows["moment"].isin(_ROUND_MOMENTS) & (rows["round"] == number) for number in (rounds[0], rounds[-1])
    )
    return [(f"round {rounds[0]}", start | first), (f"round {rounds[-1]}", last | final)]


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    rows = usable(rows)
    for moment in MOMENT_NAMES:
        at_moment = rows[rows["moment"] == moment]
        for is_client in (True, False):
            values = at_moment[at_moment["client"].notna() == is_client]
            if not values.empty:
                _line(axes, values, moment, is_client)
    chance = rows["null"].groupby(rows["place"]).mean().dropna()
    if not chance.empty:
        axes.plot(chance.index, chance, color="#888888", ls=(0, (1, 1)), lw=1.2, label="chance level", zorder=1)


def _line(axes: Axes, values: pd.DataFrame, moment: str, is_client: bool) -> None:
    spread = spread_over_clients(values, "place")
    colour, name = MOMENT_COLOURS[moment], MOMENT_NAMES[moment]
    # Layers without a value leave a gap in the line instead of being bridged.
    places = np.arange(spread.x.min(), spread.x.max() + 1)
    mean, low, high, stderr = (
        pd.Series(column, index=spread.x).reindex(places).to_numpy()
        for column in (spread.mean, spread.low, spread.high, spread.stderr)
    )
    look = {"color": colour, "marker": MARKERS[moment]}
    if not is_client:
        look |= {"ls": "--", "mfc": "white"}
    label = f"clients, {name}: mean" if is_client else f"server, {name}"
    has_error = not is_client and np.isfinite(stderr).any()
    if has_error:
        label += " ± 1 standard error"
    axes.errorbar(places, mean, stderr if has_error else None, label=label, capsize=2, elinewidth=1, **look)
    if spread.band and is_client:
        axes.fill_between(places, low, high, color=colour, alpha=BAND_ALPHA, lw=0, label=f"band: {spread.band} client")


def _missing(rows: pd.DataFrame) -> str:
    absent = len(rows) - len(usable(rows))
    return f"{absent} of {len(rows)} missing" if absent else ""


def _legend(figure: Figure, grid: np.ndarray) -> None:
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2)
