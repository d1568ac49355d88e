"""How the weights of each layer are distributed, and how large they are: taken now and then, kept as counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.layers import Layer

BINS = 50


@dataclass(frozen=True, slots=True)
class WeightHistogram:
    """The weights of one layer at one time.

    Attributes:
        edges: of the bins, shape (BINS + 1,).
        counts: weights in each bin, shape (BINS,).
        norm: Euclidean norm of all of the layer's parameters.
        not_finite: number of weights that are NaN or infinite, which are in no bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    norm: float
    not_finite: int


def histograms_of(parameters: Mapping[str, Tensor], layers: Sequence[Layer]) -> dict[str, WeightHistogram]:
    """Return layer -> histogram of its weights (without biases, unless it has nothing else).

    Args:
        parameters: name -> parameter.
        layers: the layers to look at.
    """
    found = {}
    for layer in layers:
        own = [parameters[name].detach() for name in layer.names if name in parameters]
        weights = [parameters[p.name].detach() for p in layer.weights if p.name in parameters] or own
        values = torch.cat([tensor.reshape(-1).float() for tensor in weights])
        finite = values[values.isfinite()]
        low, high = (float(end) for end in finite.aminmax()) if len(finite) else (0.0, 0.0)
        if low == high:
            low, high = low - 0.5, high + 0.5
        counts = torch.histc(finite, BINS, low, high).cpu().numpy().astype(np.int64)
        squares = torch.stack([tensor.square().sum(dtype=torch.float64) for tensor in own]).sum()
        edges = np.linspace(low, high, BINS + 1)
        found[layer.name] = WeightHistogram(edges, counts, float(squares.sqrt()), len(values) - len(finite))
    return found
