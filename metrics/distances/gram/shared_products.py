"""Matrix products of all pairs of models, computed once for all metrics that need them."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from metrics.distances.gram.gram_pairs import GramDistances, PartPairs, pairwise_by_gram
from metrics.distances.weights.aligned import AlignedArrays
from metrics.distances.weights.participant import Model


class _LastProducts:
    """The matrix products of the models compared last, known by their arrays, which it does not keep alive."""

    def __init__(self) -> None:
        self._arrays: list[weakref.ref[np.ndarray]] = []
        self._count = -1
        self._parts: tuple[PartPairs, ...] = ()

    def of(self, models: Sequence[Model], aligned: AlignedArrays) -> GramDistances:
        """Return the distances of all pairs, from new products only if the models are others than the last ones."""
        arrays = [array.values for model in models for layer in model for array in layer.arrays]
        known = len(models) == self._count and len(arrays) == len(self._arrays)
        if known and all(kept() is array for kept, array in zip(self._arrays, arrays, strict=True)):
            return GramDistances(self._parts, aligned.vectors)
        found = pairwise_by_gram(aligned.vectors)
        self._arrays, self._count, self._parts = [weakref.ref(a) for a in arrays], len(models), found.parts
        return found


_last: ContextVar[_LastProducts | None] = ContextVar("products of the models compared last", default=None)


@contextmanager
def shared_products() -> Iterator[None]:
    """Let the metrics used in a block of code share the matrix products of the same models.

    The products of the models compared last are kept. Models are the same if their arrays are the very same objects:
    in the block nobody may write to arrays that were compared.
    """
    token = _last.set(_LastProducts())
    try:
        yield
    finally:
        _last.reset(token)


def products_of(models: Sequence[Model], aligned: AlignedArrays) -> GramDistances:
    """Return the distances of all pairs of models, from products that were computed before if they are shared.

    Args:
        models: n models.
        aligned: their arrays.
    """
    last = _last.get()
    return pairwise_by_gram(aligned.vectors) if last is None else last.of(models, aligned)
