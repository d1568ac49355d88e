"""Who holds what: examples of each class at each client."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.colour_scale import ColourScale
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.decades import spans_decades
from fedlayers.views.client_names import client_list
from fedlayers.views.holdings import SPLITS, holdings

ALL = "all"


def client_holdings(tables: Tables) -> Charted:
    """Return how many examples of each class each client holds.

    Args:
        tables: of a run.

    Returns:
        A row per client, class and split, ``all`` of them together first: ``client, client_name, label, label_name,
        split, examples``. Without rows where the partition is not known. Facts: ``label, scale`` (of colours, of the
        counts above zero of all splits together), ``splits, classes`` (names, by label), ``clients`` (number and name)
        and ``left_out`` (how many clients there is no room for).
    """
    held = holdings(tables.partition)
    keys = ["client", "client_name", "label", "label_name"]
    plain = held.assign(**{name: held[name].astype(object) for name in ("client_name", "label_name", "split")})
    together = plain.groupby(keys, sort=True, as_index=False)["examples"].sum().assign(split=ALL)
    counts = together["examples"].to_numpy(float)
    scale = _scale(counts[counts > 0])
    splits = [name for name in SPLITS.values() if (plain["split"] == name).any()]
    clients = together.drop_duplicates("client")
    classes = together.drop_duplicates("label").sort_values("label")
    return Charted.of(
        pd.concat([together, plain], ignore_index=True)[[*keys, "split", "examples"]],
        {
            "label": "examples",
            "scale": scale.facts(),
            "splits": [ALL, *splits] if splits else [],
            "classes": [str(name) for name in classes["label_name"]],
            "clients": client_list(
                dict(zip(map(int, clients["client"]), map(str, clients["client_name"]), strict=True))
            ),
            "left_out": max(int(run_facts(tables.path).get("clients") or 0) - len(clients), 0),
        },
    )


def _scale(counts: np.ndarray) -> ColourScale:
    """Return the scale of counts above zero: logarithmic over decades, else from one example on."""
    if not len(counts):
        return ColourScale(1.0, 2.0)
    return ColourScale(
        *((counts.min(), counts.max()) if spans_decades(counts) else (1.0, max(float(counts.max()), 2.0)))
    )
