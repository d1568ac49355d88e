"""Euclidean and cosine distances of all pairs of clients from matrix products, exact for nearly equal clients, too."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from metrics.distances.gram.angle import cosine_distance
from metrics.parallel import map_if_large

# One vector a client: an array of shape (n, d), or n arrays of shape (d,).
Vectors = np.ndarray | Sequence[np.ndarray]

# Columns that are float64 at a time.
_TILE = 4096
# A difference whose square is below this share of what it was subtracted from is computed from something nearer.
_CLOSE = 1e-3
_LEAST_EXPONENT = -1000


@dataclass(frozen=True)
class PartPairs:
    """What all pairs of clients have to do with each other in one part of the model.

    Attributes:
        squares: ‖x_i − x_j‖² / 4^exponent, shape (n, n), NaN where a client has numbers that are not finite.
        gaps: (‖x_i‖² − ‖x_j‖²) / 4^exponent, shape (n, n), NaN in the same places.
        norms: ‖x_i‖² / 4^exponent, shape (n,).
        exponent: the largest number of all clients is in [2^(exponent−1), 2^exponent).
    """

    squares: np.ndarray
    gaps: np.ndarray
    norms: np.ndarray
    exponent: int


@dataclass(frozen=True)
class GramDistances:
    """Distances of all pairs of clients in any part of the model.

    Attributes:
        parts: one for each part of the model.
        vectors: the numbers they were made from.
    """

    parts: tuple[PartPairs, ...]
    vectors: tuple[Vectors, ...]

    def l2(self, parts: int | Sequence[int] | None = None) -> np.ndarray:
        """Return ‖x_i − x_j‖, shape (n, n), float64; NaN for clients with numbers that are not finite.

        Args:
            parts: one part, several that are taken as one vector, or None: all of them, the whole model.
        """
        squares, _, _, exponent = self._summed(parts)
        found: np.ndarray = np.ldexp(np.sqrt(squares), exponent)
        return found

    def norms(self, parts: int | Sequence[int] | None = None) -> np.ndarray:
        """Return ‖x_i‖, shape (n,), see :meth:`l2`."""
        _, _, norms, exponent = self._summed(parts)
        found: np.ndarray = np.ldexp(np.sqrt(norms), exponent)
        return found

    def cosine(self, parts: int | Sequence[int] | None = None) -> np.ndarray:
        """Return the cosine distances 1 − cos(x_i, x_j), shape (n, n), float64, see :meth:`l2`.

        1 − cos = (‖x − y‖² − (‖x‖ − ‖y‖)²) / (2 ‖x‖ ‖y‖), the difference of norms taken from that of squared norms.
        Pairs that differ in little but their norm are computed from their vectors, which takes longer. Zero vectors
        have the distances that :func:`metrics.distances.gram.angle.cosine_distance` gives them.
        """
        squares, gaps, norms, _ = self._summed(parts)
        lengths = np.sqrt(norms)
        with np.errstate(invalid="ignore", divide="ignore"):
            across = squares - np.square(gaps / (lengths[:, None] + lengths))
            found = across / (2 * lengths[:, None] * lengths)
        zero = norms == 0
        found[zero | zero[:, None]] = 1.0
        found[np.ix_(zero, zero)] = 0.0
        found[np.isnan(squares)] = np.nan
        alike = (across < _CLOSE * squares) & ~zero & ~zero[:, None]
        for i, j in np.argwhere(np.triu(alike, 1)):
            found[i, j] = found[j, i] = cosine_distance(self._vector(i, parts), self._vector(j, parts))
        clipped: np.ndarray = np.clip(found, 0.0, 2.0)
        return clipped

    def _summed(self, parts: int | Sequence[int] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return squares, gaps and norms of several parts as of one, with a common exponent."""
        chosen = [self.parts[part] for part in self._chosen(parts)]
        exponent = max(part.exponent for part in chosen)

        def summed(tables: list[np.ndarray]) -> np.ndarray:
            scaled = [np.ldexp(table, 2 * (p.exponent - exponent)) for table, p in zip(tables, chosen, strict=True)]
            total: np.ndarray = np.sum(scaled, axis=0)
            return total

        return (
            summed([part.squares for part in chosen]),
            summed([part.gaps for part in chosen]),
            summed([part.norms for part in chosen]),
            exponent,
        )

    def _chosen(self, parts: int | Sequence[int] | None) -> Sequence[int]:
        if parts is None:
            return range(len(self.parts))
        return [parts] if isinstance(parts, int) else parts

    def _vector(self, client: int, parts: int | Sequence[int] | None) -> np.ndarray:
        return np.concatenate([np.asarray(self.vectors[part][client], np.float64) for part in self._chosen(parts)])


