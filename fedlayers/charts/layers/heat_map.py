"""A metric of every client at every layer in one round, as a heat map."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.colour_scale import ColourScale
from fedlayers.charts.layers.series import MetricOfLayers, Series
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.client_names import client_list, client_names
from fedlayers.views.quantities import axis_label

_SERVER = "server"


def layer_heat_map(tables: Tables, metric: str, round: int | None = None, series: str | None = None) -> Charted:
    """Return a metric's values of clients and server at layers in one round.

    Args:
        tables: of a run.
        metric: of the records, or of the pairs of clients with the others, the global model or their first round.
        round: see :func:`fedlayers.charts.rounds.shown_round`.
        series: which of the metric's series; the first one if it has none of that name in the round.

    Returns:
        A row per client (NaN for the server) and layer that was measured: ``client, client_name, layer, layer_index,
        value, stderr, n, reason`` (why there is no value). Facts: ``metric, label, round, rounds, series, names`` (of
        all series), ``note, scale`` (of colours, that of all rounds), ``layers`` and ``clients`` (names in order, with
        numbers).

    Raises:
        UserError: no layer has a value of the metric.
    """
    found = MetricOfLayers.of(tables, metric, round)
    every = list(found.series())
    shown = next((one for one in every if one.name == series), every[0])
    rows = shown.rows.sort_values(["client", "layer_index"], na_position="last")
    scale = _scale(found, shown)
    names = client_names(found.facts, rows["client"])
    label = axis_label(found.quantity)
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    frame = pd.DataFrame(
        {
            "client": rows["client"],
            "client_name": [_SERVER if np.isnan(client) else names[int(client)] for client in rows["client"]],
            **{name: rows[name] for name in ("layer", "layer_index", "value", "stderr", "n", "reason")},
        }
    )
    return Charted.of(
        frame,
        {
            "metric": metric,
            "label": f"change of {label}" if shown.is_change else label,
            "round": found.round,
            "rounds": list(found.rounds),
            "series": shown.name,
            "names": [one.name for one in every],
            "scale": scale.facts(),
            "layers": list(layers["layer"]),
            "clients": client_list(names),
            "note": shown.note,
        },
    )


def _scale(metric: MetricOfLayers, shown: Series) -> ColourScale:
    if shown.is_change:
        return ColourScale.about_zero(shown.rows["value"].to_numpy(float))
    return ColourScale.of_values(metric.values(shown.relation), metric.quantity, compares_things=metric.is_pair)
