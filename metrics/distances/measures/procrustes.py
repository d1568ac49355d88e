"""Procrustes disparity of two weight matrices: what is left after their output units were rotated onto each other."""

import math

import numpy as np
import torch

from metrics.compare.measures.procrustes import rotated_angle
from metrics.distances.families import LayerMetric
from metrics.distances.steps.elementary import WeightBiasFusion2DStep
from metrics.distances.weights.participant import LayerWeights
from metrics.distances.weights.unit_rows import unit_rows


def procrustes_disparity(x: np.ndarray, y: np.ndarray) -> float:
    """Return min ‖s X Q − Y‖² over rotations Q and scales s, for centred columns and ‖X‖ = ‖Y‖ = 1.

    It is 1 − ‖XᵀY‖_*² = sin² θ, θ the angle left between them, in [0, 1]: 0 if x and y are equal up to rotation and
    reflection, scale and translation. Missing columns and, after centring, missing rows are taken for zero.

    Args:
        x: points in rows, shape (a, p).
        y: points in rows, the i-th corresponding to the i-th of x, shape (b, q).

    Returns:
        The disparity; NaN if all points of one are the same, or a number is not finite.

    References:
        Gower 1975, Generalized Procrustes Analysis, Psychometrika 40, doi:10.1007/BF02291478; the same number as
        ``scipy.spatial.procrustes`` gives for equal shapes.

    Examples:
        >>> import numpy as np
        >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
        >>> round(abs(procrustes_disparity(x, x[:, ::-1])), 6), round(procrustes_disparity(x, x**2), 3)
        (0.0, 0.07)
    """
    first, second = _standardised(x), _standardised(y)
    if first is None or second is None:
        return math.nan
    rows = max(len(first), len(second))
    padded = [np.pad(matrix, ((0, rows - len(matrix)), (0, 0))) for matrix in (first, second)]
    return math.sin(rotated_angle(torch.from_numpy(padded[0]), torch.from_numpy(padded[1]))[0]) ** 2


class ProcrustesMetric(LayerMetric):
    """``procrustes_dst``: Procrustes disparity of two layers' weights, biases fused; pairwise.

    Points are the inputs (and the bias), coordinates the output units, so that layers are equal up to rotations of
    their output units, permutations among them; the order of the inputs counts. Layers of different size can be
    compared: the smaller one gets units and inputs without weights, the i-th input being compared with the i-th.
    In [0, 1]. NaN for layers whose inputs all have the same weights, such as a normalisation without bias, and if
    arrays of one layer differ in their units. Its root obeys the triangle inequality, it does not.
    """

    needs_equal_shapes = False

    high = 1.0
    reference = "Gower & Dijksterhuis 2004, Procrustes Problems; disparity"

    def __init__(self) -> None:
        steps = (WeightBiasFusion2DStep(),)
        super().__init__("procrustes_dst", scale="invariant", preprocessing_steps=steps, pairwise=True)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        x, y = unit_rows(a), unit_rows(b)
        return math.nan if x is None or y is None else procrustes_disparity(x.T, y.T)


def _standardised(points: np.ndarray) -> np.ndarray | None:
    """Return points with mean zero and norm one; None if they have no extent."""
    largest = np.abs(points).max(initial=0)
    if not math.isfinite(largest) or largest == 0:
        return None
    centred = np.divide(points, largest, dtype=np.float64)
    centred = centred - centred.mean(0)
    norm = float(np.linalg.norm(centred))
    # Rounding of the mean is no extent.
    if norm <= 1e-14 * math.sqrt(points.size):
        return None
    return np.ascontiguousarray(centred / norm)


BUILT_IN = (ProcrustesMetric,)
