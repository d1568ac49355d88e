"""Curves over the rounds of a run: mean and band over clients, and clients one by one."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Facts
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.axis_scale import AxisScale, axis_scale
from fedlayers.statistics.spread import band_name, spreads_along
from fedlayers.views.curves import CURVES, layers_of, over_rounds
from fedlayers.views.numbered import parts_of
from fedlayers.views.quantities import axis_label, can_be_negative
from fedlayers.views.thinning import evenly

# What the records of a chart must have.
COLUMNS = (
    "run", "round", "moment", "owner", "model", "client", "layer", "layer_index", "subject", "step", "metric",
    "variant", "value", "stderr", "scope", "status",
)  # fmt: skip
# So many clients are drawn one by one, and so many rounds of them.
_MOST_CLIENTS, _MOST_ROUNDS = 60, 400
_SHOWN = ["line", "client", "round", "value", "low", "high"]


def curves(tables: Tables, metric: str, layer: str | None = None, client: int | None = None) -> Charted:
    """Return a metric over the rounds: of each line mean and band over clients, and the values of clients.

    Args:
        tables: of one run, its records of the metric with ``COLUMNS``.
        metric: see :func:`fedlayers.views.curves.over_rounds`.
        layer: whose values; None for the whole model's, or of a metric of layers for those of the first one.
        client: who is among the clients that are drawn one by one, where there are too many for all.

    Returns:
        Columns ``line, client`` (NaN for the mean), ``round, value, low, high`` (the band, NaN for a client); facts
        ``label, limits, scale, layer, layers, notes`` and ``lines``: ``name, who, at, kind, count, band`` of each.

    Raises:
        UserError: the run has not measured the metric, or not of that layer.
    """
    layers = layers_of(tables.records, metric)
    rows = over_rounds(tables.records, metric, layer)
    if rows.empty and layer is None and layers:
        layer = layers[0]
        rows = over_rounds(tables.records, metric, layer)
    _check(rows, metric, layer, layers)
    quantity = tables.quantities[metric]
    frames, lines = [], []
    for name, line in parts_of(rows, "line"):
        (spread,) = spreads_along(line, "round", ["run"], quantity.limits).values()
        means = pd.DataFrame({"round": spread.x, "value": spread.mean, "low": spread.low, "high": spread.high})
        frames += [means.assign(line=name, client=np.nan), _of_clients(line, client).assign(line=name)]
        told = {key: str(line[key].iloc[0]) for key in ("who", "at", "kind")}
        lines.append({"name": name, **told, "count": spread.count, "band": band_name(spread.count)})
    found = pd.concat(frames, ignore_index=True).reindex(columns=_SHOWN)
    facts = {
        "label": axis_label(quantity), "limits": quantity.limits, "layer": layer, "layers": layers, "lines": lines,
        "scale": asdict(_scale(rows, quantity)), "notes": _notes(rows),
    }  # fmt: skip
    return Charted.of(found, facts)


def _check(rows: pd.DataFrame, metric: str, layer: str | None, layers: list[str]) -> None:
    if not rows.empty:
        return
    if layer is None or not layers:
        of = "" if layer is None else f" of layer {layer}"
        raise UserError(f"the run has no values of {metric}{of} over its rounds: choose another metric")
    raise UserError(f"layer must be one of {', '.join(layers)}, got {layer!r}{in_brackets(layer, layers)}")


def _of_clients(line: pd.DataFrame, client: int | None) -> pd.DataFrame:
    """Return the values of the clients that are drawn one by one."""
    rows = line[line["client"].notna()]
    clients = sorted(int(one) for one in rows["client"].unique())
    chosen = {*evenly(clients, _MOST_CLIENTS), client}
    rounds = set(evenly(sorted(int(one) for one in rows["round"].unique()), _MOST_ROUNDS))
    rows = rows[rows["client"].isin(chosen) & rows["round"].isin(rounds)].sort_values(["client", "round"])
    # Where a client has several values at once, as of several variants, they are one point of its line.
    found = rows.groupby(["client", "round"], observed=True)["value"].mean().reset_index()
    return found.astype({"client": float, "round": int})


def _notes(rows: pd.DataFrame) -> list[str]:
    count = rows["client"].nunique()
    if count <= _MOST_CLIENTS:
        return []
    return [f"{_MOST_CLIENTS} of {count} clients are drawn one by one; means and bands are of all"]


def _scale(rows: pd.DataFrame, quantity: Facts) -> AxisScale:
    """Return the scale of the axis of values: of accuracy and loss as in figures of learning curves, linear."""
    if quantity.name in CURVES:
        return AxisScale("linear")
    return axis_scale(rows["value"].to_numpy(float), can_be_negative(quantity))
