"""Distances between clients from what the server holds: named arrays, with or without the layers they belong to."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedlayers.core.errors import UserError
from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import ClientMatrixMetric
from metrics.distances.metric_set import MetricSet
from metrics.distances.representations import RepresentationMetric
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray

Weights = Mapping[str, np.ndarray]


def model_from_names(weights: Weights) -> Model:
    """Return weights as layers: arrays whose names differ in the last part only are one layer.

    For a strategy that is used outside of a run, where nobody says which layers there are. ``fc1.weight`` and
    ``fc1.bias`` have the roles ``weight`` and ``bias``, other arrays ``other``. Units are taken to lie along the first
    axis, which is wrong for transposed convolutions and embeddings.
    """
    layers: dict[str, list[RoleArray]] = {}
    for name, array in weights.items():
        layer, _, last = name.rpartition(".")
        layers.setdefault(layer, []).append(RoleArray(last if last in ("weight", "bias") else "other", array))
    return tuple(LayerWeights(layer, "other", tuple(arrays)) for layer, arrays in layers.items())


def symmetric_distances(
    name: str,
    models: Sequence[Weights],
    updates: Sequence[Weights],
    as_model: Callable[[Weights], Model] = model_from_names,
) -> np.ndarray:
    """Return the distances between clients, shape (n, n), float64; where a metric has a direction, the mean of both.

    Args:
        name: see :func:`metric_named`.
        models: what the distance is between, one for each client.
        updates: what metrics that look at gradients find there, one for each client.
        as_model: puts weights into layers.
    """
    clients = [Client(as_model(model), as_model(update)) for model, update in zip(models, updates, strict=True)]
    found = metric_named(name).client_distance_matrix(clients)
    symmetric: np.ndarray = (found + found.T) / 2
    return symmetric


def metric_named(name: str) -> ClientMatrixMetric:
    """Return the metric of a name such as ``model_cosine_dst`` or ``nb-mean-l2_dst``, one that compares weights.

    Raises:
        UserError: there is none.
    """
    of_weights = [metric for metric in built_in_metrics() if not isinstance(metric, RepresentationMetric)]
    try:
        return MetricSet(of_weights).get_metric(name)
    except ValueError as error:
        raise UserError(f"algorithm.distance must be the name of a distance, got {name!r}: {error}") from None
