"""What a client measures of its layers, batch by batch, for the rules that look for a transition."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch

from fedlayers.core.layers import Layer
from fedlayers.core.seeding import torch_generator
from metrics.hessian.stacked import LossGraph, loss_graph
from metrics.hessian.trace import signs
from metrics.statistics.equal_batches import equal_batches
from metrics.statistics.sketch import count_sketch
from metrics.statistics.taylor_scores import taylor_score
from metrics.views import ClientView

# Numbers of a layer's batch gradient that travel: squared distances are then right to about √(2 / 1024) = 4 %.
_SKETCH_NUMBERS = 1024


def candidates(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers between which a transition may lie: those that have weights and do not normalise.

    What normalises stays with the layer before it.
    """
    return [layer for layer in layers if layer.weights and layer.kind != "norm"]


def measured_batches_of(
    view: ClientView, scope: str, batches: int, batch_examples: int, measures: Collection[str]
) -> dict[str, np.ndarray]:
    """Return a client's layer measures on batches of equal size; empty if it cannot fill two.

    Args:
        view: the client.
        scope: where the examples come from.
        batches: B at most.
        batch_examples: examples in each.
        measures: some of ``sensitivity``, ``curvature`` and ``gradients``.

    Returns:
        Of L layers, see :func:`candidates`: ``sensitivity``, Σ (w ⊙ g)² / N, and ``curvature``, vᵀHv / d of one
        probe v of d random signs a batch, NaN where the loss cannot be differentiated twice, shape (L, B);
        ``gradients``, count-sketches of the batches' gradients, shape (L, B, 1,024), shorter layers end in zeros.
    """
    chosen = equal_batches(view, scope, batches, batch_examples)
    if len(chosen) < 2:
        return {}
    layers = candidates(view.layers)
    generator = torch_generator(view.seed, "transition/probes")
    found: dict[str, list[list[np.ndarray | float]]] = {name: [] for name in sorted(measures)}
    for positions in chosen:
        graph = loss_graph(view, scope, positions)
        for name, rows in found.items():
            rows.append([_MEASURES[name](graph, layer, view, generator) for layer in layers])
        del graph  # it is as large as all intermediate values twice; the next batch makes its own
    return {name: _stacked(rows) for name, rows in found.items()}


def _sensitivity(graph: LossGraph, layer: Layer, view: ClientView, generator: torch.Generator) -> float:
    slopes = dict(zip(layer.names, graph.gradients(layer), strict=True))
    names = [parameter.name for parameter in layer.weights]
    numbers = sum(math.prod(parameter.shape) for parameter in layer.weights)
    return taylor_score([view.parameters[name] for name in names], [slopes[name] for name in names]) / numbers


def _curvature(graph: LossGraph, layer: Layer, view: ClientView, generator: torch.Generator) -> float:
    like = torch.cat([view.parameters[name].flatten() for name in layer.names])
    probe = signs(1, like.numel(), generator).to(like)
    if not graph.is_used(layer):
        return 0.0
    try:
        product = graph.products(layer, probe)
    except RuntimeError:
        return math.nan
    return float((probe.double() * product.double()).sum()) / like.numel()


def _gradient(graph: LossGraph, layer: Layer, view: ClientView, generator: torch.Generator) -> np.ndarray:
    vector = torch.cat([slope.flatten() for slope in graph.gradients(layer)])
    short = count_sketch(vector, _SKETCH_NUMBERS, layer.name) if len(vector) > _SKETCH_NUMBERS else vector
    padded = torch.zeros(_SKETCH_NUMBERS)
    padded[: len(short)] = short.float().cpu()
    return padded.numpy()


_MEASURES: Mapping[str, Callable[[LossGraph, Layer, ClientView, torch.Generator], np.ndarray | float]] = {
    "sensitivity": _sensitivity,
    "curvature": _curvature,
    "gradients": _gradient,
}


def _stacked(rows: Sequence[Sequence[np.ndarray | float]]) -> np.ndarray:
    """Return an array (L, B, …) of batches of layers."""
    found: np.ndarray = np.moveaxis(np.array(rows), 0, 1)
    return np.ascontiguousarray(found)
