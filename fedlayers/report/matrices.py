"""Matrices between clients by round, in the form in which a page holds them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.report.columns import Column, constant, packed
from fedlayers.views.matrices import value_ends
from fedlayers.views.quantities import axis_label, value_of_itself
from fedlayers.views.thinning import evenly
from fedlayers.views.values import usable

_BESIDE_VALUE = ("stderr", "n", "chance", "chance_hi", "p")
WHOLE_MODEL = "whole model"


@dataclass(frozen=True)
class Matrices:
    """One metric between clients at one layer, of several rounds.

    Cells are numbered round by round. Of a symmetric metric only the pairs i ≤ j count, pair j (j + 1) / 2 + i of its
    round; else pair i m + j, i the client whose value it is and j the other, both places among the m clients shown.

    Attributes:
        metric: its name in the tables.
        label: its name in plain words, with its unit.
        layer: the layer's name, or "whole model".
        layer_index: the layer's place in the model, −1 for the whole model.
        variant: what distinguishes it from others of the same metric and layer, empty if there are none.
        measured: when, on which models and data.
        symmetric: whether swapping the two clients changes nothing.
        itself: a client's value with itself by definition, None if that is not known.
        rounds: the rounds, ascending.
        ends: the values at the ends of the colour scale, the same for all layers and rounds of the metric.
        columns: by name ``value, stderr, n, chance, chance_hi, p`` and ``reason`` (0: none; k: the
            k-th of ``reasons``).
        reasons: why values are missing.
    """

    metric: str
    label: str
    layer: str
    layer_index: int
    variant: str
    measured: str
    symmetric: bool
    itself: float | None
    rounds: list[int]
    ends: tuple[float, float]
    columns: dict[str, Column]
    reasons: list[str]


def clients_of(rows: pd.DataFrame) -> list[int]:
    """Return the clients in rows between clients, ascending."""
    return sorted({int(client) for end in ("client", "other") for client in rows[end].unique()})


def sizes(rows: pd.DataFrame) -> list[tuple[int, float]]:
    """Return of each matrix the rounds and the numbers per cell and round, see :func:`fedlayers.report.room.room`."""
    found = []
    for _, of_matrix in rows.groupby("matrix", sort=True):
        varied = [name for name in _BESIDE_VALUE if of_matrix[name].nunique() > 1]
        share = 0.5 if _is_symmetric(of_matrix) else 1.0
        found.append((int(of_matrix["round"].nunique()), share * (1 + len(varied))))
    return found


def matrices(rows: pd.DataFrame, clients: Sequence[int], quantities: Quantities, most_rounds: int) -> list[Matrices]:
    """Return all matrices between clients, by metric and layer, the whole model first.

    Args:
        rows: of :func:`fedlayers.views.matrices.between_clients`.
        clients: those that are shown, ascending; rows of others are left out.
        quantities: what is known of the metrics.
        most_rounds: of more rounds than these so many are kept, spaced evenly, the first and the last among them.
    """
    found = []
    for metric, of_metric in rows.groupby("metric", observed=True):
        quantity = quantities[str(metric)]
        ends = value_ends(usable(of_metric), quantity)
        found += [
            _matrices(of_matrix, quantity, clients, most_rounds, ends) for _, of_matrix in of_metric.groupby("matrix")
        ]
    return sorted(found, key=lambda one: (one.metric, one.layer_index, one.variant))


def _matrices(
    rows: pd.DataFrame,
    quantity: Facts,
    clients: Sequence[int],
    most_rounds: int,
    ends: tuple[float, float],
) -> Matrices:
    first = rows.iloc[0]
    whole = pd.isna(first["layer"])
    symmetric = _is_symmetric(rows)
    itself = value_of_itself(quantity)
    rounds = evenly(sorted(int(number) for number in rows["round"].unique()), most_rounds)
    columns, reasons = _columns(rows, clients, rounds, symmetric)
    return Matrices(
        metric=quantity.name,
        label=axis_label(quantity),
        layer=WHOLE_MODEL if whole else str(first["layer"]),
        layer_index=-1 if whole else int(first["layer_index"]),
        variant=str(first["matrix_name"]),
        measured=str(first["measured"]),
        symmetric=symmetric,
        itself=itself if np.isfinite(itself) else None,
        rounds=rounds,
        ends=ends,
        columns=columns,
        reasons=reasons,
    )


def _is_symmetric(rows: pd.DataFrame) -> bool:
    # How the table is laid out, whatever is stated: one triangle of what is symmetric.
    return not bool((rows["client"] > rows["other"]).any())


def _columns(
    rows: pd.DataFrame, clients: Sequence[int], rounds: Sequence[int], symmetric: bool
) -> tuple[dict[str, Column], list[str]]:
    shown = rows["client"].isin(clients) & rows["other"].isin(clients) & rows["round"].isin(rounds)
    rows = rows if shown.all() else rows[shown]
    cells, count = _cells(rows, clients, rounds, symmetric)
    values = rows["value"].to_numpy(float)
    there = (rows["status"] == "ok").to_numpy(bool) & np.isfinite(values)
    reasons, codes = _reasons(rows, there)
    columns: dict[str, Column] = {"value": _spread(np.where(there, values, np.nan), cells, count)}
    for name in _BESIDE_VALUE:
        beside = np.where(there, rows[name].to_numpy(float, na_value=np.nan), np.nan)
        same = constant(beside[there])
        columns[name] = _spread(beside, cells, count) if same is None else same
    columns["reason"] = _spread(codes, cells, count) if reasons else None
    return columns, reasons


def _cells(
    rows: pd.DataFrame, clients: Sequence[int], rounds: Sequence[int], symmetric: bool
) -> tuple[np.ndarray, int]:
    """Return each row's cell, and how many cells there are."""
    m = len(clients)
    # Both are ascending.
    i, j = (np.searchsorted(clients, rows[end].to_numpy(int)) for end in ("client", "other"))
    in_round = np.searchsorted(rounds, rows["round"].to_numpy(int))
    of_each = m * (m + 1) // 2 if symmetric else m * m
    pair = j * (j + 1) // 2 + i if symmetric else i * m + j
    return in_round * of_each + pair, of_each * len(rounds)


def _spread(values: np.ndarray, cells: np.ndarray, count: int) -> Column:
    dense = np.full(count, np.nan)
    dense[cells] = values
    return packed(dense)


def _reasons(rows: pd.DataFrame, there: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the reasons why values are missing, and of each row the number of its reason, 0 if it has a value."""
    if there.all():
        return [], np.zeros(len(rows))
    told = rows["reason"].astype(object).fillna("no reason given")
    odd = (rows["status"] == "ok").to_numpy(bool) & ~there
    told = told.where(~odd, "the value is " + rows["value"].astype(str))
    reasons = sorted(str(reason) for reason in told[~there].unique())
    number = {reason: code for code, reason in enumerate(reasons, 1)}
    return reasons, np.where(there, 0, told.map(lambda reason: number.get(reason, 0)).to_numpy(int)).astype(float)
