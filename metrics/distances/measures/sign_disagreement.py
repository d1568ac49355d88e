"""The share of weights whose sign differs."""

import math

import numpy as np

from metrics.distances.families import LayerMetric, ModelMetric
from metrics.distances.weights.aligned import same_shapes
from metrics.distances.weights.participant import LayerWeights, Model, vector_of


def sign_disagreement(x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of components with opposite signs, Σ [x_i y_i < 0] / d; zeros disagree with nothing.

    Args:
        x: shape (d,).
        y: shape (d,).

    Returns:
        The share in [0, 1]; NaN if there is no component or one is not finite.

    Examples:
        >>> import numpy as np
        >>> x, y = np.array([1.0, 2.0, 2.0]), np.array([1.0, 0.0, -2.0])
        >>> round(sign_disagreement(x, y), 3)
        0.333
    """
    if not x.size or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.nan
    # Not the product, which may vanish.
    return float(((x < 0) & (y > 0) | (x > 0) & (y < 0)).mean())


class SignMetric(LayerMetric):
    """``sign_dst``: the share of a layer's numbers whose sign differs; pairwise; NaN if shapes differ.

    Zeros disagree with nothing, so it is no metric.
    """

    high = 1.0
    cost = "cheap"
    reference = "share of weights of opposite sign, layer by layer"

    def __init__(self) -> None:
        super().__init__("sign_dst", scale="invariant", pairwise=True)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return sign_disagreement(a.vector(), b.vector())


class ModelSignMetric(ModelMetric):
    """``model_sign_dst``: the share of all numbers of the models whose sign differs; NaN if shapes differ."""

    high = 1.0
    cost = "cheap"
    reference = "share of weights of opposite sign"

    def __init__(self) -> None:
        super().__init__("model_sign_dst", scale="invariant")

    def _model_distance(self, a: Model, b: Model) -> float:
        return sign_disagreement(vector_of(a), vector_of(b)) if same_shapes([a, b]) else math.nan


BUILT_IN = (SignMetric, ModelSignMetric)
