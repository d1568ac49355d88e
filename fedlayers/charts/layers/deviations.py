"""How far each client is from the others in every metric at every layer in one round."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.colour_scale import ColourScale
from fedlayers.charts.layers.series import COLUMNS, MetricOfLayers
from fedlayers.charts.rounds import shown_round
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.deviations import ODD, modified_z_scores
from fedlayers.views.client_names import client_list, client_names
from fedlayers.views.pairs import pair_metrics
from fedlayers.views.profiles import layer_metrics
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

# Beyond, all is of the darkest colour: one client that is very far away would leave the others pale.
_MOST = 2 * ODD
_BETWEEN_CLIENTS = ("clients",)
_TABLES, _LOOKED_AT = ("records", "pairs"), ("round", "layer", "client", "value", "status")


def layer_deviations(tables: Tables, round: int | None = None) -> Charted:
    """Return for each metric, layer and client how far the client's value is from the others', as a modified z score.

    Of a metric of pairs, the value is the mean over the other clients. Of several series of a metric (moments,
    variants) the first one counts; see :func:`fedlayers.statistics.deviations.modified_z_scores`.

    Args:
        tables: of a run.
        round: see :func:`fedlayers.charts.rounds.shown_round`; metrics that were not measured in it are left out.

    Returns:
        A row per metric, layer and client with a value: ``metric, label, series, layer, layer_index, client,
        client_name, value, score`` (NaN where it is not defined). Facts: ``label, round, rounds, scale,
        layers, metrics, clients, odd`` (the score from which Iglewicz and Hoaglin call a value odd).

    Raises:
        UserError: no layer of a client has a value.
    """
    rounds = _rounds(tables)
    shown = shown_round(rounds, round)
    if shown is None:
        raise UserError(f"{tables.path.name} has no values of layers of single clients: take metrics that measure some")
    parts = list(_scored(tables, *(_of_clients(tables.some(table, round=[shown])) for table in _TABLES)))
    frame = pd.concat(parts, ignore_index=True)
    scale = ColourScale.about_zero(frame["score"].to_numpy(float), _MOST)
    names = client_names(run_facts(tables.path), frame["client"])
    layers = frame.drop_duplicates("layer_index").sort_values("layer_index")
    return Charted.of(
        frame.assign(
            client=frame["client"].astype(int),
            client_name=frame["client"].map(names).astype(object),
        ),
        {
            "label": "modified z score: distance from the clients' median, in units of the usual distance",
            "round": shown,
            "rounds": rounds,
            "scale": scale.facts(),
            "layers": list(layers["layer"]),
            "metrics": list(dict.fromkeys(frame["label"])),
            "clients": client_list(names),
            "odd": ODD,
        },
    )


def _rounds(tables: Tables) -> list[int]:
    """Return the rounds in which layers of clients have values, ascending."""
    slim = (_of_clients(tables.some(table, _LOOKED_AT))["round"].to_numpy(np.int64) for table in _TABLES)
    found = np.bincount(np.concatenate([*slim]))
    return [int(number) for number in np.flatnonzero(found)]


def _of_clients(rows: pd.DataFrame) -> pd.DataFrame:
    return usable(rows[rows["layer"].notna() & rows["client"].notna()])


def _scored(tables: Tables, records: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    facts = run_facts(tables.path)
    for is_pair, rows, metrics in (
        (False, records, layer_metrics(records)),
        (True, pairs, pair_metrics(pairs, _BETWEEN_CLIENTS)),
    ):
        for name in metrics:
            mine = rows[rows["metric"] == name]
            number = int(mine["round"].iloc[0])
            metric = MetricOfLayers(tables.quantities[name], mine, is_pair, number, (number,), facts)
            first = next(metric.series(), None)
            if first is not None:
                yield _of_metric(first.rows[COLUMNS].dropna(subset="client")).assign(
                    metric=name, label=axis_label(metric.quantity), series=first.name
                )


def _of_metric(rows: pd.DataFrame) -> pd.DataFrame:
    layers, layer = np.unique(rows["layer_index"].to_numpy(), return_inverse=True)
    clients, client = np.unique(rows["client"].to_numpy(), return_inverse=True)
    table = np.full((len(layers), len(clients)), np.nan)
    table[layer, client] = rows["value"].to_numpy(float)
    kept = rows[["layer", "layer_index", "client", "value"]]
    return kept.assign(score=modified_z_scores(table)[layer, client]).dropna(subset="value")
