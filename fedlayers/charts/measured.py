"""Which metrics a table of a run has: of the whole model, of layers, or of both."""

from collections import defaultdict

import numpy as np

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
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2, np.int64))
    # Millions of rows: some at a time stay in the processor's cache.
    for batch in tables.columns(table, COLUMNS).to_batches(_AT_ONCE):
        metric, has_layer = batch.column("metric"), batch.column("layer").is_valid().to_numpy(zero_copy_only=False)
        names, codes = metric.dictionary.to_pylist(), metric.indices.to_numpy().astype(np.int64)
        there = np.bincount(2 * codes + has_layer, minlength=2 * len(names)).reshape(-1, 2)
        for name, count in zip(names, there, strict=True):
            counts[str(name)] += count
    known = sorted((name, int(count[0]), int(count[1])) for name, count in counts.items() if count.any())
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
