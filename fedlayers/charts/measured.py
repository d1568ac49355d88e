"""Which metrics a table of a run has: of the whole model, of layers, or of both."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.quantities import axis_label

COLUMNS = ("metric", "layer")
_AT_ONCE = 2**16


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
    codes, counts = metric.cat.codes.to_numpy(), np.zeros(2 * len(names), np.int64)
    # Millions of rows: some at a time stay in the processor's cache.
    for begin in range(0, len(codes), _AT_ONCE):
        span = slice(begin, begin + _AT_ONCE)
        counts += np.bincount(2 * codes[span].astype(np.int64) + layer[span], minlength=len(counts))
    known = sorted(
        (name, one[0], one[1]) for name, one in zip(names, counts.reshape(-1, 2).tolist(), strict=True) if any(one)
    )
    quantities = [tables.quantities[name] for name, _, _ in known]
    return Charted(
        {
            "metric": [name for name, _, _ in known],
            "label": [axis_label(quantity) for quantity in quantities],
            "direction": [quantity.direction for quantity in quantities],
            "of_model": np.array([of_model > 0 for _, of_model, _ in known], bool),
            "of_layers": np.array([of_layers > 0 for _, _, of_layers in known], bool),
        }
    )
