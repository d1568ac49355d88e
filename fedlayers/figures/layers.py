"""Layer profiles: a metric's value at each layer, at the moments and in the first and last round measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.quantities import axis_label
from fedlayers.figures.spread import Spread, band_name, spans_decades, spread_over_clients, usable
from fedlayers.figures.style import (
    BAND_ALPHA,
    MARKERS,
    MOMENT_COLOURS,
    MOMENT_NAMES,
    headline,
    label_categories,
    legend_below,
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
    rows, note = _whole(rows)
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    place = pd.Series(range(len(layers)), index=layers["layer_index"].astype(int))
    rows = rows.assign(place=rows["layer_index"].astype(int).map(place))
    panels = _panels(rows)
    columns = _columns(rows)
    shown = panels[:_MOST_PANELS]
    width = min(max(0.25 * len(layers) + 1.0, 3.6), 6.0)
    figure = new_figure(width * len(columns), 1.8 + 2.0 * len(shown))
    grid = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
    most = 1
    for line, (name, of_panel) in zip(grid, shown, strict=True):
        for axes, (title, of_column) in zip(line, columns, strict=True):
            here = of_panel[of_column.loc[of_panel.index]]
            most = max(most, _draw(axes, here))
            parts = (title if axes in grid[0] else "", _missing(here))
            axes.set_title(" · ".join(part for part in parts if part))
        line[0].set_ylabel(f"{axis_label(metric)}\n{name}" if name else axis_label(metric))
        if spans_decades(usable(of_panel)["value"].to_numpy()):
            line[0].set_yscale("log")
    for axes in grid[-1]:
        label_categories(axes, [str(name) for name in layers["layer"]], inches=width - 0.5)
        axes.set_xlim(-0.5, len(layers) - 0.5)
    legend_below(figure, band_name(most))
    left_out = f"{len(panels) - len(shown)} more variants in the tables" if len(panels) > len(shown) else ""
    headline(figure, facts, note, left_out)
    return figure


def _whole(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the values of all records; where there are only those of classes (or tiers), their means."""
    whole = rows[rows["subject"].isna()]
    if not whole.empty:
        return whole, ""
    same = ["round", "moment", "client", "layer", "layer_index", *_OF_A_PANEL, "status"]
    means = rows.groupby(same, dropna=False, observed=True, as_index=False)["value"].mean()
    return means.assign(stderr=np.nan, null=np.nan), "mean over classes"


def _panels(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each panel."""
    keys = rows[_OF_A_PANEL].astype(object).fillna("")
    varied = [key for key in _OF_A_PANEL if keys[key].nunique() > 1]
    if "model" in varied and rows.groupby("moment", observed=True)["model"].nunique().max() == 1:
        varied.remove("model")  # the moment says which model it is: the lines belong together
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


def _draw(axes: Axes, rows: pd.DataFrame) -> int:
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
        spread = spread_over_clients(values, "place")
        # Side by side, lines that agree do not hide each other.
        _line(axes, spread, moment, is_client, shift=0.12 * (number - (len(lines) - 1) / 2))
        most = max(most, spread.clients if is_client else 1)
    chance = rows["null"].groupby(rows["place"]).mean().dropna()
    if not chance.empty:
        axes.plot(chance.index, chance, color="#888888", ls=(0, (1, 1)), lw=1.2, label="chance level", zorder=1)
    return most


def _line(axes: Axes, spread: Spread, moment: str, is_client: bool, shift: float) -> None:
    colour, name = MOMENT_COLOURS[moment], MOMENT_NAMES[moment]
    # Layers without a value leave a gap in the line instead of being bridged.
    places = np.arange(spread.x.min(), spread.x.max() + 1)
    mean, low, high, stderr = (
        pd.Series(column, index=spread.x).reindex(places).to_numpy()
        for column in (spread.mean, spread.low, spread.high, spread.stderr)
    )
    who = "server" if not is_client else "mean over clients" if spread.clients > 1 else "client"
    has_error = bool(np.isfinite(stderr).any())
    axes.errorbar(
        places + shift,
        mean,
        stderr if has_error else None,
        label=f"{who}, {name}" + (" ± 1 standard error" if has_error else ""),
        color=colour,
        marker=MARKERS[moment],
        ls="-" if is_client else "--",
        mfc=colour if is_client else "white",
        capsize=2,
        elinewidth=1,
    )
    if is_client:
        axes.fill_between(places + shift, low, high, color=colour, alpha=BAND_ALPHA, lw=0)


def _missing(rows: pd.DataFrame) -> str:
    absent = len(rows) - len(usable(rows))
    return f"{absent} of {len(rows)} missing" if absent else ""
