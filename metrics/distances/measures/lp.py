"""L_p distances of layers and of whole models."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from metrics.distances.families import LayerMetric, ModelMetric
from metrics.distances.gram.gram_models import layer_tables, paired_layers_matrix, whole_table
from metrics.distances.gram.gram_pairs import GramDistances
from metrics.distances.weights.aligned import same_shapes
from metrics.distances.weights.participant import LayerWeights, Model, vector_of


def lp_norm(x: np.ndarray, p: float) -> float:
    """Return (Σ |x_i|^p)^(1/p), computed as m (Σ (|x_i| / m)^p)^(1/p) with m = max |x_i|.

    Nothing overflows or vanishes on the way, whatever p. For p < 1 this is no norm.

    Args:
        x: shape (d,).
        p: above 0.

    Returns:
        The norm, 0 for an empty vector; NaN if a number is not finite.

    Raises:
        ValueError: if p is not above 0.

    Examples:
        >>> import numpy as np
        >>> lp_norm(np.array([3.0, -4.0]), 2.0), lp_norm(np.array([3.0, -4.0]), 1.0)
        (5.0, 7.0)
    """
    if not p > 0:
        raise ValueError(f"p must be above 0, got {p}")
    sizes = np.abs(x, dtype=np.float64)
    largest = sizes.max(initial=0.0)
    if largest == 0 or not math.isfinite(largest):
        return 0.0 if largest == 0 else math.nan
    sizes /= largest
    return float(largest * (sizes**p).sum() ** (1 / p))


def lp_distance(x: np.ndarray, y: np.ndarray, p: float) -> float:
    """Return ‖x − y‖_p, the difference taken in float64, see :func:`lp_norm`.

    For p < 1 it is no metric: it can be longer directly than over a third point.

    Raises:
        ValueError: if p is not above 0.

    Examples:
        >>> import numpy as np
        >>> x, y = np.array([1.0, 2.0, 2.0]), np.array([1.0, 0.0, -2.0])
        >>> round(lp_distance(x, y, 1.0), 6), round(lp_distance(x, y, 2.0), 6)
        (6.0, 4.472136)
    """
    return lp_norm(np.subtract(x, y, dtype=np.float64), p)


class LpMetric(LayerMetric):
    """``l{p}_dst``: ‖x − y‖_p of the layers' numbers, biases included; pairwise; NaN if shapes differ.

    A metric for p ≥ 1; for p < 1 it is not. Model distances are means over layers unless another aggregation is asked
    for. All pairs of models come from matrix products for p = 2.

    Args:
        p: above 0; 2 is the Euclidean distance.
    """

    cost = "cheap"
    reference = "(Σ |x − y|^p)^(1/p)"

    def __init__(self, p: float) -> None:
        super().__init__(f"l{p:g}_dst", scale="homogeneous", pairwise=True)
        self.p = p

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return lp_distance(a.vector(), b.vector(), self.p)

    def _layer_tables(self, models: Sequence[Model]) -> np.ndarray | None:
        return layer_tables(models, GramDistances.l2) if self.p == 2 else None

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        found = paired_layers_matrix(self, models, GramDistances.l2) if self.p == 2 else None
        return super()._model_distance_matrix(models) if found is None else found


class ModelLpMetric(ModelMetric):
    """``model_l{p}_dst``: ‖x − y‖_p of all numbers of the models, one after another; NaN if shapes differ.

    A metric for p ≥ 1; for p < 1 it is not. All pairs of models come from matrix products for p = 2.

    Args:
        p: above 0; 2 is the Euclidean distance.
    """

    cost = "cheap"
    reference = "(Σ |x − y|^p)^(1/p)"

    def __init__(self, p: float) -> None:
        super().__init__(f"model_l{p:g}_dst", scale="homogeneous")
        self.p = p

    def _model_distance(self, a: Model, b: Model) -> float:
        return lp_distance(vector_of(a), vector_of(b), self.p) if same_shapes([a, b]) else math.nan

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        found = whole_table(models, GramDistances.l2) if self.p == 2 else None
        return super()._model_distance_matrix(models) if found is None else found


# The exponents; below 1 the distances are no metrics.
EXPONENTS = (0.1, 0.5, 1, 2, 3, 10)
BUILT_IN = tuple(partial(metric, p) for metric in (LpMetric, ModelLpMetric) for p in EXPONENTS)
