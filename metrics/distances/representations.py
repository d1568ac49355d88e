"""Distances of what layers compute: measures of representations under the names and rules of the distances."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import torch
from torch import Tensor

from metrics.base import Facts
from metrics.compare.base import Comparison, Pairs
from metrics.distances.families import LayerMetric
from metrics.distances.families.aggregation import aggregated
from metrics.distances.families.clients import Scale, Steps
from metrics.distances.weights.participant import ACTIVATION, LayerWeights, Model, RoleArray

# Closer than this, rounding may hide that two representations are the same to the last bit.
_NEARLY_ZERO = 1e-6


class RepresentationMetric(LayerMetric):
    """Distance of two layers' representations of the same examples by a measure of :mod:`metrics.compare`; pairwise.

    It is the first quantity of the measure if that is a distance. A similarity s becomes the angle arccos s, in
    radians, or 1 − s. The same numbers are at distance 0; up to rounding so is whatever the measure does not tell
    apart, such as rotations (1e-8 for angles that are arc cosines).

    Layers may differ in width. All pairs of models are compared layer by layer, each layer in one call of the measure.
    The distance between two models aggregates those of all layers: if one layer cannot be compared, it is missing, for
    a mean over the others would be another quantity.

    Models are made of :func:`representation_layer`, weights are refused. Names with ``nb`` and ``fb`` are not for it.

    Args:
        name: see :class:`metrics.distances.families.ClientMatrixMetric`.
        quantity: what tables call its values, the measure's own name where it reports them, too; None for ``name``.
        comparison: the measure; it must be symmetric.
        angular: whether a similarity s becomes arccos s, else 1 − s.
        scale: see :class:`metrics.distances.families.Declarations`.
        preprocessing_steps: what happens to the clients' representations first, in this order.

    Raises:
        ValueError: ``comparison`` is none.
    """

    needs_equal_shapes = False
    cost = "pass"

    def __init__(
        self,
        name: str,
        comparison: Comparison,
        *,
        quantity: str | None = None,
        angular: bool = True,
        scale: Scale = "invariant",
        preprocessing_steps: Steps = (),
    ) -> None:
        super().__init__(name, scale=scale, preprocessing_steps=preprocessing_steps, pairwise=True)
        if not isinstance(comparison, Comparison):
            raise ValueError(f"comparison of {name} must be a metrics.compare.base.Comparison, got {comparison!r}")
        self.comparison, self.angular, self.variant = comparison, angular, comparison.variant
        self.quantity = quantity or name

    @property
    def facts(self) -> Facts:
        """How to read its values: those of the measure if it is a distance, else of the angle or of 1 − s."""
        fact, *others = self.comparison.facts
        stated = [one for one in others if one.name == self.quantity and one.direction == "lower"]
        if stated and self.angular:
            return stated[0]
        if fact.direction == "lower":
            return replace(fact, name=self.quantity)
        unit, high, done = ("rad", math.acos(fact.low), "arccos") if self.angular else ("1", 1.0 - fact.low, "1 −")
        fact = replace(fact, name=self.quantity, reference=f"{fact.reference}; {done} {fact.name}")
        return replace(fact, unit=unit, low=0.0, high=high, direction="lower")

    def reasons(self, layers: Sequence[LayerWeights], pairs: Pairs) -> dict[tuple[int, int], str]:
        """Return why pairs of preprocessed layers have no distance: pair -> reason, without the pairs that have one.

        Args:
            layers: any number of layers with representations of the same examples.
            pairs: places in ``layers``, each of the two different.
        """
        if not pairs:
            return {}
        values, reasons = self._compared(layers, pairs)
        unknown = np.flatnonzero(~np.isfinite(values)).tolist()
        return {pairs[index]: reasons.get(index, "the value is not finite") for index in unknown}

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        return float(self._compared([a, b], [(0, 1)])[0][0])

    def _layer_tables(self, models: Sequence[Model]) -> np.ndarray | None:
        if len({len(model) for model in models}) != 1:
            return None
        pairs = list(combinations(range(len(models)), 2))
        found = np.zeros((len(models[0]), len(models), len(models)))
        first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
        for table, layers in zip(found, zip(*models, strict=True), strict=True):
            if pairs:
                table[first, second] = table[second, first] = self._compared(layers, pairs)[0]
        return found

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        tables = self._layer_tables(models) if self.pairwise else None
        return super()._model_distance_matrix(models) if tables is None else self.model_distances(tables)

    def _built_layer_distance_matrix(self, a: Model, b: Model) -> np.ndarray:
        if self.pairwise or not a or not b or "_layer_distance" in vars(self):
            return super()._built_layer_distance_matrix(a, b)
        pairs = [(i, len(a) + j) for i, j in product(range(len(a)), range(len(b)))]
        return self._compared([*a, *b], pairs)[0].reshape(len(a), len(b))

    def _aggregate_matrix(self, matrix: np.ndarray) -> float:
        needed = matrix.diagonal() if self.pairwise else matrix
        return math.nan if np.isnan(needed).any() else aggregated(matrix, self.aggregation)

    def _has_own(self, name: str) -> bool:
        # Its way to aggregate is by key as well.
        return name in vars(self) if name == "_aggregate_matrix" else super()._has_own(name)

    def _compared(self, layers: Sequence[LayerWeights], pairs: Pairs) -> tuple[np.ndarray, Mapping[int, str]]:
        """Return the distances of pairs, shape (m,), float64, and place of a pair -> why it has none."""
        items = [_representation(layer) for layer in layers]
        found = self.comparison.values(items, pairs)
        distances = np.asarray(found.value, dtype=np.float64)
        (fact,) = (fact for fact in self.comparison.facts if fact.name == found.metric)
        if fact.direction == "higher":
            distances = np.arccos(np.clip(distances, -1.0, 1.0)) if self.angular else 1.0 - distances
        near = np.flatnonzero(distances < _NEARLY_ZERO).tolist()
        same = [index for index in near if torch.equal(items[pairs[index][0]], items[pairs[index][1]])]
        return np.where(np.isin(np.arange(len(pairs)), same), 0.0, distances), found.reasons


def representation_layer(name: str, kind: str, values: Tensor | np.ndarray) -> LayerWeights:
    """Return a layer as its representation.

    Args:
        name: the layer's name.
        kind: its kind, see :class:`fedlayers.core.layers.Layer`.
        values: what it puts out for n examples, shape (n, units), or (n, positions, units).

    Examples:
        >>> import numpy as np
        >>> representation_layer("fc1", "Linear", np.ones((5, 3))).name
        'fc1'
    """
    array = values.numpy() if isinstance(values, Tensor) else values
    return LayerWeights(name, kind, (RoleArray(ACTIVATION, array, unit_axis=-1),))


def _representation(layer: LayerWeights) -> Tensor:
    roles = [array.role for array in layer.arrays]
    if roles != [ACTIVATION]:
        raise ValueError(
            f"layer {layer.name!r} must hold one array of role {ACTIVATION!r}, got {', '.join(roles) or 'none'}; "
            "between weights there are other distances, such as l2_dst"
        )
    (array,) = layer.arrays
    return torch.from_numpy(np.array(np.moveaxis(array.values, array.unit_axis, -1), order="C"))
