"""From distances to similarities, which graphs of clients are made of."""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass

import numpy as np

from metrics.clusters.distance_matrix import checked_distances


@dataclass(frozen=True)
class SimilarityOfDistance(ABC):
    """A falling function of the distance that is 1 for distance 0.

    Attributes:
        least: similarities below it become 0: no edge; None keeps all edges.
    """

    _: KW_ONLY
    least: float | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The name with its parameters; what depends on the round's distances says so."""

    def __call__(self, distances: np.ndarray) -> np.ndarray:
        """Return the similarities, shape (n, n), with a diagonal of ones.

        Args:
            distances: see :func:`metrics.clusters.distance_matrix.checked_distances`.

        Raises:
            ValueError: if the distances are none, or out of the function's range.
        """
        found = self._similarities(checked_distances(distances))
        if self.least is not None:
            found = np.where(found < self.least, 0.0, found)
        np.fill_diagonal(found, 1.0)
        return found

    def edges(self, distances: np.ndarray) -> np.ndarray:
        """Return the similarities as weights of a graph's edges, shape (n, n), with a diagonal of zeros.

        Raises:
            ValueError: see :meth:`__call__`; also if a similarity is below 0.
        """
        found = self(distances)
        if found.min() < 0:
            raise ValueError(
                f"edges must have weights of 0 or more, got {found.min():g} from {self.name}: "
                "least=0 leaves such edges out"
            )
        np.fill_diagonal(found, 0.0)
        return found

    @abstractmethod
    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        """Return the similarities before edges are left out; the diagonal may be anything."""


@dataclass(frozen=True)
class Scaled(SimilarityOfDistance):
    """A similarity that falls with the distance in units of a scale.

    Args:
        scale: in units of the distance, above 0.
        least: see :class:`SimilarityOfDistance`.

    Raises:
        ValueError: if the scale is not above 0.
    """

    scale: float

    def __post_init__(self) -> None:
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale must be a distance above 0, got {self.scale!r}")


@dataclass(frozen=True)
class Gaussian(Scaled):
    """s = exp(−(d / scale)² / 2).

    The scale is the distance at which s = 0.61.
    """

    @property
    def name(self) -> str:
        """The name with the scale."""
        return f"gaussian_{self.scale:g}"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        return _gaussian(distances, self.scale)


@dataclass(frozen=True)
class GaussianMedian(SimilarityOfDistance):
    """s = exp(−(sharpness · d / m)² / 2), m the median of the round's distances above 0.

    It depends on the round: a similarity compares with those of the same round only. Multiplying all distances by a
    number changes nothing. Without distances above 0 all similarities are 1.

    Args:
        sharpness: above 0; at 3 a pair at the median distance has s = 0.01.
        least: see :class:`SimilarityOfDistance`.

    Raises:
        ValueError: if the sharpness is not above 0.
    """

    sharpness: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.sharpness < np.inf:
            raise ValueError(f"sharpness must be above 0, got {self.sharpness!r}")

    @property
    def name(self) -> str:
        """The name with the sharpness."""
        return f"gaussian_median_{self.sharpness:g}"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        return _gaussian(distances, _quantile(distances, 0.5) / self.sharpness)


@dataclass(frozen=True)
class Inverse(Scaled):
    """s = 1 / (1 + d / scale).

    The scale is the distance at which s = ½.
    """

    @property
    def name(self) -> str:
        """The name with the scale."""
        return f"inverse_{self.scale:g}"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        found: np.ndarray = 1 / (1 + distances / self.scale)
        return found


@dataclass(frozen=True)
class Cosine(SimilarityOfDistance):
    """s = 1 − d, the cosine that a cosine distance d in [0, 2] belongs to; in [−1, 1]."""

    @property
    def name(self) -> str:
        """``cosine``."""
        return "cosine"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        return 1 - _cosine_distances(distances)


@dataclass(frozen=True)
class Angular(SimilarityOfDistance):
    """s = 1 − arccos(1 − d) / π: 1 minus the angle in units of π, from a cosine distance d in [0, 2]; in [0, 1]."""

    @property
    def name(self) -> str:
        """``angular``."""
        return "angular"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        # arccos(1 − d) would lose the small distances.
        found: np.ndarray = 1 - 2 * np.arcsin(np.sqrt(_cosine_distances(distances) / 2)) / np.pi
        return found


@dataclass(frozen=True)
class CubedQuantile(SimilarityOfDistance):
    """s = max(1 − d / q, 0)³, q a quantile of the round's distances above 0.

    It depends on the round, but not on its few farthest pairs, which have no edge: a client far away from all others
    changes next to nothing, where it is one among twenty. Multiplying all distances by a number changes nothing.
    Without distances above 0 all similarities are 1; if all are equal, nobody has an edge.

    Args:
        quantile: the share of distances below q, in (0, 1].
        least: see :class:`SimilarityOfDistance`.

    Raises:
        ValueError: if the quantile is out of its range.
    """

    quantile: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1:
            raise ValueError(f"quantile must be in (0, 1], got {self.quantile!r}")

    @property
    def name(self) -> str:
        """The name with the quantile."""
        return f"cubed_quantile_{self.quantile:g}"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.maximum(1 - distances / _quantile(distances, self.quantile), 0.0) ** 3
        return found


@dataclass(frozen=True)
class CubedMinMax(SimilarityOfDistance):
    """s = (1 − (d − min) / (max − min))³ with the extremes of the round's distances; all equal: all similarities 1.

    It depends on the round's two extreme pairs: one client far away makes all others alike, and the farthest pair
    never has an edge. Kept for comparison with the community tracker that introduced it.
    """

    @property
    def name(self) -> str:
        """``cubed_min_max``."""
        return "cubed_min_max"

    def _similarities(self, distances: np.ndarray) -> np.ndarray:
        pairs = _pairs(distances)
        if not len(pairs) or pairs.max() == pairs.min():
            return np.ones_like(distances)
        # The diagonal, which is set later, may lie below the smallest distance of two clients.
        found: np.ndarray = (1 - (np.maximum(distances, pairs.min()) - pairs.min()) / np.ptp(pairs)) ** 3
        return found


def _pairs(distances: np.ndarray) -> np.ndarray:
    found: np.ndarray = distances[np.triu_indices(len(distances), 1)]
    return found


def _quantile(distances: np.ndarray, share: float) -> float:
    """Return a quantile of the distances above 0; 1 without any, when all distances are 0 in any unit."""
    pairs = _pairs(distances)
    positive = pairs[pairs > 0]
    return float(np.quantile(positive, share)) if len(positive) else 1.0


def _gaussian(distances: np.ndarray, scale: float) -> np.ndarray:
    found: np.ndarray = np.exp(-np.square(distances / scale) / 2)
    return found


def _cosine_distances(distances: np.ndarray) -> np.ndarray:
    # Rounding may go beyond opposite directions.
    if distances.max() > 2 + 1e-9:
        raise ValueError(f"cosine distances must be in [0, 2], got {distances.max():g}")
    found: np.ndarray = np.minimum(distances, 2.0)
    return found
