"""Chains of layers whose units can be put in another order without changing what the network computes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from metrics.distances.weights.participant import LayerWeights, Model, RoleArray

_HOLDS_FOR = (
    "units can be reordered in chains of linear and ungrouped convolutional layers, each fed by the one before, "
    "not in residual networks or attention"
)


@dataclass(frozen=True)
class _Before:
    """The layer that feeds the next one, and the order its units were brought into (None: as they were)."""

    name: str
    weight: RoleArray
    order: np.ndarray | None

    def spread(self, size: int, flattened: bool, layer: str) -> np.ndarray | None:
        """Return the order of an axis of a later layer that has one entry, or one group of entries, a unit.

        Raises:
            ValueError: if the axis has not one entry a unit, nor, after a flatten, one group a unit.
        """
        units = self.weight.values.shape[self.weight.unit_axis]
        groups, rest = divmod(size, units)
        if rest or not (groups == 1 or (groups > 1 and flattened and self.weight.values.ndim > 2)):
            raise ValueError(
                f"layer {layer!r} takes {size} inputs, {self.name!r} before it gives {units}: {_HOLDS_FOR}"
            )
        if self.order is None:
            return None
        places = np.arange(groups)
        # With channels last, Keras' order, a flatten repeats all units at every place; else all places of every unit.
        spread = places[:, None] * units + self.order if self.weight.unit_axis < 0 else _grouped(self.order, places)
        order: np.ndarray = spread.ravel()
        return order


def has_units(layer: LayerWeights) -> bool:
    """Return whether a layer maps inputs to units of its own; if not it follows the units of the layer before it."""
    return any(array.role in ("weight", "other") and array.values.ndim > 1 for array in layer.arrays)


def unit_rows(layer: LayerWeights) -> np.ndarray:
    """Return what belongs to every unit: its bias and its weights, shape (units, 1 + inputs · kernel), float64."""
    vectors = [array.values[:, None] for array in layer.arrays if array.values.ndim == 1]
    rows: np.ndarray = np.hstack([*vectors, _weight(layer).matrix()]).astype(np.float64)
    return rows


def reordered_by(model: Model, choose: Callable[[LayerWeights], np.ndarray | None]) -> Model:
    """Return the network with its units in other orders; if it is a chain it computes the same as before.

    A unit takes along its weights, its bias, its entries in the normalisations (and other layers without units of their
    own) that follow, and the weights with which the next layer takes it in. From a convolution (weights with three axes
    or more) to a linear layer through a flatten a unit is a group of inputs, all groups of the same size.

    The axis of a weight's inputs follows from ``unit_axis``: 0 and 1 are the axes of units and inputs in torch's order
    (outputs, inputs, kernel), where transposed convolutions swap the two; −1 and −2 are those in Keras' order (kernel,
    inputs, outputs).

    What shapes cannot show is the caller's to know: that no layer is skipped or used twice (residual layers of equal
    width), that a normalisation acts on each unit alone or on all of them (group normalisation does neither) and has
    entries for units, not for positions, and that the units of the last layer may move.

    Args:
        model: the layers, in the order in which they feed each other.
        choose: given a layer with units, see :func:`has_units`, its inputs already in their new order, returns which
            of its units stands at each new place, or None for the order as it is. It is asked from first to last.

    Raises:
        ValueError: if the model's layers are of another kind or their sizes do not fit, as in residual networks.
    """
    found: list[LayerWeights] = []
    before: _Before | None = None
    for layer in model:
        if has_units(layer):
            fed = _with_inputs(layer, before)
            order = choose(fed)
            found.append(_with_units(fed, order))
            before = _Before(layer.name, _weight(layer), order)
        else:
            found.append(layer if before is None else _following(layer, before))
    return tuple(found)


def reordered(model: Model, orders: Mapping[str, np.ndarray]) -> Model:
    """Return the network with the units of the named layers in the given orders; see :func:`reordered_by`.

    Args:
        model: the layers, in the order in which they feed each other.
        orders: layer with units -> which of its units stands at each new place, shape (units,); others stay.
    """
    return reordered_by(model, lambda layer: orders.get(layer.name))


def _weight(layer: LayerWeights) -> RoleArray:
    """Return the one weight of a layer, whose other arrays have one entry a unit.

    Raises:
        ValueError: if it is another kind of layer.
    """
    wide = [array for array in layer.arrays if array.values.ndim != 1]
    if len(wide) != 1 or wide[0].role != "weight":
        raise ValueError(f"layer {layer.name!r} of kind {layer.kind!r} has not one weight: {_HOLDS_FOR}")
    units = wide[0].values.shape[wide[0].unit_axis]
    if any(array.values.shape != (units,) for array in layer.arrays if array.values.ndim == 1):
        raise ValueError(f"layer {layer.name!r} has {units} units, but a vector of another length: {_HOLDS_FOR}")
    return wide[0]


def _with_inputs(layer: LayerWeights, before: _Before | None) -> LayerWeights:
    """Return a layer with its inputs in the order of the units before it."""
    weight = _weight(layer)
    if before is None:
        return layer
    axis, values = _input_axis(layer.name, weight), weight.values
    order = before.spread(values.shape[axis], values.ndim == 2, layer.name)
    moved = replace(weight, values=_taken(values, order, axis))
    return replace(layer, arrays=tuple(moved if array is weight else array for array in layer.arrays))


def _with_units(layer: LayerWeights, order: np.ndarray | None) -> LayerWeights:
    """Return a layer with its units in another order."""
    return replace(
        layer,
        arrays=tuple(replace(array, values=_taken(array.values, order, array.unit_axis)) for array in layer.arrays),
    )


def _following(layer: LayerWeights, before: _Before) -> LayerWeights:
    """Return a layer without units of its own, its entries in the order of the units before it."""
    arrays = []
    for array in layer.arrays:
        size = array.values.shape[array.unit_axis] if array.values.ndim else 1
        # One number serves all units.
        order = before.spread(size, True, layer.name) if size > 1 else None
        arrays.append(replace(array, values=_taken(array.values, order, array.unit_axis)))
    return replace(layer, arrays=tuple(arrays))


def _input_axis(layer: str, weight: RoleArray) -> int:
    if weight.unit_axis not in (0, 1, -1, -2):
        raise ValueError(
            f"unit_axis must be 0 or 1 (torch's order) or -1 or -2 (Keras' order) to tell the axis of the inputs, got "
            f"{weight.unit_axis} in layer {layer!r}"
        )
    return 1 - weight.unit_axis if weight.unit_axis >= 0 else -3 - weight.unit_axis


def _grouped(order: np.ndarray, places: np.ndarray) -> np.ndarray:
    grouped: np.ndarray = order[:, None] * len(places) + places
    return grouped


def _taken(values: np.ndarray, order: np.ndarray | None, axis: int) -> np.ndarray:
    return values if order is None else np.take(values, order, axis)
