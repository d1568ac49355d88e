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
from fedlayers.statistics.spread import Spread, band_name, spreads_along
from fedlayers.views.curves import CURVES, layers_of, over_rounds
from fedlayers.views.quantities import axis_label, can_be_negative
from fedlayers.views.thinning import evenly

# What the records of a chart must have.
COLUMNS = (
    "run", "round", "moment", "owner", "model", "client", "layer", "layer_index", "subject", "step", "metric",
    "variant", "value", "stderr", "scope", "status",
)  # fmt: skip
# So many clients are drawn one by one, and so many rounds of them.
_MOST_CLIENTS, _MOST_ROUNDS = 60, 400
# Of more clients the page draws no one unasked: FEW in web/js/views/rounds.js.
FEW_CLIENTS = 30
_SHOWN = ["line", "client", "round", "value", "low", "high"]


def curves(
    tables: Tables, metric: str, layer: str | None = None, client: int | None = None, few: int | None = None
) -> Charted:
    """Return a metric over the rounds: of each line mean and band over clients, and the values of clients.

    Args:
        tables: of one run, its records of the metric with ``COLUMNS``.
        metric: see :func:`fedlayers.views.curves.over_rounds`.
        layer: whose values; None for the whole model's, or of a metric of layers for those of the first one.
        client: who is among the clients that are drawn one by one, where there are too many for all.
        few: of more clients than these only that one has values of its own; None for as many as can be drawn.

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
    most = _MOST_CLIENTS if few is None or rows["client"].nunique() <= few else 0
    singles = _of_clients(rows, client, most)
    _, firsts = np.unique(rows["line"].to_numpy(), return_index=True)
    told = {key: rows[key].to_numpy(object)[firsts] for key in ("line_name", "who", "at", "kind")}
    parts, lines = [], []
    for place, ((number,), spread) in enumerate(spreads_along(rows, "round", ["line"], quantity.limits).items()):
        name, *others = (str(texts[place]) for texts in told.values())
        parts.append(_of_line(name, spread, singles[singles["line"] == number]))
        own = dict(zip(("who", "at", "kind"), others, strict=True))
        lines.append({"name": name, **own, "count": spread.count, "band": band_name(spread.count)})
    found = {key: np.concatenate([part[key] for part in parts]) for key in _SHOWN}
    facts = {
        "label": axis_label(quantity), "limits": quantity.limits, "layer": layer, "layers": layers, "lines": lines,
        "scale": asdict(_scale(rows, quantity)), "notes": _notes(rows, most),
    }  # fmt: skip
    return Charted(found, facts)


def _check(rows: pd.DataFrame, metric: str, layer: str | None, layers: list[str]) -> None:
    if not rows.empty:
        return
    if layer is None or not layers:
        of = "" if layer is None else f" of layer {layer}"
        raise UserError(f"the run has no values of {metric}{of} over its rounds: choose another metric")
    raise UserError(f"layer must be one of {', '.join(layers)}, got {layer!r}{in_brackets(layer, layers)}")


def _of_line(name: str, spread: Spread, single: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the points of a line: its means with their band, then the values of single clients."""
    absent = np.full(len(single), np.nan)
    return {
        "line": np.full(len(spread.x) + len(single), name, object),
        "client": np.concatenate([np.full(len(spread.x), np.nan), single["client"].to_numpy(float)]),
        "round": np.concatenate([spread.x, single["round"].to_numpy(np.int64)]),
        "value": np.concatenate([spread.mean, single["value"].to_numpy(float)]),
        "low": np.concatenate([spread.low, absent]),
        "high": np.concatenate([spread.high, absent]),
    }


def _of_clients(rows: pd.DataFrame, client: int | None, most: int) -> pd.DataFrame:
    """Return the values of the clients of each line that are drawn one by one."""
    rows = rows[rows["client"].notna()]
    own = {name: rows[name].to_numpy(np.int64) for name in ("line", "client", "round")}
    chosen = np.zeros(len(rows), bool)
    for line in np.unique(own["line"]):
        of_line = own["line"] == line
        clients = {*evenly(np.unique(own["client"][of_line]).tolist(), most), -1 if client is None else client}
        rounds = evenly(np.unique(own["round"][of_line]).tolist(), _MOST_ROUNDS)
        chosen |= of_line & np.isin(own["client"], list(clients)) & np.isin(own["round"], rounds)
    found = pd.DataFrame({**own, "value": rows["value"].to_numpy(float)})[chosen]
    # Where a client has several values at once, as of several variants, they are one point of its line.
    return found.groupby([*own], sort=True)["value"].mean().reset_index()


def _notes(rows: pd.DataFrame, most: int) -> list[str]:
    count = rows["client"].nunique()
    if not most or count <= most:
        return []
    return [f"{most} of {count} clients are drawn one by one; means and bands are of all"]


def _scale(rows: pd.DataFrame, quantity: Facts) -> AxisScale:
    """Return the scale of the axis of values: of accuracy and loss as in figures of learning curves, linear."""
    if quantity.name in CURVES:
        return AxisScale("linear")
    return axis_scale(rows["value"].to_numpy(float), can_be_negative(quantity))
