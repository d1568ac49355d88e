"""Distances between layers, models and clients, computed from their weights.

The six families, sets of distances that share their preprocessing, and the tree that runs it::

    metric = ModelMetric("model_l1")
    metric._model_distance = lambda a, b: sum(np.abs(x - y).sum() for x, y in zip(a, b))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the families import modules of this package."""
    if name not in __all__:
        raise AttributeError(f"module 'metrics.distances' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(f"metrics.distances.{_HOMES.get(name, 'families')}"), name)
