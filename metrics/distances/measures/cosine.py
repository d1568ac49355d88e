"""Cosine distances of layers and of whole models."""

import math
from collections.abc import Sequence

import numpy as np

from metrics.distances.families import LayerMetric, ModelMetric
from metrics.distances.gram.angle import cosine_distance
from metrics.distances.gram.gram_models import layer_tables, paired_layers_matrix, whole_table
from metrics.distances.gram.gram_pairs import GramDistances
from metrics.distances.weights.aligned import same_shapes
from metrics.distances.weights.participant import LayerWeights, Model, vector_of


class CosineMetric(LayerMetric):
    """``cosine_dst``: 1 − cos of the angle between the layers' numbers, biases included; pairwise.

    In [0, 2]; NaN if shapes differ. A layer of zeros is at 1 from every other and at 0 from another layer of zeros.
    Model distances are means over layers unless another aggregation is asked for. All pairs of models come from matrix
    products. No metric: the triangle inequality does not hold.
    """

    high = 2.0
    cost = "cheap"
    reference = "1 − cos of the angle, layer by layer"

    def __init__(self) -> None:
        super().__init__("cosine_dst", scale="invariant", pairwise=True)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return cosine_distance(a.vector(), b.vector())

    def _layer_tables(self, models: Sequence[Model]) -> np.ndarray | None:
        return layer_tables(models, GramDistances.cosine)

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        found = paired_layers_matrix(self, models, GramDistances.cosine)
        return super()._model_distance_matrix(models) if found is None else found


class ModelCosineMetric(ModelMetric):
    """``model_cosine_dst``: 1 − cos of the angle between all numbers of the models; NaN if shapes differ.

    In [0, 2]. Layers with large numbers decide it. A model of zeros is at 1 from every other.
    """

    high = 2.0
    cost = "cheap"
    reference = "1 − cos of the angle between all weights"

    def __init__(self) -> None:
        super().__init__("model_cosine_dst", scale="invariant")

    def _model_distance(self, a: Model, b: Model) -> float:
        return cosine_distance(vector_of(a), vector_of(b)) if same_shapes([a, b]) else math.nan

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        found = whole_table(models, GramDistances.cosine)
        return super()._model_distance_matrix(models) if found is None else found


BUILT_IN = (CosineMetric, ModelCosineMetric)
