"""Layers that some clients sent in a round and others kept: what is compared there, and among whom."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from metrics.base import ServerView
from metrics.distances.families import ClientMatrixMetric, LayerMetric
from metrics.distances.steps.align import AlignStep


def layers_of_some(view: ServerView) -> Iterator[ServerView]:
    """Yield for each layer that some clients, not all, sent a round in which there are these clients and this layer.

    Where every client sends each layer by lot, or has a plan of its own, few layers or none are everybody's; a distance
    between two clients needs no more than their own two.
    """
    for layer in view.kept_layers:
        if senders := view.senders(layer):
            own = {client: view.weights[client] for client in senders}
            yield replace(view, layers=(layer,), clients=senders, weights=own, cache={})


def alone(metrics: Mapping[str, ClientMatrixMetric]) -> list[str]:
    """Return the names of the distances that a layer has by itself: the order of units follows from other layers."""
    return [
        name
        for name, metric in metrics.items()
        if isinstance(metric, LayerMetric) and not any(isinstance(s, AlignStep) for s in metric.preprocessing_steps)
    ]
