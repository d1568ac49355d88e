"""Which metrics a table of a run has: of the whole model, of layers, or of both."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.quantities import axis_label

COLUMNS = ("metric", "layer")


def measured(tables: Tables, table: str = "records") -> Charted:
    """Return the metrics that have rows, by name.

    Args:
        tables: of one run, all rows with ``COLUMNS``.
        table: ``records``, ``pairs``, ``spectra`` or ``resources``.

    Returns:
        Columns ``metric, label`` (with its unit), ``direction, of_model, of_layers`` (whether there are such rows).
    """
    rows: pd.DataFrame = getattr(tables, table)
    metric, layer = rows["metric"].astype("category"), rows["layer"].notna().to_numpy()
    names = [str(name) for name in metric.cat.categories]
    codes = metric.cat.codes.to_numpy(np.int64)
    counts = np.bincount(2 * codes + layer, minlength=2 * len(names)).reshape(-1, 2)
    known = [
        (name, axis_label(tables.quantities[name]), tables.quantities[name].direction, bool(of_model), bool(of_layers))
        for name, (of_model, of_layers) in zip(names, counts, strict=True)
        if of_model or of_layers
    ]
    columns = ["metric", "label", "direction", "of_model", "of_layers"]
    found = pd.DataFrame(known, columns=columns).astype({"of_model": bool, "of_layers": bool})
    return Charted.of(found.sort_values("metric", ignore_index=True))
