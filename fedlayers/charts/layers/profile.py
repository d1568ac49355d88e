"""A metric over the layers in one round: means with bands or standard errors, line by line, and what chance gives."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.layers.series import MetricOfLayers
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.axis_scale import axis_scale
from fedlayers.statistics.over_clients import mean_chance
from fedlayers.statistics.spread import Spread, band_name, spread_along
from fedlayers.views.moments import MOMENT_NAMES
from fedlayers.views.numbered import parts_of
from fedlayers.views.pairs import most_pairs, pair_profile
from fedlayers.views.places import LayerAxis
from fedlayers.views.profiles import every_round, missing_in
from fedlayers.views.quantities import axis_label, can_be_negative
from fedlayers.views.values import usable

CHANCE = "chance"
_COLUMNS = ["panel", "line", "kind", "who", "place", "layer", "mean", "low", "high", "stderr", "count"]


@dataclass(frozen=True)
class _Line:
    """A line: what it is called, of what kind (a moment, a relation or chance), whose, and its values."""

    name: str
    kind: str
    who: str
    spread: Spread

    def table(self, panel: str, names: Mapping[int, str], place_of: Mapping[int, int]) -> pd.DataFrame:
        """Return its rows; values are NaN at layers between its ends that have none, so that it has a gap there."""
        places = [at for at in place_of if self.spread.x.min() <= at <= self.spread.x.max()]
        values = {name: getattr(self.spread, name) for name in ("mean", "low", "high", "stderr")}
        frame = pd.DataFrame(values, index=self.spread.x).reindex(places)
        frame = frame.assign(panel=panel, line=self.name, kind=self.kind, who=self.who, count=self.spread.count)
        return frame.assign(place=[place_of[at] for at in places], layer=[names[at] for at in places])[_COLUMNS]


def layer_profile(tables: Tables, metric: str, round: int | None = None) -> Charted:
    """Return a metric over the layers in one round: a panel for each variant, a line for each moment or relation.

    Args:
        tables: of a run.
        metric: of the records, or of pairs.
        round: see :func:`fedlayers.charts.rounds.shown_round`.

    Returns:
        A row per panel, line and layer: ``panel, line`` (their names), ``kind`` (of the line: a moment, a relation of
        pairs, or ``chance``), ``who`` (``clients, server, pairs``), ``place, layer``, ``mean``, ``low, high`` (the
        band), ``stderr`` (of single values) and ``count``. Facts: ``metric, label, round, rounds, layers, panels,
        band`` (its name), ``scale`` (of the axis), ``note`` and ``missing``.

    Raises:
        UserError: no layer has a value of the metric.
    """
    found = MetricOfLayers.of(tables, metric, round)
    make = pair_profile if found.is_pair else every_round
    rows = make(found.of_round, metric, found.facts)
    axis = LayerAxis.of(rows)
    place_of = {int(at): place for place, at in enumerate(axis.lined(rows))}
    names = dict(enumerate(axis.names))
    panels = parts_of(rows, "panel")
    lines = _of_pairs(rows, found) if found.is_pair else _of_records(rows, found)
    parts = [line.table(panel, names, place_of) for panel, line in lines]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)
    most = int(frame["count"].max()) if parts else 0
    return Charted.of(
        frame,
        {
            "metric": metric,
            "label": axis_label(found.quantity),
            "round": found.round,
            "rounds": list(found.rounds),
            "layers": [names[at] for at in place_of],
            "panels": [name for name, _ in panels],
            "band": band_name(most, "pairs" if found.is_pair else "clients"),
            "scale": asdict(axis_scale(found.values(), can_be_negative(found.quantity))),
            "note": "" if found.is_pair else str(rows["note"].iloc[0]),
            "missing": {name: missing_in(of_panel) for name, of_panel in panels},
        },
    )


def _of_records(rows: pd.DataFrame, metric: MetricOfLayers) -> Iterator[tuple[str, _Line]]:
    for panel, of_panel in parts_of(rows, "panel"):
        values = usable(of_panel)
        for _, line in values.groupby("line", sort=True):
            spread = spread_along(line, "place", metric.quantity.limits)
            who, moment = str(line["who"].iloc[0]), str(line["moment"].iloc[0])
            whose = "server" if who == "server" else "mean over clients" if spread.count > 1 else "client"
            yield panel, _Line(f"{whose}, {MOMENT_NAMES[moment]}", moment, who, spread)
        yield from ((panel, line) for line in _chance(values))


def _of_pairs(rows: pd.DataFrame, metric: MetricOfLayers) -> Iterator[tuple[str, _Line]]:
    most = most_pairs(rows)
    for panel, of_panel in parts_of(rows, "panel"):
        for name, line in parts_of(of_panel, "line"):
            spread = spread_along(line, "place", metric.quantity.limits, most)
            yield panel, _Line(name, str(line["subject"].iloc[0]), "pairs", spread)
        yield from ((panel, line) for line in _chance(of_panel))


def _chance(rows: pd.DataFrame) -> Iterator[_Line]:
    """Return what chance alone produces: from its mean to its end towards agreement, where both are known."""
    chance = mean_chance(rows, "place")
    if chance.empty:
        return
    mean, end = chance["chance"].to_numpy(float), chance["chance_hi"].to_numpy(float)
    known = bool(np.isfinite(end).any())
    # A distance agrees where it is small.
    share = 95 if np.nanmean(end - mean if known else mean * 0) >= 0 else 5
    name = f"chance: mean to {share} % quantile" if known else "chance level"
    absent = np.full(len(mean), np.nan)
    low, high = (np.fmin(mean, end), np.fmax(mean, end)) if known else (absent, absent)
    yield _Line(name, CHANCE, CHANCE, Spread(chance.index.to_numpy(int), mean, low, high, 1, absent))
