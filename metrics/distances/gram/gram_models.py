"""Distances between all pairs of models from matrix products, for the metrics that have such a form."""

from collections.abc import Callable, Sequence

import numpy as np

from metrics.distances.families import LayerMetric
from metrics.distances.gram.gram_pairs import GramDistances
from metrics.distances.gram.shared_products import products_of
from metrics.distances.weights.aligned import aligned_arrays
from metrics.distances.weights.participant import Model

# Such as GramDistances.l2: distances of all pairs in some parts of the model, shape (n, n).
Table = Callable[[GramDistances, Sequence[int]], np.ndarray]


def layer_tables(models: Sequence[Model], table: Table) -> np.ndarray | None:
    """Return a table of all pairs for every layer, shape (layers, n, n), 0 on diagonals; None if none line up."""
    aligned = aligned_arrays(models)
    if aligned is None:
        return None
    pairs = products_of(models, aligned)
    found = np.stack([table(pairs, parts) for parts in aligned.layers])
    found[:, range(len(models)), range(len(models))] = 0.0
    return found


def whole_table(models: Sequence[Model], table: Table) -> np.ndarray | None:
    """Return a table of all pairs for the whole models, shape (n, n), 0 on the diagonal; None as above."""
    aligned = aligned_arrays(models)
    if aligned is None:
        return None
    found = table(products_of(models, aligned), range(len(aligned.vectors)))
    np.fill_diagonal(found, 0.0)
    return found


def paired_layers_matrix(metric: LayerMetric, models: Sequence[Model], table: Table) -> np.ndarray | None:
    """Return the model distances of a layer metric that looks at the diagonal of layer matrices only.

    Args:
        metric: says how layers are aggregated.
        models: n models.
        table: the metric's distance, of all pairs of models at once.

    Returns:
        Shape (n, n); None if the metric is not pairwise or the models do not line up.
    """
    tables = layer_tables(models, table) if metric.pairwise else None
    return None if tables is None else metric.model_distances(tables)
