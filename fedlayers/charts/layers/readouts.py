"""What each layer predicts, keeps and adds, by depth: the read-outs of a chain of layers, and what they answer."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.over_clients import mean_chance
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.chain.answered import Answered, answered
from fedlayers.views.chain.readings import CLIENTS, layer_names
from fedlayers.views.quantities import axis_label

_COLUMNS = [
    "question", "quantity", "label", "variant", "who", "place", "layer", "mean", "low", "high", "stderr", "chance",
    "chance_hi",
]  # fmt: skip


def layer_readouts(tables: Tables) -> Charted:
    """Return the last values that answer the three questions about a chain of layers, by depth.

    Args:
        tables: of a run.

    Returns:
        A row per quantity, variant, owner and layer: ``question, quantity, label, variant, who`` (the global model or
        clients' models), ``place, layer, mean, low, high`` (the band over clients), ``stderr`` (of single values),
        ``chance, chance_hi``. Without rows where nothing that answers was measured. Facts: ``layers, paragraphs``
        (heading and sentences), ``equal`` (quantity -> its value if two neighbouring layers were the same) and
        ``band``.
    """
    found = answered(tables)
    names = layer_names(found.readings)
    parts = list(_lines(found))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)
    clients = found.readings.loc[found.readings["who"] == CLIENTS, "client"].nunique()
    return Charted.of(
        frame.assign(layer=frame["place"].map(names).astype(object))[_COLUMNS],
        {
            "layers": list(names.values()),
            "paragraphs": [{"heading": heading, "sentences": told} for heading, told in found.paragraphs()],
            "equal": {answer.quantity: answer.same for answer in found.found if np.isfinite(answer.same)},
            "band": band_name(clients),
        },
    )


def _lines(found: Answered) -> Iterator[pd.DataFrame]:
    known = found.study.quantities
    keys = ["question", "metric", "variant", "who"]
    for (question, metric, variant, who), rows in found.readings.groupby(keys, sort=True):
        quantity = known[str(metric)]
        spread = spread_along(rows, "place", quantity.limits)
        chance = mean_chance(rows, "place").reindex(spread.x)
        told = {"question": question, "quantity": metric, "variant": variant, "who": who, "place": spread.x}
        values = {name: getattr(spread, name) for name in ("mean", "low", "high", "stderr")}
        ends = {name: chance[name].to_numpy(float) for name in ("chance", "chance_hi")}
        yield pd.DataFrame({**told, "label": axis_label(quantity), **values, **ends})
