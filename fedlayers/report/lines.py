"""Lines with bands over clients: learning curves, and layer profiles of every round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.statistics.decades import spans_decades
from fedlayers.statistics.spread import Spread, band_name, spreads_along
from fedlayers.views import curves
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import parts_of
from fedlayers.views.places import LayerAxis
from fedlayers.views.profiles import every_round, layer_metrics
from fedlayers.views.quantities import axis_label
from fedlayers.views.thinning import evenly
from fedlayers.views.values import usable

# What profiles are made of, and what is left of it when they are drawn.
_DRAWN = ("run", "round", "line", "place", "value", "stderr")
_READ = (
    *_DRAWN[:2], "moment", "model", "client", "layer", "layer_index", "subject", "step", "metric", "variant", "value",
    "stderr", "scope", "status",
)  # fmt: skip
_KEYS = ("number", "run", "round", "line")


@dataclass(frozen=True)
class Line:
    """A line with a band.

    Attributes:
        label: what it is.
        kind: a moment, or ``server``: lines of a kind have a colour.
        style: ``solid``, ``dashed`` or ``dotted``.
        x: places on the axis, ascending.
        mean, low, high: values there and the ends of the band, see :class:`fedlayers.statistics.spread.Spread`.
        band: what the band is, empty if there is none.
    """

    label: str
    kind: str
    style: str
    x: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    band: str


@dataclass(frozen=True)
class Chart:
    """Lines over rounds.

    Attributes:
        metric: the metric's name in the tables.
        label: the label of the y axis.
        lines: one or more.
    """

    metric: str
    label: str
    lines: list[Line]


@dataclass(frozen=True)
class Profile:
    """A metric's layer profile at each round.

    Attributes:
        metric: its name in the tables.
        label: the label of the y axis.
        variant: what distinguishes it from others of the metric, empty if there are none.
        note: what the values are, if not of all examples.
        layers: names, in the order of the model; lines have their places as ``x``.
        rounds: the rounds, ascending.
        lines: of each round.
        decades: whether the values of all rounds are positive and span more than two decades.
    """

    metric: str
    label: str
    variant: str
    note: str
    layers: list[str]
    rounds: list[int]
    lines: list[list[Line]]
    decades: bool


def learning_charts(records: pd.DataFrame, quantities: Quantities) -> dict[str, list[Chart]]:
    """Return of each run accuracy and loss over rounds: clients' means at each moment and the server's test set.

    Args:
        records: of runs of one kind, see :func:`fedlayers.report.kinds.kind_of`.
        quantities: what is known of the quantities.
    """
    rows = curves.learning_curves(records)
    rows = rows[rows["at"] != "final"]
    found: dict[str, list[Chart]] = {str(run): [] for run in records["run"].unique()}
    for metric, of_metric in parts_of(rows, "panel"):
        quantity = quantities[metric]
        lines: dict[str, list[Line]] = {}
        for _, line in parts_of(of_metric, "line"):
            for (run,), spread in spreads_along(line, "round", ["run"], quantity.limits).items():
                lines.setdefault(str(run), []).append(_curve(line, spread))
        for run, of_run in lines.items():
            found[run].append(Chart(metric, axis_label(quantity), of_run))
    return found


def _curve(rows: pd.DataFrame, spread: Spread) -> Line:
    first = rows.iloc[0]
    name = str(first["line_name"])
    if first["who"] == "server":
        return _line(spread, name, "server", "dotted")
    style = "dashed" if first["kinds"] > 1 and first["kind"] == "personal" else "solid"
    return _line(spread, name, str(first["at"]), style)


def profiles(
    records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities, most_rounds: int
) -> dict[str, list[Profile]]:
    """Return of each run the layer profiles of every metric that has values of layers.

    Args:
        records: of runs of one kind, see :func:`fedlayers.report.kinds.kind_of`.
        facts: of one of them.
        quantities: what is known of them.
        most_rounds: of more rounds than these so many are kept, spaced evenly, the first and the last among them.
    """
    found: dict[str, list[Profile]] = {str(run): [] for run in records["run"].unique()}
    of_metric = {str(metric): rows for metric, rows in records[list(_READ)].groupby("metric", observed=True)}
    panels = [
        panel
        for metric in layer_metrics(records)
        for panel in _panels(every_round(of_metric[metric], metric, facts), quantities[metric])
    ]
    for panel, of_runs in zip(panels, _lines(panels), strict=True):
        for run in panel.runs:
            found[run].append(_profile(panel, run, of_runs.get(run, {}), most_rounds))
    return found


@dataclass(frozen=True)
class _Panel:
    """A panel of a metric: its usable rows in all runs, and what is said about it."""

    quantity: Facts
    variant: str
    note: str
    layers: list[str]
    runs: list[str]
    rows: pd.DataFrame
    named: Mapping[int, tuple[str, str]]
    decades: Mapping[str, bool]


def _panels(rows: pd.DataFrame, quantity: Facts) -> list[_Panel]:
    """Return the panels of a metric, with ``place`` among the layers that its lines do not pass over."""
    axis, note = LayerAxis.of(rows), str(rows["note"].iloc[0])
    lined = axis.lined(rows)
    rows = rows.assign(place=rows["place"].map({place: at for at, place in enumerate(lined)}))
    layers, found = [axis.names[place] for place in lined], []
    for variant, of_panel in parts_of(rows, "panel"):
        values = usable(of_panel)
        kinds = values[["line", "who", "moment"]].drop_duplicates("line")
        named = {line: (who, str(moment)) for line, who, moment in kinds.itertuples(index=False, name=None)}
        of_runs = values.groupby("run", observed=True)["value"]
        decades = {str(run): spans_decades(own.to_numpy()) for run, own in of_runs}
        runs = [str(run) for run in of_panel["run"].unique()]
        found.append(_Panel(quantity, variant, note, layers, runs, values[list(_DRAWN)], named, decades))
    return found


def _profile(panel: _Panel, run: str, lines: Mapping[int, list[Line]], most_rounds: int) -> Profile:
    rounds = evenly(sorted(lines), most_rounds)
    return Profile(
        metric=panel.quantity.name,
        label=axis_label(panel.quantity),
        variant=panel.variant,
        note=panel.note,
        layers=panel.layers,
        rounds=rounds,
        lines=[lines[number] for number in rounds],
        decades=panel.decades.get(run, False),
    )


def _lines(panels: Sequence[_Panel]) -> list[dict[str, dict[int, list[Line]]]]:
    """Return of each panel the lines of each run and round.

    Panels whose bands have the same limits are summarised at once: pandas takes as long for ten rows as for a thousand.
    """
    found: list[dict[str, dict[int, list[Line]]]] = [{} for _ in panels]
    for limits in dict.fromkeys(panel.quantity.limits for panel in panels):
        alike = [(number, panel) for number, panel in enumerate(panels) if panel.quantity.limits == limits]
        rows = pd.concat([panel.rows.assign(number=number) for number, panel in alike], ignore_index=True)
        for (number, run, in_round, line), spread in spreads_along(rows, "place", _KEYS, limits).items():
            who, moment = panels[number].named[line]
            style = "solid" if who == "clients" else "dotted"
            drawn = _line(spread, f"{who}, {MOMENT_NAMES[moment]}", moment, style)
            found[number].setdefault(str(run), {}).setdefault(int(in_round), []).append(drawn)
    return found


def _line(spread: Spread, label: str, kind: str, style: str) -> Line:
    mean, low, high = (_plain(values) for values in (spread.mean, spread.low, spread.high))
    named = f"mean over {label}" if spread.count > 1 else label
    return Line(named, kind, style, [int(place) for place in spread.x], mean, low, high, band_name(spread.count))


def _plain(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(value) for value in values]
