"""A layer as one row of numbers per output unit."""

import numpy as np

from metrics.distances.weights.participant import LayerWeights


def unit_rows(layer: LayerWeights) -> np.ndarray | None:
    """Return all numbers that belong to each output unit, shape (units, numbers), float64.

    Args:
        layer: its arrays are put side by side, in their order.

    Returns:
        The rows; None if the layer has no arrays or they differ in the number of units.
    """
    matrices = [array.matrix() for array in layer.arrays]
    if len({len(matrix) for matrix in matrices}) != 1:
        return None
    return np.hstack(matrices).astype(np.float64)