def pairwise_by_gram(vectors_per_layer: Sequence[Vectors]) -> GramDistances:
    """Return the distances of all pairs of clients, relative error below 1e-9, from one product per layer.

    The whole model costs nothing more: squared distances and differences of squared norms add up over layers.
    If it takes long, every layer's product is the work of one of the run's workers, see :mod:`metrics.parallel`.

    Args:
        vectors_per_layer: for every layer (or any other part) one vector a client; n clients in all, at least one
            layer. They are not copied, but a tile at a time.

    Raises:
        ValueError: if there is no layer, or layers have not the same number of clients.
    """
    if not vectors_per_layer or len({len(vectors) for vectors in vectors_per_layer}) > 1:
        counts = [len(vectors) for vectors in vectors_per_layer]
        raise ValueError(f"vectors_per_layer must hold the same clients in each of one or more layers, got {counts}")
    sizes = [float(vectors[0].size + 1) if len(vectors) else 1.0 for vectors in vectors_per_layer]
    parts = map_if_large(_pairs_of_part, vectors_per_layer, range(len(vectors_per_layer)), sizes)
    return GramDistances(tuple(parts), tuple(vectors_per_layer))


def part_pairs(vectors: Vectors) -> PartPairs:
    """Return squared distances of all pairs of clients in one part of the model.

    With z_i = x_i − x_0, nearly exact for nearly equal clients, ‖x_i − x_j‖² = ‖z_i‖² + ‖z_j‖² − 2 z_iᵀ z_j. Where the
    result is below a thousandth of ‖z_i‖² + ‖z_j‖² digits were lost: clients connected by such pairs are computed again
    with one of them as x_0, and so on. No such group holds x_0 itself, so groups only get smaller; equal clients end
    with distance 0.

    Args:
        vectors: one vector a client, n ≥ 0, all of the same length.
    """
    count = len(vectors)
    squares, gaps = np.full((2, count, count), np.nan)
    norms = np.full(count, np.nan)
    largest = np.array([max(v.max(initial=0), -v.min(initial=0)) for v in vectors], dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(largest))
    exponent = _exponent(largest[finite])
    pending = [finite] if len(finite) else []
    while pending:
        group = pending.pop()
        cells = np.ix_(group, group)
        squares[cells], gaps[cells], norms[group], close = _products([vectors[i] for i in group.tolist()], exponent)
        labels = connected_components(close, directed=False)[1]
        pending += [group[labels == label] for label in np.flatnonzero(np.bincount(labels) > 1)]
    return PartPairs(squares, gaps, norms, exponent)


def _pairs_of_part(vectors_per_layer: Sequence[Vectors], part: int) -> PartPairs:
    return part_pairs(vectors_per_layer[part])


def _products(vectors: Sequence[np.ndarray], exponent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return squares, gaps and norms of a group of clients, and which pairs are too close for their reference."""
    count = len(vectors)
    products, onto, norms = np.zeros((count, count)), np.zeros(count), np.zeros(count)
    for start in range(0, len(vectors[0]), _TILE):
        tile = np.stack([vector[start : start + _TILE] for vector in vectors]).astype(np.float64)
        # Powers of two: exact, and no square overflows or vanishes.
        tile *= math.ldexp(1.0, -exponent)
        norms += np.einsum("id,id->i", tile, tile)
        reference = tile[0].copy()
        tile -= reference
        products += tile @ tile.T
        onto += tile @ reference
    own = products.diagonal()
    both = own[:, None] + own
    squares = np.maximum(both - 2 * products, 0.0)
    gaps = 2 * (onto[:, None] - onto) + (own[:, None] - own)
    close = squares < _CLOSE * both
    np.fill_diagonal(close, False)
    return squares, gaps, norms, close


def _exponent(largest: np.ndarray) -> int:
    """Return e with the largest value in [2^(e−1), 2^e); a very small one if there is nothing above 0."""
    value = float(largest.max(initial=0))
    return max(math.frexp(value)[1], _LEAST_EXPONENT) if value else _LEAST_EXPONENT
