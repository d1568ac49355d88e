"""What two clients are compared by: the matrices between clients that a run holds, and one of them in one round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.damaged import rows_that_can_be_read
from fedlayers.charts.due import not_yet
from fedlayers.charts.rounds import shown_round
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Facts
from fedlayers.core.records import SCHEMAS
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import refused
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.client_names import client_list, client_names
from fedlayers.views.clusters import MEMBERSHIP, memberships
from fedlayers.views.matrices import between_clients, client_square, value_ends
from fedlayers.views.quantities import axis_label, value_of_itself
from fedlayers.views.thinning import evenly
from fedlayers.views.values import usable

WHOLE_MODEL = "whole model"
_MOST_CLIENTS = 200


@dataclass(frozen=True)
class ComparedClients:
    """One measure between clients, at one layer or of whole models, in one round.

    Attributes:
        quantity: what is known of the measure.
        rows: of the round, as the table has them: at most one for each two clients.
        rounds: those with values, ascending.
        round: the one that is shown.
        layer: the layer's name, or ``whole model``.
        settings: names of the matrices that the measure has at the layer, such as a moment or a variant.
        setting: the one that is shown.
        measured: when, on which models and data.
        ends: the values at the two ends of a scale of colours that is that of all layers and rounds.
        names: client -> name, of those that are shown.
        left_out: how many clients there is no room for.
    """

    quantity: Facts
    rows: pd.DataFrame
    rounds: tuple[int, ...]
    round: int
    layer: str
    settings: tuple[str, ...]
    setting: str
    measured: str
    ends: tuple[float, float]
    names: dict[int, str]
    left_out: int

    @classmethod
    def of(
        cls, tables: Tables, metric: str, layer: str | None = None, round: int | None = None, setting: str | None = None
    ) -> "ComparedClients":
        """Return one measure between clients.

        Args:
            tables: of a run.
            metric: its name.
            layer: a layer's name; None for whole models, or the last layer where these are not compared.
            round: see :func:`fedlayers.charts.rounds.shown_round`.
            setting: the name of a matrix; if the layer has none of that name the first of those measured in the round
                that is shown: a plan that changes makes another one of the layers that are shared then.

        Raises:
            UserError: clients are not compared by it, or not at that layer.
        """
        pairs = tables.pairs
        of_metric = between_clients(pairs[pairs["metric"] == metric])
        values = usable(of_metric)
        if values.empty:
            meant = in_brackets(metric, tables.quantities)
            raise UserError(
                f"metric must be one by which clients are compared, got {metric!r}{meant}: see what there is"
            )
        layers = _layers(values)
        chosen = layer if layer is not None else WHOLE_MODEL if WHOLE_MODEL in layers else layers[-1]
        if chosen not in layers:
            raise refused("layer", chosen, layers)
        here = of_metric[_at(of_metric, chosen)]
        settings = {str(own["matrix_name"].iloc[0]): own for _, own in here.groupby("matrix", sort=True)}
        measured = {name: sorted(map(int, usable(own)["round"].unique())) for name, own in settings.items()}
        name = setting if setting in settings else _nearest(measured, round)
        rounds = measured[name]
        shown = shown_round(rounds, round)
        if shown is None:
            raise refused("layer", chosen, layers)
        rows = settings[name][settings[name]["round"] == shown]
        every = client_names(run_facts(tables.path), rows["client"], rows["other"])
        kept = evenly(list(every), _MOST_CLIENTS)
        rows = rows[rows["client"].isin(kept) & rows["other"].isin(kept)] if len(kept) < len(every) else rows
        quantity = tables.quantities[metric]
        return cls(
            quantity, rows, tuple(rounds), shown, chosen, tuple(settings), str(name), str(rows["measured"].iloc[0]),
            value_ends(values, quantity), {client: every[client] for client in kept}, len(every) - len(kept),
        )  # fmt: skip

    @property
    def label(self) -> str:
        """The measure's name with its unit."""
        return axis_label(self.quantity)

    @property
    def is_symmetric(self) -> bool:
        """Whether a value counts for both orders of two clients: the table has one triangle, whatever is stated."""
        return not bool((self.rows["client"] > self.rows["other"]).any())

    @property
    def itself(self) -> float:
        """A client's value with itself, NaN if that is not known."""
        return value_of_itself(self.quantity)

    @property
    def square(self) -> np.ndarray:
        """The values between the clients of ``names``, shape (m, m), NaN where there is none."""
        return client_square(usable(self.rows), list(self.names), self.is_symmetric, self.itself)

    @property
    def facts(self) -> dict[str, object]:
        """What every chart of it says."""
        return {
            "metric": self.quantity.name, "label": self.label, "layer": self.layer, "round": self.round,
            "rounds": list(self.rounds), "setting": self.setting, "settings": list(self.settings),
            "measured": self.measured, "left_out": self.left_out,
        }  # fmt: skip


