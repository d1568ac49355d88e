"""Distances between layers, and those between models that follow from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from metrics.distances.families.aggregation import aggregated, check_aggregation
from metrics.distances.families.clients import Declarations, Scale, Steps
from metrics.distances.families.models import ModelMetric
from metrics.distances.families.pair_tables import filled, rectangle
from metrics.distances.weights.participant import LayerWeights, Model

# Whoever supplies one of these leaves nothing to aggregate; matrices may be a class' fast way to the same numbers.
_ABOVE_LAYERS = ("_model_distance", "_client_distance")
_MATRICES = ("_model_distance_matrix", "_client_distance_matrix")


class LayerMatrixMetric(ModelMetric):
    """A distance between all layers of two models; supply ``_layer_distance_matrix``.

    The distance between two models aggregates the known cells of the matrix; supply ``_aggregate_matrix`` for another
    way. If a cell is missing and weights are not finite, the distance is missing, too.

    Args:
        name, symmetric, zero_self, scale, preprocessing_steps: see :class:`ClientMatrixMetric`.
        aggregation: a key of :data:`metrics.distances.families.aggregation.AGGREGATIONS`.

    Raises:
        ValueError: if ``scale`` or ``aggregation`` is none of those known.
    """

    def __init__(
        self,
        name: str,
        *,
        symmetric: bool = True,
        zero_self: bool = True,
        scale: Scale = "none",
        preprocessing_steps: Steps = (),
        aggregation: str = "mean",
    ) -> None:
        super().__init__(
            name, symmetric=symmetric, zero_self=zero_self, scale=scale, preprocessing_steps=preprocessing_steps
        )
        check_aggregation(aggregation)
        self.aggregation = aggregation

    @property
    def between_clients(self) -> Declarations:
        """What follows for models from what is declared for layers.

        Cells off the diagonal keep a model from being at distance 0 from itself; only sums and means are as
        homogeneous as their cells. Nothing is known of an author's own way to a model's distance.
        """
        linear = self._aggregates_by_key() and self.aggregation in ("sum", "mean")
        scale = self.scale if linear or self.scale == "invariant" else "none"
        return Declarations(self.symmetric, False, scale)

    def aggregate_by(self, aggregation: str) -> None:
        """Aggregate by a key of ``AGGREGATIONS``, whatever the way was so far.

        Raises:
            ValueError: if the key is unknown, or if distances between models do not come from those between layers.
        """
        check_aggregation(aggregation)
        assigned = [name for name in (*_ABOVE_LAYERS, *_MATRICES) if name in vars(self)]
        above = assigned or [name for name in _ABOVE_LAYERS if self._has_own(name)]
        if above:
            raise ValueError(f"metric {self.name!r} aggregates no layers: it has a {above[0]} of its own")
        self.aggregation = aggregation
        if self._has_own("_aggregate_matrix"):
            vars(self)["_aggregate_matrix"] = partial(aggregated, aggregation=aggregation)

    def layer_distance_matrix(self, a: Model, b: Model, ignored_steps: Steps | None = None) -> np.ndarray:
        """Return the distance from every layer of model a to every layer of model b.

        Args:
            a: the rows' layers.
            b: the columns' layers, preprocessed together with those of a.
            ignored_steps: see :meth:`ClientMatrixMetric.client_distance_matrix`.

        Returns:
            Shape (layers of a, layers of b) after preprocessing, float64, NaN where layers cannot be compared.

        Raises:
            NotImplementedError: if nobody supplied the function it needs.
            ValueError: if the author's function returns another shape.
        """
        return self._matrix_of_layers(*self._prepared_models([a, b], ignored_steps))

    def _layer_distance_matrix(self, a: Model, b: Model) -> np.ndarray:
        return self._built_layer_distance_matrix(a, b)

    def _built_layer_distance_matrix(self, a: Model, b: Model) -> np.ndarray:
        raise self._missing("_layer_distance_matrix(a, b)")

    def _aggregate_matrix(self, matrix: np.ndarray) -> float:
        return aggregated(matrix, self.aggregation)

    def _model_distance(self, a: Model, b: Model) -> float:
        matrix = self._matrix_of_layers(a, b)
        if np.isnan(matrix).any() and not (_is_finite(a) and _is_finite(b)):
            return float("nan")
        return self._aggregate_matrix(matrix)

    def _matrix_of_layers(self, a: Model, b: Model) -> np.ndarray:
        return self._of_shape(self._supplied("_layer_distance_matrix")(a, b), (len(a), len(b)))

    def _aggregates_by_key(self) -> bool:
        return not self._has_own("_aggregate_matrix") and not self._has_own("_model_distance")

    def _has_own(self, name: str) -> bool:
        """Return whether somebody supplied a function in place of the families' way."""
        return name in vars(self) or getattr(type(self), name) is not getattr(LayerMatrixMetric, name)


