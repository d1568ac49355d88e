"""Preprocessing steps that drop biases, fuse them with their weights, flatten, or scale to norm one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.distances.steps.preprocessing import ModelStep
from metrics.distances.weights.participant import LayerWeights, Model, RoleArray

_BIAS_OF = {"weight": "bias", "norm_weight": "norm_bias"}
_PARTS = ("layer", "model", "parameter")


@dataclass(frozen=True)
class NoBiasStep(ModelStep):
    """Drops every bias: the arrays of roles ``bias`` and ``norm_bias``.

    Everything else stays, the scale of a normalisation (``norm_weight``) included. Layers that had nothing but biases
    are dropped: they have nothing left to compare. Biases that were fused with weights before are no longer found.
    """

    # Copies nothing.
    cost = 0.1

    def apply(self, model: Model) -> Model:
        """Return the model without biases; arrays are shared."""
        return _kept(
            replace(layer, arrays=tuple(array for array in layer.arrays if array.role not in _BIAS_OF.values()))
            for layer in model
        )


@dataclass(frozen=True)
class WeightBiasFusion2DStep(ModelStep):
    """Makes one matrix of a weight and its bias: one row per output unit, the bias first, then the unit's weights.

    The k-th array of role ``weight`` goes with the k-th of role ``bias`` in its layer (a recurrent layer has several),
    if there are as many of the one as of the other; ``norm_weight`` goes with ``norm_bias`` in the same way, which
    gives (β, γ) of every unit. Weights without bias become matrices, too; what has no partner otherwise stays as it is.
    The matrix takes the weight's place and role. Values are copied, none is added: norms over a layer do not change.
    """

    def apply(self, model: Model) -> Model:
        """Return the model with fused matrices of shape (units, 1 + inputs · kernel), ``unit_axis`` 0.

        Raises:
            ValueError: if a bias has not one entry for every unit of its weight.
        """
        return tuple(replace(layer, arrays=_fused(layer)) for layer in model)


@dataclass(frozen=True)
class Flatten2DStep(ModelStep):
    """Makes a matrix with one row per output unit of every array that has two axes or more, and drops the others.

    Dropped are thus biases, scales and shifts of normalisations, and other vectors; layers left without arrays are
    dropped, too.
    """

    # Copies nothing in most layouts.
    cost = 0.1

    def apply(self, model: Model) -> Model:
        """Return the model with matrices of shape (units, rest), ``unit_axis`` 0; memory is shared where possible."""
        return _kept(
            replace(layer, arrays=tuple(_matrix(array) for array in layer.arrays if array.values.ndim > 1))
            for layer in model
        )


@dataclass(frozen=True)
class NormaliseStep(ModelStep):
    """Scales to Frobenius norm 1: w / ‖w‖, norms in float64. What is all zero stays zero.

    A part whose norm is not finite becomes NaN as a whole: no scale of it is right.

    Args:
        part: of what the norm is taken: every ``layer`` (all its arrays together), the whole ``model``, or every
            ``parameter`` (one array).
    """

    part: str = "layer"
    # Measured on a small convolutional network; fusion, which copies all weights, is 1.
    cost = 15.0

    def __post_init__(self) -> None:
        if self.part not in _PARTS:
            raise ValueError(f"part must be one of {', '.join(_PARTS)}, got {self.part!r}")

    def apply(self, model: Model) -> Model:
        """Return the scaled model; arrays keep their dtype (integers become float64)."""
        whole = _norm([array for layer in model for array in layer.arrays]) if self.part == "model" else None
        return tuple(replace(layer, arrays=self._scaled(layer, whole)) for layer in model)

    def _scaled(self, layer: LayerWeights, whole: float | None) -> tuple[RoleArray, ...]:
        if self.part == "parameter":
            return tuple(_scaled(array, _norm([array])) for array in layer.arrays)
        norm = _norm(layer.arrays) if whole is None else whole
        return tuple(_scaled(array, norm) for array in layer.arrays)


def _kept(layers: Iterable[LayerWeights]) -> Model:
    return tuple(layer for layer in layers if layer.arrays)


def _matrix(array: RoleArray) -> RoleArray:
    return RoleArray(array.role, array.matrix())


def _fused(layer: LayerWeights) -> tuple[RoleArray, ...]:
    """Return the layer's arrays, every weight as a matrix with its bias as first column."""
    partners: dict[int, int] = {}
    for role, bias_role in _BIAS_OF.items():
        weights, biases = _places(layer, role), _places(layer, bias_role)
        if len(weights) == len(biases):
            partners |= dict(zip(weights, biases, strict=True))
    found = []
    for place, array in enumerate(layer.arrays):
        if place in partners:
            found.append(_joined(layer.name, array, layer.arrays[partners[place]]))
        elif place not in partners.values():
            found.append(_matrix(array) if array.role in _BIAS_OF else array)
    return tuple(found)


def _places(layer: LayerWeights, role: str) -> list[int]:
    return [place for place, array in enumerate(layer.arrays) if array.role == role]


def _joined(layer: str, weight: RoleArray, bias: RoleArray) -> RoleArray:
    rows, column = weight.matrix(), bias.matrix()
    if len(rows) != len(column):
        raise ValueError(
            f"a bias must have one entry for every unit of its weight, got {len(column)} for {len(rows)} units in "
            f"layer {layer!r}; is axis {weight.unit_axis} of its weight that of the units?"
        )
    return RoleArray(weight.role, np.hstack([column, rows]))


def _norm(arrays: Sequence[RoleArray]) -> float:
    """Return the root of the sum of all squares, in float64 and without overflow."""
    values = [array.values.astype(np.float64) for array in arrays if array.values.size]
    largest = float(np.max([np.abs(numbers).max() for numbers in values], initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(sum(np.square(numbers / largest).sum() for numbers in values)))


def _scaled(array: RoleArray, norm: float) -> RoleArray:
    if norm == 0:
        return array
    kind = array.values.dtype if np.issubdtype(array.values.dtype, np.floating) else np.dtype(np.float64)
    divisor = norm if np.isfinite(norm) else np.nan
    return replace(array, values=(array.values.astype(np.float64) / divisor).astype(kind))
