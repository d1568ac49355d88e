"""Distances between clients: what every family of distances begins with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from metrics.base import Facts
from metrics.distances.families.pair_tables import table_of_pairs
from metrics.distances.steps.preprocessing import PreprocessingStep, preprocess_clients
from metrics.distances.weights.participant import Client, Model

Scale = Literal["invariant", "homogeneous", "none"]
Steps = Sequence[PreprocessingStep]
T = TypeVar("T")

# What an author may supply; each is built on some of those before it.
_BUILT_UP = (
    "_layer_distance",
    "_layer_distance_matrix",
    "_aggregate_matrix",
    "_model_distance",
    "_model_distance_matrix",
    "_client_distance",
    "_client_distance_matrix",
)


@dataclass(frozen=True)
class Declarations:
    """What holds for a distance d.

    Attributes:
        symmetric: whether d(a, b) = d(b, a).
        zero_self: whether d(a, a) = 0.
        scale: what multiplying both arguments by c > 0 does: ``invariant`` nothing, ``homogeneous`` d becomes c d,
            ``none`` neither.
    """

    symmetric: bool
    zero_self: bool
    scale: Scale


class ClientMatrixMetric:
    """A distance that is known for all clients together: the base of all families; supply ``_client_distance_matrix``.

    ``unit``, ``high``, ``cost`` and ``reference`` of its class say how to read tables, see :class:`metrics.base.Facts`.
    The author declares what holds for the function supplied, for clients, models or layers as the steps leave them.
    Only i < j is computed if pairs are declared symmetric, and no diagonal that is declared zero. Where there are
    functions of pairs and they take long, the workers of a run compute them, see :mod:`metrics.parallel`: such a
    function leaves its arguments as they are and depends on nothing else that changes.

    Args:
        name: unique among the metrics used together; without ``-`` and ``&``, which build variants.
        symmetric, zero_self, scale: see :class:`Declarations`.
        preprocessing_steps: what happens to the clients first, in this order.

    Attributes:
        quantity: what tables call its values, whatever a variant's name puts before that of the metric.
        variant: what the column ``variant`` says of how they are estimated.

    Raises:
        ValueError: if ``scale`` is none of the three.
    """

    variant = ""
    # What a reader has to know beside what is declared: the unit, the largest value, the cost, and what defines it.
    unit = "1"
    high = math.inf
    cost = "heavy"
    reference = "own definition"

    def __init__(
        self,
        name: str,
        *,
        symmetric: bool = True,
        zero_self: bool = True,
        scale: Scale = "none",
        preprocessing_steps: Steps = (),
    ) -> None:
        if scale not in get_args(Scale):
            raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}")
        self.name = self.quantity = name
        self.symmetric = symmetric
        self.zero_self = zero_self
        self.scale: Scale = scale
        self.preprocessing_steps = list(preprocessing_steps)

    @property
    def facts(self) -> Facts:
        """How to read its values in tables."""
        return Facts(
            self.quantity, self.unit, 0.0, self.high, "lower", self.reference, symmetric=self.symmetric, cost=self.cost
        )

    @property
    def between_clients(self) -> Declarations:
        """What holds for distances between clients, and between models where there are any."""
        return Declarations(self.symmetric, self.zero_self, self.scale)

    def client_distance_matrix(self, clients: Sequence[Client], ignored_steps: Steps | None = None) -> np.ndarray:
        """Return the distances between all clients.

        Args:
            clients: n clients, n ≥ 0, preprocessed together.
            ignored_steps: steps that these clients went through already. The longest beginning that these share with
                the metric's own steps is left out; the others run.

        Returns:
            Distances from row to column, shape (n, n), float64, NaN where there is none; also the diagonal is true.

        Raises:
            NotImplementedError: if nobody supplied the function it needs.
            ValueError: if the author's function returns another shape.
        """
        prepared = self._prepared(clients, ignored_steps)
        matrix = self._supplied("_client_distance_matrix")(prepared)
        return self._of_shape(matrix, (len(prepared), len(prepared)))

    def _client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        return self._built_client_distance_matrix(clients)

    def _built_client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        raise self._missing("_client_distance_matrix(clients)")

    def _prepared(self, clients: Sequence[Client], ignored_steps: Steps | None) -> list[Client]:
        done = 0
        for own, ignored in zip(self.preprocessing_steps, ignored_steps or (), strict=False):
            if own != ignored:
                break
            done += 1
        return preprocess_clients(clients, self.preprocessing_steps[done:])

    def _prepared_models(self, models: Sequence[Model], ignored_steps: Steps | None) -> list[Model]:
        return [client.model for client in self._prepared([Client(model) for model in models], ignored_steps)]

    def _supplied(self, name: str) -> Callable[..., np.ndarray]:
        """Return the metric's function for a matrix.

        A class may know a fast way to a matrix. If somebody assigns to the instance one of the functions that the
        matrix is built on, that way has no part of it, so the matrix is built anew.
        """
        below = _BUILT_UP[: _BUILT_UP.index(name)]
        stale = name not in vars(self) and any(part in vars(self) for part in below)
        function: Callable[..., np.ndarray] = getattr(self, f"_built{name}" if stale else name)
        return function

    def _of_shape(self, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        found = np.asarray(matrix, dtype=np.float64)
        if found.shape != shape:
            raise ValueError(f"metric {self.name!r} must return a matrix of shape {shape}, got {found.shape}")
        return found

    def _missing(self, function: str) -> NotImplementedError:
        return NotImplementedError(
            f"metric {self.name!r} ({type(self).__name__}) needs {function}: "
            "write it in a subclass or assign a function to the metric"
        )

    def _matrix_of_pairs(self, items: Sequence[T], distance: Callable[[T, T], float]) -> np.ndarray:
        """Return the distances between all clients or models, using what is declared, shape (n, n), float64."""
        declared = self.between_clients
        return table_of_pairs(distance, items, declared.symmetric, declared.zero_self)


class ClientMetric(ClientMatrixMetric):
    """A distance between two clients; supply ``_client_distance``."""

    def client_distance(self, a: Client, b: Client, ignored_steps: Steps | None = None) -> float:
        """Return the distance from client a to client b, preprocessed together; NaN if there is none.

        A step that refers to its first client, such as an alignment, refers to a.

        Raises:
            NotImplementedError: if nobody supplied the function it needs.
        """
        return float(self._client_distance(*self._prepared([a, b], ignored_steps)))

    def _client_distance(self, a: Client, b: Client) -> float:
        raise self._missing("_client_distance(a, b)")

    def _built_client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        return self._matrix_of_pairs(clients, self._client_distance)