class LayerMetric(LayerMatrixMetric):
    """A distance between two layers; supply ``_layer_distance``.

    Args:
        name, symmetric, zero_self, scale, preprocessing_steps, aggregation: see :class:`LayerMatrixMetric`.
        pairwise: compare each layer only with the one at its place in the other model: the matrix is its diagonal,
            the rest NaN. Between models of different numbers of layers all of it is NaN.

    Attributes:
        needs_equal_shapes: whether layers whose arrays differ in shape are at distance NaN, and the author's function
            is not asked. A subclass that can compare them says False.
    """

    needs_equal_shapes = True

    def __init__(
        self,
        name: str,
        *,
        symmetric: bool = True,
        zero_self: bool = True,
        scale: Scale = "none",
        preprocessing_steps: Steps = (),
        aggregation: str = "mean",
        pairwise: bool = False,
    ) -> None:
        super().__init__(
            name,
            symmetric=symmetric,
            zero_self=zero_self,
            scale=scale,
            preprocessing_steps=preprocessing_steps,
            aggregation=aggregation,
        )
        self.pairwise = pairwise

    @property
    def between_clients(self) -> Declarations:
        """What follows for models, see :class:`LayerMatrixMetric`; if pairwise, also distance 0 from itself."""
        return replace(
            super().between_clients, zero_self=self.zero_self and self.pairwise and self._aggregates_by_key()
        )

    def compare_pairwise(self, pairwise: bool) -> None:
        """Compare each layer only with its counterpart, or with every layer.

        Raises:
            ValueError: if matrices of layers do not come from pairs of them.
        """
        if self._has_own("_layer_distance_matrix"):
            raise ValueError(f"metric {self.name!r} compares no pairs: it has a _layer_distance_matrix of its own")
        self.pairwise = pairwise

    def layer_distance(self, a: LayerWeights, b: LayerWeights, ignored_steps: Steps | None = None) -> float:
        """Return the distance from layer a to layer b, each preprocessed as a model of one layer.

        NaN if they cannot be compared, or if a step leaves nothing of one.

        Raises:
            NotImplementedError: if nobody supplied the function it needs.
        """
        first, second = self._prepared_models([(a,), (b,)], ignored_steps)
        return self._cell(first[0], second[0]) if first and second else float("nan")

    def layer_distances(self, models: Sequence[Model], ignored_steps: Steps | None = None) -> np.ndarray:
        """Return the distances between all models, each layer with its counterparts.

        Args:
            models: n models, preprocessed together.
            ignored_steps: see :meth:`ClientMatrixMetric.client_distance_matrix`.

        Returns:
            Shape (layers after preprocessing, n, n), float64, NaN where layers cannot be compared; no layers if the
            models do not have the same number of them.

        Raises:
            NotImplementedError: if nobody supplied the function it needs.
        """
        prepared = self._prepared_models(models, ignored_steps)
        found = None if "_layer_distance" in vars(self) else self._layer_tables(prepared)
        return self._tables_of_pairs(prepared) if found is None else found

    def model_distances(self, tables: np.ndarray) -> np.ndarray:
        """Return the distances between whole models of which each layer is compared with its counterparts only.

        Args:
            tables: distances between n models layer by layer, shape (layers, n, n), see :meth:`layer_distances`.

        Returns:
            Shape (n, n), float64; NaN where a layer's is, which no aggregate of the others may hide.
        """

        def distance(i: int, j: int) -> float:
            if np.isnan(tables[:, i, j]).any():
                return float("nan")
            matrix = np.full((len(tables), len(tables)), np.nan)
            np.fill_diagonal(matrix, tables[:, i, j])
            return float(self._aggregate_matrix(matrix))

        return self._matrix_of_pairs(range(tables.shape[-1]), distance)

    def _layer_tables(self, models: Sequence[Model]) -> np.ndarray | None:
        """Return what :meth:`layer_distances` returns, if the class knows a fast way to it."""
        return None

    def _tables_of_pairs(self, models: Sequence[Model]) -> np.ndarray:
        depths = {len(model) for model in models}
        shape = depths.pop() if len(depths) == 1 else 0, len(models), len(models)
        return filled(shape, _cell_of, (self._cell, models), self.symmetric, self.zero_self)

    def _layer_distance(self, a: LayerWeights, b: LayerWeights) -> float:
        raise self._missing("_layer_distance(a, b)")

    def _built_layer_distance_matrix(self, a: Model, b: Model) -> np.ndarray:
        if not self.pairwise:
            return rectangle(self._cell, a, b)
        matrix = np.full((len(a), len(b)), np.nan)
        if len(a) == len(b):
            np.fill_diagonal(matrix, [self._cell(first, second) for first, second in zip(a, b, strict=True)])
        return matrix

    def _cell(self, a: LayerWeights, b: LayerWeights) -> float:
        if self.needs_equal_shapes and a.shapes() != b.shapes():
            return float("nan")
        return float(self._layer_distance(a, b))


def _cell_of(
    shared: tuple[Callable[[LayerWeights, LayerWeights], float], Sequence[Model]], cell: tuple[int, ...]
) -> float:
    distance, models = shared
    layer, i, j = cell
    return distance(models[i][layer], models[j][layer])


def _is_finite(model: Model) -> bool:
    return all(bool(np.isfinite(array.values).all()) for layer in model for array in layer.arrays)
