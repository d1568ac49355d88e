"""Distances between layers, models and clients, computed from their weights.

The six families, sets of distances that share their preprocessing, and the tree that runs it::

    metric = ModelMetric("model_l1")
    metric._model_distance = lambda a, b: sum(np.abs(x - y).sum() for x, y in zip(a, b))
"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

if TYPE_CHECKING:
    from metrics.distances.families.clients import ClientMatrixMetric, ClientMetric
    from metrics.distances.families.layers import LayerMatrixMetric, LayerMetric
    from metrics.distances.families.models import ModelMatrixMetric, ModelMetric
    from metrics.distances.metric_set import MetricSet
    from metrics.distances.tree import PreprocessingTree

__all__ = [
    "ClientMatrixMetric",
    "ClientMetric",
    "LayerMatrixMetric",
    "LayerMetric",
    "MetricSet",
    "ModelMatrixMetric",
    "ModelMetric",
    "PreprocessingTree",
]
_HOMES = {"MetricSet": "metric_set", "PreprocessingTree": "tree"}
# The families import modules of this package.
__getattr__ = on_first_use(__name__, dict.fromkeys(__all__, "families") | _HOMES)
