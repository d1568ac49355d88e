"""Models whose arrays line up, seen array by array instead of model by model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.distances.weights.participant import Model


@dataclass(frozen=True)
class AlignedArrays:
    """The arrays of several models with the same shapes.

    Attributes:
        vectors: for every array of the model, in order, its numbers in each of the n models, shape (d,) each; views
            where possible.
        layers: for every layer the places of its arrays in ``vectors``.
    """

    vectors: tuple[list[np.ndarray], ...]
    layers: tuple[list[int], ...]


def same_shapes(models: Sequence[Model]) -> bool:
    """Return whether all models have as many layers, with arrays of the same shapes in the same order."""
    return len({tuple(layer.shapes() for layer in model) for model in models}) <= 1


def aligned_arrays(models: Sequence[Model]) -> AlignedArrays | None:
    """Return the arrays of models that line up.

    Args:
        models: any number of models.

    Returns:
        The arrays; None if there is no model, shapes differ or a layer is empty.
    """
    if not models or not models[0] or not same_shapes(models) or not all(layer.arrays for layer in models[0]):
        return None
    vectors: list[list[np.ndarray]] = []
    layers: list[list[int]] = []
    for index, layer in enumerate(models[0]):
        layers.append(list(range(len(vectors), len(vectors) + len(layer.arrays))))
        vectors += [[model[index].arrays[k].values.ravel() for model in models] for k in range(len(layer.arrays))]
    return AlignedArrays(tuple(vectors), tuple(layers))
