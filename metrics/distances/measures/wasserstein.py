"""Wasserstein distance between the units of two layers: what it costs to turn one set of units into the other."""

import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from metrics.distances.families import LayerMetric
from metrics.distances.steps.elementary import WeightBiasFusion2DStep
from metrics.distances.weights.participant import LayerWeights
from metrics.distances.weights.unit_rows import unit_rows


def wasserstein_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the 2-Wasserstein distance of two sets of equally many points of equal weight.

    √(min_π Σ_i ‖x_i − y_π(i)‖² / n) over all permutations π, which is exact: an optimal plan between equally many
    points of equal weight is a matching. Work n² d for the costs and n³ for the matching.

    Args:
        x: one row per point, shape (n, d).
        y: shape (n, d).

    Returns:
        The distance, 0 if and only if the sets are equal; NaN if there are no points or a number is not finite.

    References:
        Peyré & Cuturi 2019, Computational Optimal Transport, proposition 2.1, arXiv 1803.00567.

    Examples:
        >>> import numpy as np
        >>> units = np.array([[0.0, 0.0], [3.0, 4.0]])
        >>> round(wasserstein_distance(units, units[::-1]), 3), round(wasserstein_distance(units, units + 1.0), 3)
        (0.0, 1.414)
    """
    costs = cdist(x, y, "sqeuclidean")
    if not costs.size or not np.isfinite(costs).all():
        return math.nan
    return math.sqrt(costs[linear_sum_assignment(costs)].mean())


class WassersteinMetric(LayerMetric):
    """``wasserstein_dst``: 2-Wasserstein distance of two layers' units; pairwise.

    A unit is the point that its weights and its bias make; the order of a layer's units does not matter, that of its
    inputs does. A metric on sets of units. NaN if the numbers of units or of inputs differ, or if arrays of one layer
    differ in their units.
    """

    reference = "Peyré & Cuturi 2019, arXiv 1803.00567; W2 between units"

    def __init__(self) -> None:
        steps = (WeightBiasFusion2DStep(),)
        super().__init__("wasserstein_dst", scale="homogeneous", preprocessing_steps=steps, pairwise=True)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        x, y = unit_rows(a), unit_rows(b)
        return math.nan if x is None or y is None else wasserstein_distance(x, y)


BUILT_IN = (WassersteinMetric,)
