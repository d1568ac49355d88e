"""Attention of an epoch as rows of a run's tables."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedlayers.core.layers import ROOT
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row, Spectrum
from metrics.base import measured

_CLARK = "Clark et al. 2019, What Does BERT Look At? An Analysis of BERT's Attention"
_VIG = "Vig & Belinkov 2019, Analyzing the Structure of Attention in a Transformer Language Model"
FACTS = (
    Facts("attention_entropy", "nat", 0.0, math.inf, "neutral", _CLARK),
    Facts("attention_span", "places", 1.0, math.inf, "neutral", f"exp of the entropy; {_CLARK}"),
    Facts("attention_distance", "places", 0.0, math.inf, "neutral", _VIG),
    Facts("attention_peak", "1", 0.0, 1.0, "neutral", _CLARK),
    Facts("attention_weights", "1", 0.0, 1.0, "neutral", "Vaswani et al. 2017, Attention Is All You Need"),
    Facts("attention_rollout", "1", 0.0, 1.0, "neutral", "Abnar & Zuidema 2020, Quantifying Attention Flow"),
)
_QUANTITIES = ("entropy", "span", "distance", "peak")


def attention_rows(layers: Mapping[str, Any], together: np.ndarray | None, places: Mapping[str, int]) -> list[Row]:
    """Return a row a layer, head and quantity, and the rows of the first example's maps and of the rollout.

    Args:
        layers: layer -> :class:`metrics.training_dynamics.attention.visualizer.LayerAttention`.
        together: the rollout, shape (L, L), None if there is none.
        places: layer of the model -> its place in it; others, which own no parameters, come after them.
    """
    found: list[Row] = []
    for index, (layer, one) in enumerate(layers.items(), len(places)):
        where = {"layer": layer or ROOT, "layer_index": places.get(layer or ROOT, index)}
        for quantity in _QUANTITIES:
            for head, value in enumerate(one.mean(quantity)):
                reason = "rows and columns are not the same places" if quantity == "distance" else "no row attends"
                found.append(measured(f"attention_{quantity}", float(value), reason, subject=f"head {head}", **where))
        found += map_rows(one.maps, **where)
    if together is not None:
        found += rollout_rows(together)
    return found


def map_rows(maps: np.ndarray, **where: Any) -> list[Row]:
    """Return a curve for each row of each head's map, shape (heads, queries, keys).

    >>> one, two = map_rows(np.array([[[0.25, 0.75], [1.0, 0.0]]]), layer="attention")
    >>> one.subject, one.variant, one.y, two.variant
    ('head 0', 'query 0000', [0.25, 0.75], 'query 0001')
    """
    return [
        row for head, own in enumerate(maps) for row in _map("attention_weights", own, subject=f"head {head}", **where)
    ]


def rollout_rows(together: np.ndarray, **where: Any) -> list[Row]:
    """Return a curve for each row of the rollout, shape (L, L).

    >>> [row.y for row in rollout_rows(np.array([[0.5, 0.5], [0.2, 0.8]]))]
    [[0.5, 0.5], [0.2, 0.8]]
    """
    return _map("attention_rollout", together, **where)


def _map(metric: str, weights: np.ndarray, **where: Any) -> list[Row]:
    keys = [float(key) for key in range(weights.shape[1])]
    return [Spectrum(metric, keys, row.tolist(), variant=f"query {at:04d}", **where) for at, row in enumerate(weights)]
