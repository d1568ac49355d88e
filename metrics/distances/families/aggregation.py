"""One number from a matrix of layer distances."""

from collections.abc import Callable, Mapping

import numpy as np

# What is known -> one number; the key names it. None of them depends on the order of the layers.
AGGREGATIONS: Mapping[str, Callable[[np.ndarray], float]] = {
    "sum": lambda known: float(known.sum()),
    "mean": lambda known: float(known.mean()),
    "mean_squared": lambda known: float(np.square(known).mean()),
    "mean_sqroot": lambda known: float(np.sqrt(known).mean()),
    "product": lambda known: float(known.prod()),
}


def aggregated(matrix: np.ndarray, aggregation: str) -> float:
    """Return one number for the known cells of a matrix of layer distances.

    With known cells d_1 … d_k: ``sum`` Σ d_i, ``mean`` Σ d_i / k, ``mean_squared`` Σ d_i² / k,
    ``mean_sqroot`` Σ √d_i / k, ``product`` Π d_i.

    Args:
        matrix: distances, any shape; NaN where two layers cannot be compared.
        aggregation: a key of :data:`AGGREGATIONS`.

    Returns:
        The number; NaN if no cell is known.

    Raises:
        ValueError: if the key is unknown, or if a cell below 0 has no square root.

    Examples:
        >>> import numpy as np
        >>> layers = np.array([[3.0, 9.0], [9.0, 4.0]])
        >>> aggregated(layers, "sum"), aggregated(layers, "mean"), aggregated(layers, "product")
        (25.0, 6.25, 972.0)
    """
    check_aggregation(aggregation)
    known = np.asarray(matrix, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return float("nan")
    if aggregation == "mean_sqroot" and known.min() < 0:
        raise ValueError(f"mean_sqroot needs distances of 0 or more, got {known.min():g}")
    return AGGREGATIONS[aggregation](known)


def check_aggregation(aggregation: str) -> None:
    """Raise ValueError if a key names no aggregation."""
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"aggregation must be one of {', '.join(AGGREGATIONS)}, got {aggregation!r}")
