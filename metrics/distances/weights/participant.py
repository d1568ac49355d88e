"""Weights as the distances see them: clients with models, models with layers, layers with arrays that have roles.

Representations are seen in the same way: a layer's one array is then what it puts out for some examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fedlayers.core.layers import Layer

# The role of what a layer puts out, shape (examples, units) or (examples, positions, units).
ACTIVATION = "activation"


@dataclass(frozen=True)
class RoleArray:
    """One array of a layer.

    Attributes:
        role: ``weight``, ``bias``, ``norm_weight``, ``norm_bias``, ``buffer`` or ``other``; or :data:`ACTIVATION`.
        values: the numbers, any shape.
        unit_axis: the axis of ``values`` that counts the layer's output units (0 in a torch linear layer, 1 in a
            transposed convolution, the last one in Keras' order and in activations).
    """

    role: str
    values: np.ndarray
    unit_axis: int = 0

    def matrix(self) -> np.ndarray:
        """Return the values with one row per output unit, shape (units, rest)."""
        if self.values.ndim == 0:
            return self.values.reshape(1, 1)
        units = self.values.shape[self.unit_axis]
        return np.moveaxis(self.values, self.unit_axis, 0).reshape(units, -1)


@dataclass(frozen=True)
class LayerWeights:
    """One layer: its name, its kind (see :class:`fedlayers.core.layers.Layer`) and its arrays, in the layer's order."""

    name: str
    kind: str
    arrays: tuple[RoleArray, ...]

    def vector(self) -> np.ndarray:
        """Return all numbers of the layer one after another, shape (d,), float64."""
        return np.concatenate([array.values.ravel() for array in self.arrays] or [np.zeros(0)]).astype(np.float64)

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the arrays."""
        return tuple(array.values.shape for array in self.arrays)


# A model is its layers in order.
Model = tuple[LayerWeights, ...]


@dataclass(frozen=True)
class Client:
    """What a distance between clients may look at.

    Attributes:
        model: the client's weights.
        gradient: the difference between its weights and those it started from; None if nobody knows.
    """

    model: Model
    gradient: Model | None = None


def model_of(layers: Sequence[Layer], tensors: Mapping[str, Tensor | np.ndarray]) -> Model:
    """Return the model that named tensors make.

    Args:
        layers: the model's layers, see :func:`fedlayers.core.layers.layers_of`.
        tensors: full parameter name -> values. Buffers, which the layers name too, are left out.
    """
    return tuple(
        LayerWeights(
            layer.name,
            layer.kind,
            tuple(
                RoleArray(parameter.role, _array(tensors[parameter.name]), parameter.unit_axis)
                for parameter in layer.parameters
            ),
        )
        for layer in layers
    )


def vector_of(model: Model) -> np.ndarray:
    """Return all numbers of a model one after another, shape (d,), float64."""
    return np.concatenate([layer.vector() for layer in model] or [np.zeros(0)])


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