def measured_between_clients(tables: Tables) -> Charted:
    """Return by what clients of a run are compared, and where.

    Args:
        tables: of a run.

    Returns:
        A row per measure and layer, whole models first: ``metric, label, layer, layer_index`` (−1 for whole models)
        and ``direction``. Facts: ``layers`` (all of the rows), ``rounds`` (measure -> those with values), ``clusters``
        (ways by which clusters were found), ``clients`` (number and name), ``main`` (what is shown at first) and
        ``not_yet``, what a run that goes on begins to measure later where it has compared no clients so far, or None;
        ``damaged``, a sentence if the table of pairs cannot be read.

    Raises:
        UserError: the records cannot be read.
    """
    damaged: list[str] = []
    rows = usable(between_clients(rows_that_can_be_read(tables, "pairs", SCHEMAS["pairs"].names, damaged)))
    known = rows.assign(index=rows["layer_index"].astype(float).fillna(-1)).drop_duplicates(["metric", "index"])
    known = known.sort_values(["metric", "index"])
    names = measures(rows)
    main = "cluster_distance" if "cluster_distance" in names else names[0] if names else None
    facts = run_facts(tables.path)
    called = client_names(facts, pd.Series(range(int(facts.get("clients") or 0)), dtype=int))
    return Charted.of(
        pd.DataFrame(
            {
                "metric": known["metric"].astype(str),
                "label": [axis_label(tables.quantities[str(name)]) for name in known["metric"]],
                "layer": _layer_of(known),
                "layer_index": known["index"].astype(int),
                "direction": [tables.quantities[str(name)].direction for name in known["metric"]],
            }
        ),
        {
            "layers": _layers(rows),
            "rounds": {name: sorted(map(int, rows.loc[rows["metric"] == name, "round"].unique())) for name in names},
            "clusters": sorted(memberships(tables.some("records", metric=[MEMBERSHIP]))["by"].unique()),
            "clients": client_list(called),
            "main": main,
            "not_yet": None if names else not_yet(tables.path),
            "damaged": damaged,
        },
    )


def measures(rows: pd.DataFrame) -> list[str]:
    """Return the metrics of some rows, by name."""
    return sorted(str(name) for name in rows["metric"].unique())


def _layers(rows: pd.DataFrame) -> Sequence[str]:
    """Return the layers of rows in the order of the model, whole models first."""
    index = rows["layer_index"].astype(float).fillna(-1)
    ordered = rows.assign(index=index).drop_duplicates("index").sort_values("index")
    return list(_layer_of(ordered))


def _layer_of(rows: pd.DataFrame) -> "pd.Series[str]":
    return rows["layer"].astype(object).where(rows["layer"].notna(), WHOLE_MODEL)


def _nearest(measured: Mapping[str, Sequence[int]], round: int | None) -> str:
    """Return the first matrix of those measured in the round that is to be shown, of all matrices' rounds."""
    shown = shown_round(sorted({number for rounds in measured.values() for number in rounds}), round)
    return next((name for name, rounds in measured.items() if shown in rounds), next(iter(measured)))


def _at(rows: pd.DataFrame, layer: str) -> "pd.Series[bool]":
    return rows["layer"].isna() if layer == WHOLE_MODEL else rows["layer"] == layer
