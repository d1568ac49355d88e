"""The curves of one layer, such as its Hessian's eigenvalue density: of each client and the server."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.rounds import shown_round
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.density import half_width
from fedlayers.views.client_names import client_list, client_names
from fedlayers.views.densities import layer_densities
from fedlayers.views.moments import MOMENT_NAMES

# Far beyond the bulk, a linear axis would show the largest eigenvalue and a line at zero.
_FAR, _DECADES = 30, 5
_SERVER = "global model"


def layer_spectra(tables: Tables, layer: str, round: int | None = None) -> Charted:
    """Return the eigenvalue densities of a layer's Hessian in one round.

    Args:
        tables: of a run.
        layer: its name.
        round: see :func:`fedlayers.charts.rounds.shown_round`.

    Returns:
        A row per client (NaN for the server) and point: ``client, client_name, x, y``; y is NaN where it is no density,
        at zero or below. Facts: ``label_x, label_y, layer, layers`` (those with densities), ``round, rounds, moment,
        clients``, ``threshold`` (up to which the axis of eigenvalues is linear, None if it is as a whole) and ``ends``
        (of the axis of densities, which is logarithmic).

    Raises:
        UserError: no density of the layer was measured.
    """
    every = layer_densities(tables.spectra)
    layers = every.drop_duplicates("layer_index").sort_values("layer_index")["layer"].astype(str).tolist()
    rows = every[every["layer"] == layer]
    rounds = sorted(int(number) for number in rows["round"].unique())
    shown = shown_round(rounds, round)
    if shown is None:
        known = ", ".join(layers) or "none: run with metrics=[curvature]"
        raise UserError(f"layer must be one of those with densities of eigenvalues, {known}, got {layer}")
    rows = rows[rows["round"] == shown].sort_values("client", na_position="first")
    names = client_names(run_facts(tables.path), rows["client"])
    curves = [(np.asarray(x, float), np.asarray(y, float)) for x, y in zip(rows["x"], rows["y"], strict=True)]
    clients = rows["client"].to_numpy(float, na_value=np.nan)
    called = [_SERVER if np.isnan(client) else names[int(client)] for client in clients]
    parts = [_table(client, name, *curve) for client, name, curve in zip(clients, called, curves, strict=True)]
    top = max(float(y.max()) for _, y in curves)
    return Charted.of(
        pd.concat(parts, ignore_index=True),
        {
            "label_x": "eigenvalue", "label_y": "density", "layer": layer, "layers": layers, "round": shown,
            "rounds": rounds, "moment": MOMENT_NAMES[str(rows["moment"].iloc[0])],
            "clients": client_list(names),
            "threshold": _threshold(curves), "ends": [top * 10**-_DECADES, 2 * top],
        },
    )  # fmt: skip


def _table(client: float, name: str, x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"client": client, "client_name": name, "x": x, "y": np.where(y > 0, y, np.nan)})


def _threshold(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Return up to which size eigenvalues are on a linear axis, None if all are: a power of ten."""
    bulk = min(half_width(x, y) for x, y in curves)
    largest = max(float(np.abs(x[[0, -1]]).max()) for x, _ in curves)
    return float(10.0 ** np.floor(np.log10(bulk))) if largest > _FAR * bulk > 0 else None
