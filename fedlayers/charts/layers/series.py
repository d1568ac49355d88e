"""The series of a metric of layers in one round: whose values, when measured, of which variant."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.rounds import shown_round
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Facts
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.over_clients import mean_over_others
from fedlayers.views.moments import MOMENT_NAMES, ROUND_MOMENTS, at_moments
from fedlayers.views.numbered import parts_of
from fedlayers.views.pairs import PROFILED, in_relations
from fedlayers.views.places import placed
from fedlayers.views.profiles import every_round, layer_rows
from fedlayers.views.values import usable, why_absent, with_value
from fedlayers.views.variants import by_variant

CHANGE = "change by aggregation"
COLUMNS = ["client", "layer", "layer_index", "value", "stderr", "n", "reason"]


@dataclass(frozen=True)
class Series:
    """Values of clients and of the server at layers, at most one each.

    Attributes:
        name: what tells it from the metric's others in the round, in words.
        make: returns ``rows``.
        note: what the values are, if not those of all examples at moments; empty if they are.
        relation: of pairs, what the two have to do with each other.
        is_change: whether values are differences, so that zero is their middle.
    """

    name: str
    make: Callable[[], pd.DataFrame]
    note: str = ""
    relation: str = ""
    is_change: bool = False

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Columns ``client`` (absent for the server), ``layer, layer_index, value, stderr, n, reason``."""
        return self.make()


@dataclass(frozen=True)
class MetricOfLayers:
    """A metric of layers in one round of a run.

    Attributes:
        quantity: what is known of it.
        rows: all its rows of layers, of all rounds, as the table has them.
        is_pair: whether they are of the table of pairs.
        round: the round that is shown.
        rounds: those in which it was measured, ascending.
        facts: of the run.
    """

    quantity: Facts
    rows: pd.DataFrame
    is_pair: bool
    round: int
    rounds: tuple[int, ...]
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, tables: Tables, metric: str, asked: int | None) -> "MetricOfLayers":
        """Return a metric of a run's layers.

        Args:
            tables: of a run.
            metric: its name in the table of records, or in that of pairs.
            asked: the round; see :func:`fedlayers.charts.rounds.shown_round`.

        Raises:
            UserError: no layer has a value of it.
        """
        rows, is_pair = _rows_of(tables, metric)
        measured = usable(rows)
        rounds = sorted(int(number) for number in measured["round"].unique())
        shown = shown_round(rounds, asked)
        if shown is None:
            raise no_layer_metric(tables, metric)
        return cls(tables.quantities[metric], rows, is_pair, shown, tuple(rounds), run_facts(tables.path))

    @property
    def of_round(self) -> pd.DataFrame:
        """The rows of the round that is shown."""
        found: pd.DataFrame = self.rows[self.rows["round"] == self.round]
        return found

    def values(self, relation: str = "") -> np.ndarray:
        """Return the finite values of all rounds, by which a scale is made that fits every round.

        Args:
            relation: of pairs, the one whose values are shown; empty for all.
        """
        if self.is_pair:
            rows = self.rows[self.rows["subject"] == relation] if relation else self.rows
        else:
            rows, _ = layer_rows(self.rows, self.quantity.name)
        return usable(rows)["value"].to_numpy(float)

    def series(self) -> Iterator[Series]:
        """Yield the series that have values in the round that is shown, each found when it is asked for."""
        return _of_pairs(self.of_round, self.quantity.name) if self.is_pair else _of_records(self)


def no_layer_metric(tables: Tables, metric: str) -> UserError:
    """Return the error for a metric of which no layer has a value."""
    meant = in_brackets(metric, tables.quantities)
    return UserError(
        f"metric must be one that layers have values of, got {metric!r}{meant}: see what was measured of them"
    )


def _rows_of(tables: Tables, metric: str) -> tuple[pd.DataFrame, bool]:
    records = tables.records
    rows = records[(records["metric"] == metric) & records["layer"].notna()]
    if not rows.empty:
        return rows, False
    pairs = tables.pairs
    between = pairs[(pairs["metric"] == metric) & pairs["subject"].isin(list(PROFILED)) & pairs["layer"].notna()]
    return at_moments(between), True


def _of_records(metric: MetricOfLayers) -> Iterator[Series]:
    rows = every_round(metric.of_round, metric.quantity.name, metric.facts)
    note = str(rows["note"].iloc[0])
    for name, of_panel in parts_of(rows, "panel"):
        there = with_value(of_panel)
        measured = {moment: (of_panel["moment"] == moment).to_numpy(bool) for moment in MOMENT_NAMES}
        for moment, here in measured.items():
            if there[here].any():
                yield Series(_named(name, MOMENT_NAMES[moment]), partial(_plain, of_panel[here]), note)
        before, after = (of_panel[there & measured[moment]] for moment in ROUND_MOMENTS)
        if set(before["client"]) & set(after["client"]):
            yield Series(_named(name, CHANGE), partial(_change, before, after), note, is_change=True)


def _change(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return by how much values are higher after aggregation than before; where either lacks one there is no row."""
    keys = ["client", "layer_index"]
    both = _plain(before).merge(_plain(after), "inner", keys, suffixes=("", "_after"))
    return both.assign(value=both["value_after"] - both["value"], stderr=np.nan, n=np.nan, reason=None)[COLUMNS]


def _of_pairs(rows: pd.DataFrame, metric: str) -> Iterator[Series]:
    for relation, words in PROFILED.items():
        own = in_relations(rows, metric, (relation,))
        if relation == "rounds":
            own = own[own["other_round"] == own["other_round"].min()]
        of_others = relation == "clients"
        told, make = ("mean over the other clients", _mean_over_others) if of_others else (words, _plain)
        for variant, of_variant in by_variant(own):
            for moment in MOMENT_NAMES:
                here = of_variant[of_variant["moment"] == moment]
                if not here.empty:
                    yield Series(_named(told, variant, MOMENT_NAMES[moment]), partial(make, here), relation=relation)


def _mean_over_others(rows: pd.DataFrame) -> pd.DataFrame:
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    means = mean_over_others(placed(rows, {}))
    index, names = layers["layer_index"].to_numpy(int), layers["layer"].astype(object).to_numpy()
    place = means["place"].to_numpy(int)
    return means.assign(layer_index=index[place], layer=names[place], n=np.nan, reason=None)[COLUMNS]


def _named(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    there = with_value(rows)
    return pd.DataFrame(
        {
            "client": rows["client"].to_numpy(float, na_value=np.nan),
            "layer": rows["layer"].astype(object).to_numpy(),
            "layer_index": rows["layer_index"].to_numpy(int),
            "value": np.where(there, rows["value"].to_numpy(float, na_value=np.nan), np.nan),
            "stderr": np.where(there, rows["stderr"].to_numpy(float, na_value=np.nan), np.nan),
            "n": rows["n"].to_numpy(float, na_value=np.nan) if "n" in rows else np.nan,
            "reason": why_absent(rows),
        }
    )
